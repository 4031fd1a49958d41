"""Files that are more than a name in the granted directory: hard links, FIFOs, sockets, devices."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import (
    HARD_LINK,
    PERMISSIONS,
    READ_ONLY,
    SPECIAL,
    Attempt,
    directory,
    read,
    snapshot,
    write,
)


def tree(root: Path) -> tuple[Path, Path]:
    """A directory to grant that holds a second name of a file outside of it, and the directory with the first."""
    granted, outside = root / "g", root / "outside"
    (granted / "d").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("secret")
    os.link(outside / "secret", granted / "hard")
    (granted / "one").write_text("one")
    os.symlink("hard", granted / "soft")
    return granted, outside


HARD_LINKS_REFUSED = [
    Attempt("read /g/hard", "errno EACCES", (read("/g/hard", HARD_LINK),)),
    Attempt("read /g/soft", "errno EACCES", (read("/g/soft", HARD_LINK),)),
    Attempt("open-nofollow /g/hard", "errno EACCES", (read("/g/hard", HARD_LINK),)),
    Attempt("open-write /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("open-both /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("write /g/hard x", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("write /g/soft x", "errno EACCES", (write("/g/soft", HARD_LINK),)),
    Attempt("append /g/hard x", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("truncate /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("truncate-read /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("ftruncate /g/hard 0", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("utimes /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("utimes /g/soft", "errno EACCES", (write("/g/soft", HARD_LINK),)),
    Attempt("create /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("create-exclusive /g/hard", "errno EACCES", (write("/g/hard", HARD_LINK),)),
    Attempt("open-directory /g/hard", "errno EACCES", (read("/g/hard", HARD_LINK),)),
    Attempt("stat /g/hard", "ok type=file size=6 links=2"),
    Attempt("link /g/hard /g/again", "errno EACCES", (write("/g/hard -> /g/again", HARD_LINK),)),
    Attempt("link /g/one /g/two", "errno EACCES", (write("/g/one -> /g/two", HARD_LINK),)),
    Attempt("rename /g/hard /g/d/moved", "ok"),
    Attempt("read /g/d/moved", "errno EACCES", (read("/g/d/moved", HARD_LINK),)),
    Attempt(
        "hold d /g/d directory -- read @d@moved -- write @d@moved x",
        "ok; errno EACCES; errno EACCES",
        (
            read("/g/d/moved", HARD_LINK),
            write("/g/d/moved", HARD_LINK),
        ),
    ),
]


def test_hard_links_refused(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A file with a second name is not opened, changed or given a third; it may be seen and renamed."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/g", "write")], HARD_LINKS_REFUSED) == HARD_LINKS_REFUSED
    assert snapshot(outside) == before


HARD_LINKS_ALLOWED = [
    Attempt("read /g/hard", 'ok 6 "secret"'),
    Attempt("read /g/soft", 'ok 6 "secret"'),
    Attempt("open-nofollow /g/hard", "ok"),
    Attempt("open-write /g/hard", "ok"),
    Attempt("open-both /g/hard", "ok"),
    Attempt("write /g/hard x", "ok written=1"),
    Attempt("write /g/soft x", "ok written=1"),
    Attempt("append /g/hard x", "ok written=1"),
    Attempt("truncate /g/hard", "ok"),
    Attempt("truncate-read /g/hard", "ok"),
    Attempt("ftruncate /g/hard 0", "ok"),
    Attempt("utimes /g/hard", "ok"),
    Attempt("utimes /g/soft", "ok"),
    Attempt("create /g/hard", "ok"),
    Attempt("create-exclusive /g/hard", "errno EEXIST"),
    Attempt("open-directory /g/hard", "errno ENOTDIR"),
    Attempt("stat /g/hard", "ok type=file size=0 links=2"),
    Attempt("link /g/hard /g/again", "ok"),
    Attempt("link /g/one /g/two", "ok"),
    Attempt("rename /g/hard /g/d/moved", "ok"),
    Attempt("read /g/d/moved", 'ok 0 ""'),
    Attempt("hold d /g/d directory -- read @d@moved -- write @d@moved x", 'ok; ok 0 ""; ok written=1'),
    Attempt("link /g/one /g/hard2", "ok"),
    Attempt("link-follow /g/soft /g/d/l", "errno EINVAL"),
    Attempt("link /g/missing /g/x", "errno ENOENT"),
    Attempt("link /g/d /g/dd", "errno EPERM", (write("/g/d -> /g/dd", PERMISSIONS),)),
]


def test_hard_links_allowed(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """``hard-links: allow`` opens files with several names and makes more of them, within the grant."""
    granted, outside = tree(tmp_path)
    assert attempt([directory(granted, "/g", "write", hard_links="allow")], HARD_LINKS_ALLOWED) == HARD_LINKS_ALLOWED
    assert (outside / "secret").read_text() == "x"
    assert (outside / "secret").stat().st_nlink == 3


HARD_LINKS_ALLOWED_READ = [
    Attempt("read /g/hard", 'ok 6 "secret"'),
    Attempt("write /g/hard x", "errno EPERM", (write("/g/hard", READ_ONLY),)),
    Attempt("truncate /g/hard", "errno EPERM", (write("/g/hard", READ_ONLY),)),
    Attempt("utimes /g/hard", "errno EPERM", (write("/g/hard", READ_ONLY),)),
    Attempt("ftruncate /g/hard 0", "errno EPERM", (write("/g/hard", READ_ONLY),)),
    Attempt("link /g/hard /g/again", "errno EPERM", (write("/g/hard -> /g/again", READ_ONLY),)),
    Attempt("rename /g/hard /g/moved", "errno EPERM", (write("/g/hard -> /g/moved", READ_ONLY),)),
    Attempt("unlink /g/hard", "errno EPERM", (write("/g/hard", READ_ONLY),)),
]


def test_hard_links_allowed_read(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """``hard-links: allow`` on a directory for reading lets nothing be written through the second name."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert (
        attempt([directory(granted, "/g", "read", hard_links="allow")], HARD_LINKS_ALLOWED_READ)
        == HARD_LINKS_ALLOWED_READ
    )
    assert snapshot(outside) == before


REMOVED_HARD_LINK = [
    Attempt("rename /g/one /g/hard", "ok"),
    Attempt("read /g/hard", 'ok 3 "one"'),
    Attempt("unlink /g/soft", "ok"),
]


def test_removed_hard_link(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Removing a second name, or renaming a file over it, is a change of the granted directory: contents stay."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/g", "write")], REMOVED_HARD_LINK) == REMOVED_HARD_LINK
    assert (outside / "secret").read_text() == "secret"
    assert (outside / "secret").stat().st_mtime_ns == before["secret"].mtime_ns


FIFO_AND_SOCKET = [
    Attempt("open-read /g/fifo", "errno EACCES", (read("/g/fifo", SPECIAL),)),
    Attempt("open-write /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("open-both /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("open-nofollow /g/fifo", "errno EACCES", (read("/g/fifo", SPECIAL),)),
    Attempt("open-directory /g/fifo", "errno EACCES", (read("/g/fifo", SPECIAL),)),
    Attempt("create /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("truncate /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("append /g/fifo x", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("utimes /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("ftruncate /g/fifo 0", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("stat /g/fifo", "ok type=unknown"),
    Attempt("open-read /g/to-fifo", "errno EACCES", (read("/g/to-fifo", SPECIAL),)),
    Attempt("open-write /g/to-fifo", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("open-both /g/to-fifo", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("open-nofollow /g/to-fifo", "errno ELOOP"),
    Attempt("open-directory /g/to-fifo", "errno EACCES", (read("/g/to-fifo", SPECIAL),)),
    Attempt("create /g/to-fifo", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("truncate /g/to-fifo", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("append /g/to-fifo x", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("utimes /g/to-fifo", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("ftruncate /g/to-fifo 0", "errno EACCES", (write("/g/to-fifo", SPECIAL),)),
    Attempt("stat /g/to-fifo", "ok type=unknown"),
    Attempt("open-read /g/socket", "errno EACCES", (read("/g/socket", SPECIAL),)),
    Attempt("open-write /g/socket", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("open-both /g/socket", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("open-nofollow /g/socket", "errno EACCES", (read("/g/socket", SPECIAL),)),
    Attempt("open-directory /g/socket", "errno EACCES", (read("/g/socket", SPECIAL),)),
    Attempt("create /g/socket", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("truncate /g/socket", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("append /g/socket x", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("utimes /g/socket", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("ftruncate /g/socket 0", "errno EACCES", (write("/g/socket", SPECIAL),)),
    Attempt("stat /g/socket", "ok type=unknown"),
    Attempt("list /g", 'ok 3 "fifo"? "socket"? "to-fifo"@'),
    Attempt("link /g/fifo /g/again", "errno EACCES", (write("/g/fifo -> /g/again", HARD_LINK),)),
    Attempt("rename /g/fifo /g/renamed", "ok"),
    Attempt("open-read /g/renamed", "errno EACCES", (read("/g/renamed", SPECIAL),)),
    Attempt("unlink /g/socket", "ok"),
]


def test_fifo_and_socket(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A FIFO or socket in a granted directory is never opened, so nothing waits for its other end."""
    granted = tmp_path / "g"
    granted.mkdir()
    os.mkfifo(granted / "fifo")
    os.symlink("fifo", granted / "to-fifo")
    listening = socket.socket(socket.AF_UNIX)
    folder = os.open(granted, os.O_PATH)
    listening.bind(f"/proc/self/fd/{folder}/socket")  # a socket's own path may have 107 bytes
    os.close(folder)
    listening.close()
    assert attempt([directory(granted, "/g", "write")], FIFO_AND_SOCKET, limits={"deadline": "10s"}) == FIFO_AND_SOCKET


FIFO_AND_SOCKET_OTHERWISE = [
    Attempt("open-read /g/fifo", "errno EACCES", (read("/g/fifo", SPECIAL),)),
    Attempt("open-write /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("open-both /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("open-nofollow /g/fifo", "errno EACCES", (read("/g/fifo", SPECIAL),)),
    Attempt("open-directory /g/fifo", "errno EACCES", (read("/g/fifo", SPECIAL),)),
    Attempt("create /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("truncate /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("append /g/fifo x", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("utimes /g/fifo", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("ftruncate /g/fifo 0", "errno EACCES", (write("/g/fifo", SPECIAL),)),
    Attempt("stat /g/fifo", "ok type=unknown"),
    Attempt("open-read /g/socket", "errno EACCES", (read("/g/socket", SPECIAL),)),
    Attempt("open-read /e/fifo", "errno EACCES", (read("/e/fifo", SPECIAL),)),
    Attempt("open-directory /e/fifo", "errno EACCES", (read("/e/fifo", SPECIAL),)),
    Attempt("open-write /e/fifo", "errno EACCES", (write("/e/fifo", SPECIAL),)),
]


def test_fifo_and_socket_otherwise(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Neither ``hard-links: allow`` nor ``except`` opens the way to a FIFO or socket."""
    granted = tmp_path / "g"
    granted.mkdir()
    os.mkfifo(granted / "fifo")
    os.symlink("fifo", granted / "to-fifo")
    listening = socket.socket(socket.AF_UNIX)
    folder = os.open(granted, os.O_PATH)
    listening.bind(f"/proc/self/fd/{folder}/socket")  # a socket's own path may have 107 bytes
    os.close(folder)
    listening.close()

    (tmp_path / "g2").mkdir()
    os.mkfifo(tmp_path / "g2" / "fifo")
    assert (
        attempt(
            [directory(granted, "/g", "write", hard_links="allow"), directory(tmp_path / "g2", "/e", excepted=["x"])],
            FIFO_AND_SOCKET_OTHERWISE,
            limits={"deadline": "10s"},
        )
        == FIFO_AND_SOCKET_OTHERWISE
    )


needs_devices = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")


def make_device(path: Path, kind: int, number: int) -> None:
    """Make a device node, or skip the test where not even root may (a container without ``CAP_MKNOD``)."""
    try:
        os.mknod(path, 0o666 | kind, number)
    except PermissionError:
        pytest.skip("this machine lets nobody make device nodes")


DEVICES = [
    Attempt("open-read /g/null", "errno EACCES", (read("/g/null", SPECIAL),)),
    Attempt("open-write /g/null", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("open-both /g/null", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("open-nofollow /g/null", "errno EACCES", (read("/g/null", SPECIAL),)),
    Attempt("open-directory /g/null", "errno EACCES", (read("/g/null", SPECIAL),)),
    Attempt("create /g/null", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("truncate /g/null", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("append /g/null x", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("utimes /g/null", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("ftruncate /g/null 0", "errno EACCES", (write("/g/null", SPECIAL),)),
    Attempt("stat /g/null", "ok type=character-device"),
    Attempt("open-read /g/loop", "errno EACCES", (read("/g/loop", SPECIAL),)),
    Attempt("open-write /g/loop", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("open-both /g/loop", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("open-nofollow /g/loop", "errno EACCES", (read("/g/loop", SPECIAL),)),
    Attempt("open-directory /g/loop", "errno EACCES", (read("/g/loop", SPECIAL),)),
    Attempt("create /g/loop", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("truncate /g/loop", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("append /g/loop x", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("utimes /g/loop", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("ftruncate /g/loop 0", "errno EACCES", (write("/g/loop", SPECIAL),)),
    Attempt("stat /g/loop", "ok type=block-device"),
    Attempt("open-read /g/to-null", "errno EACCES", (read("/g/to-null", SPECIAL),)),
    Attempt("open-write /g/to-null", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("open-both /g/to-null", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("open-nofollow /g/to-null", "errno ELOOP"),
    Attempt("open-directory /g/to-null", "errno EACCES", (read("/g/to-null", SPECIAL),)),
    Attempt("create /g/to-null", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("truncate /g/to-null", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("append /g/to-null x", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("utimes /g/to-null", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("ftruncate /g/to-null 0", "errno EACCES", (write("/g/to-null", SPECIAL),)),
    Attempt("stat /g/to-null", "ok type=character-device"),
    Attempt("list /g", 'ok 3 "loop"? "null"? "to-null"@'),
    Attempt("rename /g/null /g/renamed", "ok"),
    Attempt("unlink /g/renamed", "ok"),
]


@needs_devices
def test_devices(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A device node in a granted directory is never opened, not even to see that it is no directory."""
    granted = tmp_path / "g"
    granted.mkdir()
    for name, kind, number in (("null", stat.S_IFCHR, (1, 3)), ("loop", stat.S_IFBLK, (7, 0))):
        make_device(granted / name, kind, os.makedev(*number))
    os.symlink("null", granted / "to-null")
    assert attempt([directory(granted, "/g", "write")], DEVICES) == DEVICES
