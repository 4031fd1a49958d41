"""Opening below a directory and never outside of it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from sandbox.broker.beneath import BENEATH, NO_MAGICLINKS, NO_SYMLINKS, open_beneath


def opened(directory: Path, path: bytes, resolve: int = BENEATH | NO_MAGICLINKS) -> str:
    """What is opened, as a path relative to ``directory``."""
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        found = open_beneath(at, path, os.O_PATH | os.O_CLOEXEC, resolve)
    finally:
        os.close(at)
    try:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{found}"), directory)
    finally:
        os.close(found)


def test_below_and_outside(tmp_path: Path) -> None:
    """Links are followed inside, unless none is to be; nothing leads out."""
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "link").symlink_to("sub")
    (tmp_path / "d" / "out").symlink_to("..")
    assert opened(tmp_path / "d", b"link/../sub") == "sub"
    for path, resolve, number in (
        (b"link", BENEATH | NO_SYMLINKS, errno.ELOOP),
        (b"out", BENEATH, errno.EXDEV),
        (b"..", BENEATH, errno.EXDEV),
        (b"/", BENEATH, errno.EXDEV),
        (b"none", BENEATH, errno.ENOENT),
    ):
        with pytest.raises(OSError, match=os.strerror(number)) as raised:
            opened(tmp_path / "d", path, resolve)
        assert raised.value.errno == number


def test_renames_elsewhere_do_not_disturb(tmp_path: Path) -> None:
    """A path with ``..`` is resolved though files are renamed all the time, which makes the kernel give up at times."""
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"")
    done = threading.Event()

    def rename() -> None:
        while not done.is_set():
            os.rename(tmp_path / "a", tmp_path / "b")
            os.rename(tmp_path / "b", tmp_path / "a")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        assert {opened(tmp_path / "d", b"sub/../sub/../sub") for _ in range(20_000)} == {"sub"}
    finally:
        done.set()
        thread.join()
