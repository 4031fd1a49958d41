"""Names that are swapped between check and use, as a second run in the same directory could: nothing gets through."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.harness import HARD_LINK, LINK, Denial, Ran, directory

TRIES = 1500
EVENTS = {"events": 2 * TRIES, "disk": "1GiB"}


@contextmanager
def swapping(name: Path, *others: Path) -> Iterator[None]:
    """``name`` is one of ``others`` at a time, in turn, as fast as renames go."""
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for other in others:
                os.rename(other, name)
                os.rename(name, other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def exchanging(name: Path, other: Path) -> Iterator[None]:
    """What the two names stand for is exchanged in one step, again and again: each is always there."""
    code = (
        "import ctypes, sys; c = ctypes.CDLL(None)\n"
        "while True: c.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(name), str(other)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def repeated(command: str) -> list[str]:
    return [command] * TRIES


def test_truncate_of_a_swapped_hard_link(tmp_path: Path, probe: Callable[..., Ran]) -> None:
    """A file with a name outside the grant is never truncated, however it gets under the name that is opened."""
    outside, inside = tmp_path / "outside.txt", tmp_path / "inside"
    inside.mkdir()
    outside.write_text("precious" * 100)
    os.link(outside, inside / "planted")
    (inside / "normal").write_text("n")
    with swapping(inside / "x", inside / "planted", inside / "normal"):
        ran = probe([directory(inside, "/w", "write")], *repeated("truncate /w/x"), limits=EVENTS)
    assert outside.read_text() == "precious" * 100
    assert {d for d in ran.denials if d.capability == "filesystem.write"} == {
        Denial("filesystem.write", "/w/x", HARD_LINK)
    }
    assert len(ran.lines) == TRIES


def test_excepted_file_behind_a_swapped_link(tmp_path: Path, probe: Callable[..., Ran]) -> None:
    """A link to what is excepted is not followed, as a file or as a directory in the middle of the path."""
    inside = tmp_path / "inside"
    (inside / "secret").mkdir(parents=True)
    (inside / "open").mkdir()
    (inside / "secret" / "x").write_text("TOPSECRET")
    (inside / "open" / "x").write_text("harmless")
    (inside / "file").write_text("harmless")
    os.symlink("secret", inside / "link")
    os.symlink("secret/x", inside / "file-link")
    grants = [directory(inside, "/w", "write", excepted=["secret"])]
    with swapping(inside / "d", inside / "link", inside / "open"):
        through = probe(grants, *repeated("read /w/d/x"), limits=EVENTS)
    with swapping(inside / "f", inside / "file-link", inside / "file"):
        last = probe(grants, *repeated("read /w/f"), limits=EVENTS)
    for ran, name in ((through, "/w/d/x"), (last, "/w/f")):
        assert "TOPSECRET" not in ran.stdout
        assert "harmless" in ran.stdout
        refused = {d for d in ran.denials if d.capability == "filesystem.read"}
        assert refused == {Denial("filesystem.read", name, LINK)}


def test_write_behind_a_swapped_link(tmp_path: Path, probe: Callable[..., Ran]) -> None:
    """A link to a directory that is granted apart, for reading, is no way to write there."""
    inside = tmp_path / "inside"
    (inside / "in").mkdir(parents=True)
    (inside / "open").mkdir()
    (inside / "in" / "x").write_text("precious")
    (inside / "open" / "x").write_text("harmless")
    os.symlink("in", inside / "link")
    grants = [directory(inside, "/w", "write"), directory(inside / "in", "/in")]
    with swapping(inside / "d", inside / "link", inside / "open"):
        ran = probe(grants, *repeated("truncate /w/d/x"), limits=EVENTS)
    assert (inside / "in" / "x").read_text() == "precious"
    assert {d for d in ran.denials if d.capability == "filesystem.write"} == {
        Denial("filesystem.write", "/w/d/x", LINK)
    }


def test_a_link_before_a_slash(tmp_path: Path, probe: Callable[..., Ran]) -> None:
    """A directory named with a slash after it, for which a link is exchanged: what is excepted is not reached."""
    inside = tmp_path / "inside"
    for name in ("secret", "x"):
        (inside / name).mkdir(parents=True)
    (inside / "secret" / "key").write_text("key")
    (inside / "link").symlink_to("secret")
    os.utime(inside / "secret", (5, 5))
    grants = [directory(inside, "/w", "write", excepted=["secret"])]
    with exchanging(inside / "x", inside / "link"):
        listed = set(probe(grants, *repeated("list @/w@x/"), limits=EVENTS).lines)
        touched = set(probe(grants, *repeated("utimes @/w@x/"), limits=EVENTS).lines)
    refused = {f"errno {name}" for name in ("EACCES", "ELOOP", "ENOTDIR")}
    assert {"ok 0", "errno EACCES"} <= {line.partition(" -> ")[2] for line in listed} <= {"ok 0", *refused}
    assert {"ok", "errno EACCES"} <= {line.partition(" -> ")[2] for line in touched} <= {"ok", *refused}
    assert (inside / "secret").stat().st_mtime == 5


def test_a_rename_of_what_is_not_there_yet(tmp_path: Path, probe: Callable[..., Ran]) -> None:
    """A directory that is moved away and back by somebody else is not renamed out of what the policy excepts."""
    inside = tmp_path / "inside"
    (inside / "elsewhere").mkdir(parents=True)
    (inside / "elsewhere" / "key").write_text("secret")
    commands = ["rename /w/a /w/b", "read /w/b/key"] * (TRIES // 2)
    with swapping(inside / "a", inside / "elsewhere"):
        ran = probe([directory(inside, "/w", "write", excepted=["a/key"])], *commands, limits=EVENTS)
    found = {line.partition(" -> ")[2] for line in ran.lines}
    assert {"errno EACCES", "errno ENOENT"} == found
    assert not (inside / "b").exists()
