"""Which threads of a worker may still do what a guest asked for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.runtime import threads
from sandbox.runtime.threads import Threads


class Other:
    """A thread that sleeps, or is busy, until it is told to end."""

    def __init__(self, name: str | None = None, *, busy: bool = False) -> None:
        self.over, ready = threading.Event(), threading.Event()

        def live() -> None:
            self.task = str(threading.get_native_id())
            if name is not None:
                Path(f"/proc/self/task/{self.task}/comm").write_text(name, encoding="ascii")
            ready.set()
            while busy and not self.over.is_set():
                pass
            self.over.wait()

        self.thread = threading.Thread(target=live)
        self.thread.start()
        ready.wait()

    def end(self) -> None:
        self.over.set()
        self.thread.join()
        while os.path.exists(f"/proc/self/task/{self.task}"):
            time.sleep(0.001)


@pytest.fixture
def start() -> Iterator[Callable[..., Other]]:
    started: list[Other] = []

    def start(name: str | None = None, *, busy: bool = False) -> Other:
        started.append(Other(name, busy=busy))
        return started[-1]

    yield start
    for other in started:
        other.end()


@pytest.fixture
def known(start: Callable[..., Other]) -> Threads:
    """Of a process in which no guest ran yet, with a thread of its own, and one of the pool."""
    start()
    start("tokio-first")
    found = Threads(threading.get_native_id())
    found.ready()
    return found


def test_threads_before_any_guest(start: Callable[..., Other], known: Threads) -> None:
    """They do nothing for one, but for those of the pool."""
    assert known.watched(pool=False) == set()
    assert known.watched(pool=True)
    with known.no_guest_runs():
        start()
    assert known.watched(pool=False) == set()


def test_threads_that_a_guest_had_started(start: Callable[..., Other], known: Threads) -> None:
    """One without a name may be the reader of standard input; one of the pool tells by its name that it is not."""
    reader, pool = start(), start("tokio-rt-worker")
    named = start("python")
    assert known.watched(pool=False) == {reader.task, named.task}
    assert {reader.task, named.task, pool.task} < known.watched(pool=True)
    reader.end()
    assert known.watched(pool=False) == {named.task}


def test_a_name_like_the_pools(
    start: Callable[..., Other], known: Threads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the process itself is called so, the name tells nothing: a thread without one has the process's."""
    own = Path(f"/proc/self/task/{known.main}/comm")
    before = own.read_text(encoding="ascii")
    own.write_text("tokio-tool", encoding="ascii")
    try:
        reader = start()
        assert Path(f"/proc/self/task/{reader.task}/comm").read_text(encoding="ascii") == "tokio-tool\n"
        assert known.watched(pool=False) == {reader.task}
    finally:
        own.write_text(before, encoding="ascii")


def test_a_number_that_is_free_again(start: Callable[..., Other], known: Threads) -> None:
    """What was known of a thread is forgotten when it ends: another may get its number."""
    with known.no_guest_runs():
        compiler = start()
    assert compiler.task in known.idle
    compiler.end()
    known.watched(pool=False)
    assert compiler.task not in known.idle


def test_rest(start: Callable[..., Other], known: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that may be the reader is waited for while it is busy, within a bound; one of the pool if wanted."""
    monkeypatch.setattr(threads, "PATIENCE", 0.3)

    def seconds(pool: bool) -> float:
        started = time.monotonic()
        known.rest(pool=pool)
        return time.monotonic() - started

    start()
    assert seconds(pool=True) < 0.2
    worker = start("tokio-rt-worker", busy=True)
    assert seconds(pool=False) < 0.2
    assert seconds(pool=True) >= 0.3
    worker.end()
    reader = start(busy=True)
    timer = threading.Timer(0.1, reader.over.set)
    timer.start()
    assert 0.05 < seconds(pool=False) < 0.3
    timer.join()
