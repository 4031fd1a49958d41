"""Workers between two runs: a run is over when its worker says so, and the next begins when nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Outcome, Sandbox
from sandbox.runtime import process
from sandbox.runtime.process import WorkerProcess
from tests.e2e.harness import PROBE_MODULE, directory, policy_data, write_policy

UNTIL_THEN = """
import json, os, sys, time
sys.path[:] = json.loads(sys.argv[2])
from wasmtime import Store
from sandbox.runtime import channel, worker
ended = False
send, close = channel.Channel.send, Store.close
def say(self, *message):
    global ended
    if message[0] == "idle":
        {idle}
        ended = False
    send(self, *message)
    ended = message[0] == "ended"
def close_store(self):
    if ended:
        {closing}
    close(self)
channel.Channel.send, Store.close = say, close_store
worker.serve(int(sys.argv[1]), watch=True)
"""
"""A worker that does something of its own once it has said that a run ended."""


@pytest.fixture(params=["component", "module"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of the probe, which is granted a directory."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"hello")
    source = PROBE_MODULE if request.param == "module" else None
    data = policy_data([directory(tmp_path / "d", "/d")], source=source)
    with Sandbox(write_policy(tmp_path, data)) as found:
        yield found


def idle(box: Sandbox) -> list[WorkerProcess]:
    return box._workers.idle


def whole(outcome: Outcome) -> tuple[str, int, bytes | None, list[tuple[str, str | None]]]:
    return outcome.how, outcome.exit_status, outcome.stdout, [(e.name, e.resource) for e in outcome.events]


def ask(box: Sandbox) -> Outcome:
    """A run that reads what is granted, writes what is not, and prints."""
    return box.run(arguments=["read", "/d/f", "--", "write", "/d/g", "x"])


def descriptors(pid: int | str = "self") -> list[str]:
    """What each open descriptor of a process is, without the numbers of pipes and sockets."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.append(os.readlink(f"/proc/{pid}/fd/{number}").partition(":[")[0])
    return sorted(found)


def gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


DEATHS = {
    "before-it-closes": {"closing": "os.abort()", "idle": "pass"},
    "error": {"closing": "raise RuntimeError('closing')", "idle": "pass"},
    "before-it-says-so": {"closing": "pass", "idle": "os._exit(3)"},
    "nonsense": {"closing": "pass", "idle": "self.end.send(b'no message')"},
    "another-word": {"closing": "pass", "idle": "send(self, 'compiled')"},
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_that_dies_after_a_run(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: str
) -> None:
    """The run that was over is told whole, and the next has another worker; it never hears of it."""
    expected = whole(ask(box))
    assert expected[0] == "exited"
    assert [name for name, _ in expected[3]] == ["denied", "ended"]
    monkeypatch.setattr(process, "PROGRAM", UNTIL_THEN.format(**DEATHS[death]))
    with Sandbox(box.policy) as other:
        before = descriptors()
        pids = []
        for _ in range(3):
            assert whole(ask(other)) == expected
            pids += [worker.pid for worker in idle(other)]
        assert len(set(pids)) == len(pids) == 3
        assert [gone(pid) for pid in pids[:2]] == [True, True]
    assert gone(pids[2])
    assert descriptors() == before


@pytest.mark.parametrize("where", ["closing", "idle"])
def test_a_worker_that_is_never_idle(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The run that was over does not wait for it; the next does, within a bound, and then has another worker."""
    expected = whole(ask(box))
    hangs = {"closing": "pass", "idle": "pass", where: "time.sleep(60)"}
    monkeypatch.setattr(process, "PROGRAM", UNTIL_THEN.format(**hangs))
    monkeypatch.setattr(process, "SETTLES", 400)
    with Sandbox(box.policy) as other:
        before = descriptors()
        first = ask(other)
        assert whole(first) == expected
        (worker,) = idle(other)
        started = time.monotonic()
        assert whole(ask(other)) == expected
        assert 0.4 <= time.monotonic() - started < 10
        assert gone(worker.pid)
        (last,) = idle(other)
        started = time.monotonic()
    assert time.monotonic() - started < 1  # what is not idle is not waited for at the end
    assert gone(last.pid)
    assert descriptors() == before


def test_an_interrupt_while_a_worker_is_waited_for(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on to the caller, and the worker is ended; the sandbox can be used again."""
    ask(box)
    (worker,) = idle(box)

    def interrupted(_: WorkerProcess) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WorkerProcess, "settle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(box)
    assert (idle(box), gone(worker.pid)) == ([], True)
    assert ask(box).how == "exited"


def test_a_worker_that_takes_long(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the bound, the next run waits for it and has it."""
    monkeypatch.setattr(process, "PROGRAM", UNTIL_THEN.format(closing="time.sleep(0.3)", idle="pass"))
    with Sandbox(box.policy) as other:
        ask(other)
        (worker,) = idle(other)
        started = time.monotonic()
        ask(other)
        assert time.monotonic() - started >= 0.25
        assert idle(other) == [worker]


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
@pytest.mark.parametrize("mode", ["capture", "file"])
def test_output_of_a_worker_that_keeps_its_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, size: int
) -> None:
    """All that a guest wrote is there when its run is over, though nobody has closed the pipe it came through."""
    out = tmp_path / "out"
    monkeypatch.setattr(process, "PROGRAM", UNTIL_THEN.format(closing="time.sleep(60)", idle="pass"))
    data = policy_data(stdio={"stdout": "capture" if mode == "capture" else {"file": str(out)}})
    with Sandbox(write_policy(tmp_path, data)) as box:
        started = time.monotonic()
        outcome = box.run(arguments=["flood", str(size), "--", "stdout", "end"])
        assert time.monotonic() - started < 4
    found = (outcome.stdout or b"") if mode == "capture" else out.read_bytes()
    assert outcome.how == "exited"
    assert len(found) == outcome.usage.output >= size
    assert found.endswith(b"endstdout end -> ok written=3\n")


def test_nothing_is_left_of_a_run(box: Sandbox, tmp_path: Path) -> None:
    """When a worker is idle, its descriptors are those that it had before: no directory, stream or file of the run."""
    ask(box)
    worker = box._workers.take()
    before = descriptors(worker.pid)
    assert not [name for name in before if name.startswith(os.fspath(tmp_path))]
    assert before.count("pipe") == 2  # its standard output and error
    box._workers.give(worker, True)
    for _ in range(3):
        ask(box)
    assert box._workers.take() is worker
    assert descriptors(worker.pid) == before
    worker.kill()
    worker.close()
