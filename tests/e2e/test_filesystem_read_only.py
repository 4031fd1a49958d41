"""A directory granted for reading stays as it is, whatever a guest tries."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import (
    ACROSS,
    HARD_LINK,
    LINK,
    LINK_TARGET,
    LINKED_OUT,
    READ_ONLY,
    Attempt,
    directory,
    read,
    snapshot,
    write,
)


def tree(root: Path) -> Path:
    """A directory to grant for reading."""
    granted = root / "w" / "g"
    for name in ("d", "empty"):
        (granted / name).mkdir(parents=True)
    (granted / "a").write_text("abc")
    (granted / "d" / "b").write_text("b")
    os.symlink("a", granted / "l")
    return granted


READ_ONLY_GRANT = [
    Attempt("open-write /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("open-both /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("create /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("create /g/new", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("create-exclusive /g/new", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("create-exclusive /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("create-read /g/new", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("create-read /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("truncate /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("truncate-read /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("truncate /g/l", "errno EPERM", (write("/g/l", READ_ONLY),)),
    Attempt("write /g/a x", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("write /g/new x", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("write /g/./d/../a x", "errno EPERM", (write("/g/./d/../a", READ_ONLY),)),
    Attempt("write /g/d/ x", "errno EPERM", (write("/g/d/", READ_ONLY),)),
    Attempt("append /g/a x", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("write-at /g/a 1 x", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("write-loop /g/a 100", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("ftruncate /g/a 0", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("allocate /g/a 10", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("utimes /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("utimes /g/d", "errno EPERM", (write("/g/d", READ_ONLY),)),
    Attempt("utimes /g", "errno EPERM", (write("/g/.", READ_ONLY),)),
    Attempt("utimes /g/l", "errno EPERM", (write("/g/l", READ_ONLY),)),
    Attempt("mkdir /g/new", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("mkdir /g/d", "errno EPERM", (write("/g/d", READ_ONLY),)),
    Attempt("mkdir /g/d/new", "errno EPERM", (write("/g/d/new", READ_ONLY),)),
    Attempt("rmdir /g/empty", "errno EPERM", (write("/g/empty", READ_ONLY),)),
    Attempt("rmdir /g/d", "errno EPERM", (write("/g/d", READ_ONLY),)),
    Attempt("rmdir /g", "errno EPERM", (write("/g/.", READ_ONLY),)),
    Attempt("unlink /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("unlink /g/l", "errno EPERM", (write("/g/l", READ_ONLY),)),
    Attempt("unlink /g/d/b", "errno EPERM", (write("/g/d/b", READ_ONLY),)),
    Attempt("unlink /g/new", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("rename /g/a /g/new", "errno EPERM", (write("/g/a -> /g/new", READ_ONLY),)),
    Attempt("rename /g/d /g/new", "errno EPERM", (write("/g/d -> /g/new", READ_ONLY),)),
    Attempt("rename /g/a /g/d/a", "errno EPERM", (write("/g/a -> /g/d/a", READ_ONLY),)),
    Attempt("rename /g/l /g/m", "errno EPERM", (write("/g/l -> /g/m", READ_ONLY),)),
    Attempt("rename /g/new /g/a", "errno EPERM", (write("/g/new -> /g/a", READ_ONLY),)),
    Attempt("link /g/a /g/new", "errno EACCES", (write("/g/a -> /g/new", HARD_LINK),)),
    Attempt("symlink a /g/new", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("symlink a /g/a", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt(
        "hold h /g/a read -- fd-size h 0 -- fd-times h -- fd-allocate h 10 -- fd-sync h -- fd-read h",
        'ok; errno EPERM; errno EPERM; errno ENOTSUP; ok; ok 3 "abc"',
        (
            write("/g/a", READ_ONLY),
            write("/g/a", READ_ONLY),
        ),
    ),
    Attempt("hold h /g/a write", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt("hold h /g/new create", "errno EPERM", (write("/g/new", READ_ONLY),)),
    Attempt("hold h /g/a append", "errno EPERM", (write("/g/a", READ_ONLY),)),
    Attempt(
        "hold d /g/d directory -- create @d@n -- write @d@b x -- unlink @d@b -- mkdir @d@n -- rmdir @d@.",
        "ok; errno EPERM; errno EPERM; errno EPERM; errno EPERM; errno EPERM",
        (
            write("/g/d/n", READ_ONLY),
            write("/g/d/b", READ_ONLY),
            write("/g/d/b", READ_ONLY),
            write("/g/d/n", READ_ONLY),
            write("/g/d/.", READ_ONLY),
        ),
    ),
    Attempt(
        "hold d /g/d directory -- rename @d@b @d@c -- utimes @d@. -- utimes @d@b -- symlink x @d@y -- read @d@b",
        'ok; errno EPERM; errno EPERM; errno EPERM; errno EPERM; ok 1 "b"',
        (
            write("/g/d/b -> /g/d/c", READ_ONLY),
            write("/g/d/.", READ_ONLY),
            write("/g/d/b", READ_ONLY),
            write("/g/d/y", READ_ONLY),
        ),
    ),
    Attempt("read-handle-after-rename /g/d /g/z b", "errno EPERM", (write("/g/d -> /g/z", READ_ONLY),)),
    Attempt("list /g", 'ok 4 "a" "d"/ "empty"/ "l"@'),
]


def test_read_only_grant(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A directory granted for reading is written by no call, no flag and no handle, and each try is recorded once."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g")], READ_ONLY_GRANT) == READ_ONLY_GRANT
    assert snapshot(granted) == before


READ_ONLY_INSIDE_WRITE = [
    Attempt("open-write /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("open-both /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("create /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("create /w/g/new", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("create-exclusive /w/g/new", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("create-exclusive /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("create-read /w/g/new", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("create-read /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("truncate /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("truncate-read /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("truncate /w/g/l", "errno EACCES", (write("/w/g/l", LINK),)),
    Attempt("write /w/g/a x", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("write /w/g/new x", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("write /w/g/./d/../a x", "errno EPERM", (write("/w/g/./d/../a", READ_ONLY),)),
    Attempt("write /w/g/d/ x", "errno EPERM", (write("/w/g/d/", READ_ONLY),)),
    Attempt("append /w/g/a x", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("write-at /w/g/a 1 x", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("write-loop /w/g/a 100", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("ftruncate /w/g/a 0", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("allocate /w/g/a 10", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("utimes /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("utimes /w/g/d", "errno EPERM", (write("/w/g/d", READ_ONLY),)),
    Attempt("utimes /w/g", "errno EPERM", (write("/w/g", READ_ONLY),)),
    Attempt("utimes /w/g/l", "errno EACCES", (write("/w/g/l", LINK),)),
    Attempt("mkdir /w/g/new", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("mkdir /w/g/d", "errno EPERM", (write("/w/g/d", READ_ONLY),)),
    Attempt("mkdir /w/g/d/new", "errno EPERM", (write("/w/g/d/new", READ_ONLY),)),
    Attempt("rmdir /w/g/empty", "errno EPERM", (write("/w/g/empty", READ_ONLY),)),
    Attempt("rmdir /w/g/d", "errno EPERM", (write("/w/g/d", READ_ONLY),)),
    Attempt("rmdir /w/g", "errno EPERM", (write("/w/g", READ_ONLY),)),
    Attempt("unlink /w/g/a", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("unlink /w/g/l", "errno EPERM", (write("/w/g/l", READ_ONLY),)),
    Attempt("unlink /w/g/d/b", "errno EPERM", (write("/w/g/d/b", READ_ONLY),)),
    Attempt("unlink /w/g/new", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("rename /w/g/a /w/g/new", "errno EPERM", (write("/w/g/a -> /w/g/new", READ_ONLY),)),
    Attempt("rename /w/g/d /w/g/new", "errno EPERM", (write("/w/g/d -> /w/g/new", READ_ONLY),)),
    Attempt("rename /w/g/a /w/g/d/a", "errno EPERM", (write("/w/g/a -> /w/g/d/a", READ_ONLY),)),
    Attempt("rename /w/g/l /w/g/m", "errno EPERM", (write("/w/g/l -> /w/g/m", READ_ONLY),)),
    Attempt("rename /w/g/new /w/g/a", "errno EPERM", (write("/w/g/new -> /w/g/a", READ_ONLY),)),
    Attempt("link /w/g/a /w/g/new", "errno EACCES", (write("/w/g/a -> /w/g/new", HARD_LINK),)),
    Attempt("symlink a /w/g/new", "errno EACCES", (write("/w/g/new -> a", LINK),)),
    Attempt("symlink a /w/g/a", "errno EACCES", (write("/w/g/a -> a", LINK),)),
    Attempt(
        "hold h /w/g/a read -- fd-size h 0 -- fd-times h -- fd-allocate h 10 -- fd-sync h -- fd-read h",
        'ok; errno EPERM; errno EPERM; errno ENOTSUP; ok; ok 3 "abc"',
        (
            write("/g/a", READ_ONLY),
            write("/g/a", READ_ONLY),
        ),
    ),
    Attempt("hold h /w/g/a write", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt("hold h /w/g/new create", "errno EPERM", (write("/w/g/new", READ_ONLY),)),
    Attempt("hold h /w/g/a append", "errno EPERM", (write("/w/g/a", READ_ONLY),)),
    Attempt(
        "hold d /w/g/d directory -- create @d@n -- write @d@b x -- unlink @d@b -- mkdir @d@n -- rmdir @d@.",
        "ok; errno EPERM; errno EPERM; errno EPERM; errno EPERM; errno EPERM",
        (
            write("/g/d/n", READ_ONLY),
            write("/g/d/b", READ_ONLY),
            write("/g/d/b", READ_ONLY),
            write("/g/d/n", READ_ONLY),
            write("/g/d/.", READ_ONLY),
        ),
    ),
    Attempt(
        "hold d /w/g/d directory -- rename @d@b @d@c -- utimes @d@. -- utimes @d@b -- symlink x @d@y -- read @d@b",
        'ok; errno EPERM; errno EPERM; errno EPERM; errno EPERM; ok 1 "b"',
        (
            write("/g/d/b -> /g/d/c", READ_ONLY),
            write("/g/d/.", READ_ONLY),
            write("/g/d/b", READ_ONLY),
            write("/g/d/y", READ_ONLY),
        ),
    ),
    Attempt("read-handle-after-rename /w/g/d /w/g/z b", "errno EPERM", (write("/w/g/d -> /w/g/z", READ_ONLY),)),
    Attempt("list /w/g", 'ok 4 "a" "d"/ "empty"/ "l"@'),
    Attempt("rename /w/g /w/h", "errno EXDEV", (write("/w/g -> /w/h", ACROSS),)),
    Attempt("rename /w/x /w/g/x", "errno EXDEV", (write("/w/x -> /w/g/x", ACROSS),)),
    Attempt("rename /w/g/a /w/a", "errno EXDEV", (write("/w/g/a -> /w/a", ACROSS),)),
    Attempt("rmdir /w/g", "errno EPERM", (write("/w/g", READ_ONLY),)),
    Attempt(
        "hold w /w directory -- write @w@g/a x -- read @w@g/a -- unlink @w@g/../g/a -- rename @w@g @w@h",
        'ok; errno EPERM; ok 3 "abc"; errno EPERM; errno EXDEV',
        (
            write("/w/g/a", READ_ONLY),
            write("/w/g/../g/a", READ_ONLY),
            write("/w/g -> /w/h", ACROSS),
        ),
    ),
    Attempt(
        "hold g /w/g directory -- write @g@a x -- rename @g@a /w/a -- rename /w/g/d @g@e",
        "ok; errno EPERM; errno EXDEV; errno EXDEV",
        (
            write("/g/a", READ_ONLY),
            write("/g/a -> /w/a", ACROSS),
            write("/w/g/d -> /g/e", ACROSS),
        ),
    ),
    Attempt("write /w/x y", "ok written=1"),
    Attempt("list /w", 'ok 2 "g"/ "x"'),
]


def test_read_only_inside_write(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Nor is it written through a writable grant of a directory above it: the narrower grant decides."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert (
        attempt([directory(granted, "/g"), directory(granted.parent, "/w", "write")], READ_ONLY_INSIDE_WRITE)
        == READ_ONLY_INSIDE_WRITE
    )
    assert snapshot(granted) == before


WRITE_TO_READ = {
    "component": Attempt(
        "hold h /g/a read -- fd-write h x -- fd-read h",
        'ok; errno EPERM written=0; ok 3 "abc"',
        (write("/g/a", READ_ONLY),),
    ),
    "module": Attempt("hold h /g/a read -- fd-write h x -- fd-read h", 'ok; errno EBADF written=0; ok 3 "abc"'),
}


def test_write_to_what_was_opened_for_reading(
    tmp_path: Path, attempt: Callable[..., list[Attempt]], guest: str
) -> None:
    """A component asks for a stream to write to, which is refused. Of a module preview 1 says that it asked for none.

    That is no refusal: it says the same where writing is granted.
    """
    granted = tree(tmp_path)
    before = snapshot(granted)
    expected = [WRITE_TO_READ[guest]]
    assert attempt([directory(granted, "/g")], expected) == expected
    assert snapshot(granted) == before


READ_ONLY_BEHIND_LINK = [
    Attempt("write /v/link/a x", "errno EPERM", (write("/v/link/a", LINKED_OUT),)),
    Attempt("write /v/absolute/a x", "errno EPERM", (write("/v/absolute/a", LINKED_OUT),)),
    Attempt("read /v/link/a", "errno EPERM", (read("/v/link/a", LINKED_OUT),)),
    Attempt("unlink /v/link/a", "errno EPERM", (write("/v/link/a", LINKED_OUT),)),
    Attempt("symlink /g/a /v/l", "errno EPERM", (write("/v/l -> /g/a", LINK_TARGET),)),
    Attempt("symlink ../g/a /v/l", "errno EPERM", (write("/v/l -> ../g/a", LINK_TARGET),)),
    Attempt("rename /v/link /v/g", "ok"),
    Attempt("write /v/g/a x", "errno EPERM", (write("/v/g/a", LINKED_OUT),)),
]


def test_read_only_behind_link(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A link from a writable grant to a directory granted for reading leads out of the writable one."""
    granted = tree(tmp_path)
    writable = tmp_path / "v"
    writable.mkdir()
    os.symlink("../w/g", writable / "link")
    os.symlink(granted, writable / "absolute")
    before = snapshot(granted)
    assert (
        attempt([directory(granted, "/g"), directory(writable, "/v", "write")], READ_ONLY_BEHIND_LINK)
        == READ_ONLY_BEHIND_LINK
    )
    assert snapshot(granted) == before
