"""No way out of a granted directory: by dots, absolute paths, symbolic links, renames or handles."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import (
    ACROSS,
    DECOY,
    HARD_LINK,
    LEADS_OUT,
    LINK_TARGET,
    LINKED_OUT,
    READ_ONLY,
    UNGRANTED,
    Attempt,
    by_name,
    directory,
    read,
    snapshot,
    write,
)


def tree(root: Path) -> tuple[Path, Path]:
    """A directory to grant with a file and a directory in it, and one outside of it that holds a secret."""
    granted, outside = root / "in", root / "outside"
    (granted / "sub").mkdir(parents=True)
    (granted / "a").write_text("inside")
    (granted / "sub" / "b").write_text("below")
    (outside / "dir").mkdir(parents=True)
    (outside / "secret").write_text("secret")
    (outside / "dir" / "x").write_text("x")
    return granted, outside


DOTS = [
    Attempt("read /in/../outside/secret", "errno EPERM", (read("/in/../outside/secret", LEADS_OUT),)),
    Attempt("read @/in@../outside/secret", "errno EPERM", (read("/in/../outside/secret", LEADS_OUT),)),
    Attempt("read @/in@..", "errno EPERM", (read("/in/..", LEADS_OUT),)),
    Attempt("read @/in@../", "errno EPERM", (read("/in/../", LEADS_OUT),)),
    Attempt("read @/in@../in/a", "errno EPERM", (read("/in/../in/a", LEADS_OUT),)),
    Attempt("read @/in@sub/../../outside/secret", "errno EPERM", (read("/in/sub/../../outside/secret", LEADS_OUT),)),
    Attempt("read @/in@sub/../a", 'ok 6 "inside"'),
    Attempt("list @/in@sub/..", 'ok 2 "a" "sub"/'),
    Attempt("read @/in@sub/../sub/../sub/b", 'ok 5 "below"'),
    Attempt("read @/in@./../outside/secret", "errno EPERM", (read("/in/./../outside/secret", LEADS_OUT),)),
    Attempt("read @/in@missing/../../outside/secret", "errno ENOENT"),
    Attempt("read @/in@missing/../a", "errno ENOENT"),
    Attempt("read @/in@a/../sub/b", "errno ENOTDIR"),
    Attempt("stat @/in@sub/../../in", "errno EPERM", (read("/in/sub/../../in", LEADS_OUT),)),
    Attempt(
        "hold s /in/sub directory -- read @s@b -- read @s@../a -- list @s@.. -- read @s@../sub/b -- stat @s@..",
        'ok; ok 5 "below"; errno EPERM; errno EPERM; errno EPERM; errno EPERM',
        (
            read("/in/sub/../a", LEADS_OUT),
            read("/in/sub/..", LEADS_OUT),
            read("/in/sub/../sub/b", LEADS_OUT),
            read("/in/sub/..", LEADS_OUT),
        ),
    ),
]


def test_dots(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """``..`` goes no further up than the directory that it is relative to, wherever it stands in a path."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in")], DOTS) == DOTS
    assert snapshot(outside) == before


ABSOLUTE = [
    Attempt("read @/in@/etc/passwd", "errno EPERM", (read("/etc/passwd", LEADS_OUT),)),
    Attempt("read @/in@/in/a", "errno EPERM", (read("/in/a", LEADS_OUT),)),
    Attempt("read @/in@/", "errno EPERM", (read("/", LEADS_OUT),)),
    Attempt("read @/in@//etc/passwd", "errno EPERM", (read("//etc/passwd", LEADS_OUT),)),
    Attempt("stat @/in@/in", "errno EPERM", (read("/in", LEADS_OUT),)),
    Attempt("mkdir @/in@/in/new", "errno EPERM", (write("/in/new", LEADS_OUT),)),
    Attempt("rename @/in@/in/a @/in@b", "errno EPERM", (write("/in/a -> /in/b", LEADS_OUT),)),
]


def test_absolute(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """An absolute path leads out of any directory, also one that would lead back in."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in")], ABSOLUTE) == ABSOLUTE
    assert snapshot(outside) == before


NO_GRANT = [
    Attempt("read /etc/passwd", "errno EACCES", (read("/etc/passwd", UNGRANTED),)),
    Attempt("read //etc/passwd", "errno EACCES", (read("/etc/passwd", UNGRANTED),)),
    Attempt("read /../etc/passwd", "errno EACCES", (read("/../etc/passwd", UNGRANTED),)),
    Attempt("read /in/../../etc/passwd", "errno EPERM", (read("/in/../../etc/passwd", LEADS_OUT),)),
    Attempt("read @/@etc/passwd", "errno EACCES", (read("/etc/passwd", UNGRANTED),)),
    Attempt("read @/@../etc/passwd", "errno EACCES", (read("/../etc/passwd", UNGRANTED),)),
    Attempt("read @/@/etc/passwd", "errno EACCES", (read("/etc/passwd", UNGRANTED),)),
    Attempt("read @/@in/a", "errno EACCES", (read("/in/a", by_name("/in")),)),
    Attempt("read @/@./in/a", "errno EACCES", (read("/./in/a", by_name("/in")),)),
    Attempt("read /incident/x", "errno EACCES", (read("/incident/x", UNGRANTED),)),
    Attempt("read /inx", "errno EACCES", (read("/inx", UNGRANTED),)),
    Attempt("list /", "ok 0"),
    Attempt("list @/@.", "ok 0"),
    Attempt("list @/@./", "errno EACCES", (read("/./", UNGRANTED),)),
    Attempt("list @/@..", "errno EACCES", (read("/..", UNGRANTED),)),
    Attempt("stat /", "ok type=directory"),
    Attempt("stat /..", "errno EACCES", (read("/..", UNGRANTED),)),
    Attempt("stat /nowhere/x", "errno EACCES", (read("/nowhere/x", UNGRANTED),)),
    Attempt("lstat /nowhere", "errno EACCES", (read("/nowhere", UNGRANTED),)),
    Attempt("open-directory /home", "errno EACCES", (read("/home", UNGRANTED),)),
    Attempt("readlink /x", "errno EACCES", (read("/x", UNGRANTED),)),
    Attempt("mkdir /x", "errno EACCES", (write("/x", UNGRANTED),)),
    Attempt("write /x y", "errno EACCES", (write("/x", UNGRANTED),)),
    Attempt("create /etc/passwd", "errno EACCES", (write("/etc/passwd", UNGRANTED),)),
    Attempt("utimes /", "errno EPERM", (write("/.", DECOY),)),
    Attempt("rmdir /", "errno EPERM", (write("/.", DECOY),)),
    Attempt("unlink /in", "errno EPERM", (write("/in/.", READ_ONLY),)),
    Attempt("rename / /x", "errno EACCES", (write("/. -> /x", UNGRANTED),)),
    Attempt("symlink a /x", "errno EACCES", (write("/x", UNGRANTED),)),
    Attempt("link /in/a /x", "errno EACCES", (write("/in/a -> /x", UNGRANTED),)),
    Attempt("rename /in/a /x", "errno EACCES", (write("/in/a -> /x", UNGRANTED),)),
    Attempt("rename /x /in/a", "errno EACCES", (write("/x -> /in/a", UNGRANTED),)),
    Attempt("many-open /root/.ssh/id_rsa 3", "errno EACCES opened=0", (read("/root/.ssh/id_rsa", UNGRANTED),)),
]


def test_no_grant(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """What no grant covers is refused by name, below the empty root, whatever exists there on the host."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in")], NO_GRANT) == NO_GRANT
    assert snapshot(outside) == before


SPELLINGS = [
    Attempt("read /in/", "errno EBADF"),
    Attempt("read /in/a/", "errno ENOTDIR"),
    Attempt("read /in/a/.", "errno ENOTDIR"),
    Attempt("read /in/a/..", "errno ENOTDIR"),
    Attempt("read /in/sub/", "errno EBADF"),
    Attempt("list /in/sub/", 'ok 1 "b"'),
    Attempt("list /in/sub//", 'ok 1 "b"'),
    Attempt("read /in//a", 'ok 6 "inside"'),
    Attempt("read /in/./a", 'ok 6 "inside"'),
    Attempt("read @/in@a/", "errno ENOTDIR"),
    Attempt("read @/in@", "errno ENOENT"),
    Attempt("list @/in@", "errno ENOENT"),
    Attempt("stat @/in@", "errno ENOENT"),
    Attempt("list @/in@.", 'ok 2 "a" "sub"/'),
    Attempt("list @/in@./.", 'ok 2 "a" "sub"/'),
    Attempt("list @/@", "errno ENOENT"),
]


def test_spellings(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Empty paths, trailing and doubled slashes mean what they mean to POSIX and to Wasmtime alone."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in")], SPELLINGS) == SPELLINGS
    assert snapshot(outside) == before


PLANTED_LINKS_READ = [
    Attempt("read /in/file-absolute", "errno EPERM", (read("/in/file-absolute", LINKED_OUT),)),
    Attempt("read /in/file-relative", "errno EPERM", (read("/in/file-relative", LINKED_OUT),)),
    Attempt("read /in/chain", "errno EPERM", (read("/in/chain", LINKED_OUT),)),
    Attempt("read /in/sub/deep", "errno EPERM", (read("/in/sub/deep", LINKED_OUT),)),
    Attempt("read /in/directory-absolute/x", "errno EPERM", (read("/in/directory-absolute/x", LINKED_OUT),)),
    Attempt("read /in/directory-relative/x", "errno EPERM", (read("/in/directory-relative/x", LINKED_OUT),)),
    Attempt("read /in/directory-relative/", "errno EPERM", (read("/in/directory-relative/", LINKED_OUT),)),
    Attempt("list /in/directory-absolute", "errno EPERM", (read("/in/directory-absolute", LINKED_OUT),)),
    Attempt("list /in/directory-relative", "errno EPERM", (read("/in/directory-relative", LINKED_OUT),)),
    Attempt("open-directory /in/directory-absolute", "errno EPERM", (read("/in/directory-absolute", LINKED_OUT),)),
    Attempt("read /in/root/etc/passwd", "errno EPERM", (read("/in/root/etc/passwd", LINKED_OUT),)),
    Attempt("read /in/process-root/etc/passwd", "errno EPERM", (read("/in/process-root/etc/passwd", LINKED_OUT),)),
    Attempt("read /in/dangling-out", "errno EPERM", (read("/in/dangling-out", LINKED_OUT),)),
    Attempt("read /in/dangling-in", "errno ENOENT"),
    Attempt("read /in/loop", "errno ELOOP"),
    Attempt("read /in/out-and-back", "errno EPERM", (read("/in/out-and-back", LINKED_OUT),)),
    Attempt("read /in/back", "errno EPERM", (read("/in/back", LINKED_OUT),)),
    Attempt(
        "read @/in@directory-relative/../secret", "errno EPERM", (read("/in/directory-relative/../secret", LINKED_OUT),)
    ),
    Attempt("read @/in@inside-directory/../a", 'ok 6 "inside"'),
    Attempt("read /in/inside-directory/b", 'ok 5 "below"'),
    Attempt("read /in/inside-file", 'ok 5 "below"'),
    Attempt("read /in/up-and-in", 'ok 6 "inside"'),
    Attempt("stat /in/file-relative", "errno EPERM", (read("/in/file-relative", LINKED_OUT),)),
    Attempt("stat /in/directory-absolute/x", "errno EPERM", (read("/in/directory-absolute/x", LINKED_OUT),)),
    Attempt("lstat /in/file-relative", "ok type=symlink"),
    Attempt("lstat /in/directory-relative/x", "errno EPERM", (read("/in/directory-relative/x", LINKED_OUT),)),
    Attempt("readlink /in/file-absolute", "errno EPERM", (read("/in/file-absolute", LINKED_OUT),)),
    Attempt("readlink /in/file-relative", 'ok "../outside/secret"'),
    Attempt("open-nofollow /in/file-relative", "errno ELOOP"),
]


def test_planted_links_read(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A symbolic link that the host planted is followed inside of the grant, and not a step out of it."""
    granted, outside = tree(tmp_path)
    links: dict[str, Path | str] = {
        "file-absolute": outside / "secret",
        "file-relative": "../outside/secret",
        "directory-absolute": outside / "dir",
        "directory-relative": "../outside/dir",
        "root": "/",
        "process-root": "/proc/self/root",
        "dangling-out": "../outside/new",
        "dangling-in": "new",
        "chain": "chain-on",
        "chain-on": "file-relative",
        "loop": "loop",
        "sub/deep": "../../outside/secret",
        "out-and-back": "../in/a",
        "back": granted / "a",
        "inside-directory": "sub",
        "inside-file": "sub/b",
        "up-and-in": "sub/../a",
    }
    for name, target in links.items():
        os.symlink(target, granted / name)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in")], PLANTED_LINKS_READ) == PLANTED_LINKS_READ
    assert snapshot(outside) == before


PLANTED_LINKS_WRITE = [
    Attempt("write /in/file-absolute x", "errno EPERM", (write("/in/file-absolute", LINKED_OUT),)),
    Attempt("write /in/file-relative x", "errno EPERM", (write("/in/file-relative", LINKED_OUT),)),
    Attempt("append /in/file-relative x", "errno EPERM", (write("/in/file-relative", LINKED_OUT),)),
    Attempt("truncate /in/chain", "errno EPERM", (write("/in/chain", LINKED_OUT),)),
    Attempt("ftruncate /in/file-relative 0", "errno EPERM", (write("/in/file-relative", LINKED_OUT),)),
    Attempt("utimes /in/file-relative", "errno EPERM", (write("/in/file-relative", LINKED_OUT),)),
    Attempt("utimes /in/directory-absolute/x", "errno EPERM", (write("/in/directory-absolute/x", LINKED_OUT),)),
    Attempt("create /in/dangling-out", "errno EPERM", (write("/in/dangling-out", LINKED_OUT),)),
    Attempt("create-exclusive /in/dangling-out", "errno EEXIST"),
    Attempt("mkdir /in/dangling-out", "errno EEXIST"),
    Attempt("create /in/root/tmp/x", "errno EPERM", (write("/in/root/tmp/x", LINKED_OUT),)),
    Attempt("mkdir /in/directory-relative/new", "errno EPERM", (write("/in/directory-relative/new", LINKED_OUT),)),
    Attempt("rmdir /in/directory-relative", "errno ENOTDIR"),
    Attempt("rmdir /in/directory-absolute/x", "errno EPERM", (write("/in/directory-absolute/x", LINKED_OUT),)),
    Attempt("unlink /in/directory-relative/x", "errno EPERM", (write("/in/directory-relative/x", LINKED_OUT),)),
    Attempt(
        "rename /in/directory-relative/x /in/x",
        "errno EPERM",
        (write("/in/directory-relative/x -> /in/x", LINKED_OUT),),
    ),
    Attempt(
        "rename /in/a /in/directory-relative/a",
        "errno EPERM",
        (write("/in/a -> /in/directory-relative/a", LINKED_OUT),),
    ),
    Attempt("symlink a /in/directory-relative/l", "errno EPERM", (write("/in/directory-relative/l", LINKED_OUT),)),
    Attempt("link /in/file-relative /in/l", "errno EACCES", (write("/in/file-relative -> /in/l", HARD_LINK),)),
    Attempt("hold d /in/directory-relative directory", "errno EPERM", (read("/in/directory-relative", LINKED_OUT),)),
    Attempt("create /in/dangling-in", "ok"),
    Attempt("lstat /in/new", "ok type=file size=0 links=1"),
    Attempt("rename /in/a /in/file-relative", "ok"),
    Attempt("read /in/file-relative", 'ok 6 "inside"'),
    Attempt("unlink /in/file-absolute", "ok"),
    Attempt("unlink /in/directory-absolute", "ok"),
    Attempt("list /in/sub", 'ok 2 "b" "deep"@'),
]


def test_planted_links_write(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Nothing is written, made, renamed or removed through a link that leads out; links themselves may be removed."""
    granted, outside = tree(tmp_path)
    links: dict[str, Path | str] = {
        "file-absolute": outside / "secret",
        "file-relative": "../outside/secret",
        "directory-absolute": outside / "dir",
        "directory-relative": "../outside/dir",
        "root": "/",
        "process-root": "/proc/self/root",
        "dangling-out": "../outside/new",
        "dangling-in": "new",
        "chain": "chain-on",
        "chain-on": "file-relative",
        "loop": "loop",
        "sub/deep": "../../outside/secret",
        "out-and-back": "../in/a",
        "back": granted / "a",
        "inside-directory": "sub",
        "inside-file": "sub/b",
        "up-and-in": "sub/../a",
    }
    for name, target in links.items():
        os.symlink(target, granted / name)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in", "write")], PLANTED_LINKS_WRITE) == PLANTED_LINKS_WRITE
    assert snapshot(outside) == before


MADE_LINKS = [
    Attempt("symlink /etc/passwd /out/l", "errno EPERM", (write("/out/l -> /etc/passwd", LINK_TARGET),)),
    Attempt("symlink / /out/l", "errno EPERM", (write("/out/l -> /", LINK_TARGET),)),
    Attempt("symlink ../outside/secret /out/l", "errno EPERM", (write("/out/l -> ../outside/secret", LINK_TARGET),)),
    Attempt("symlink d/../../outside /out/l", "errno EPERM", (write("/out/l -> d/../../outside", LINK_TARGET),)),
    Attempt("symlink d/.. /out/l", "errno EPERM", (write("/out/l -> d/..", LINK_TARGET),)),
    Attempt("symlink .. /out/l", "errno EPERM", (write("/out/l -> ..", LINK_TARGET),)),
    Attempt("symlink ../a /out/sub/l", "errno EPERM", (write("/out/sub/l -> ../a", LINK_TARGET),)),
    Attempt("symlink a /out/l", "ok"),
    Attempt("readlink /out/l", 'ok "a"'),
    Attempt("read /out/l", 'ok 6 "inside"'),
    Attempt("symlink d /out/to-d", "ok"),
    Attempt("write /out/to-d/x y", "ok written=1"),
    Attempt("rename /out/to-d /out/sub/to-d", "ok"),
    Attempt("read /out/sub/to-d/x", "errno ENOENT"),
    Attempt("rename /out/d /out/sub/d", "ok"),
    Attempt("read /out/sub/to-d/x", 'ok 1 "y"'),
    Attempt("unlink /out/l", "ok"),
    Attempt("list /out", 'ok 2 "a" "sub"/'),
]


def test_made_links(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A guest makes only links that point below their own directory, so that no rename turns one outward."""
    granted, outside = tree(tmp_path)
    (granted / "d").mkdir()
    before = snapshot(outside)
    assert attempt([directory(granted, "/out", "write")], MADE_LINKS) == MADE_LINKS
    assert snapshot(outside) == before


MOVES_BETWEEN_GRANTS = [
    Attempt("rename /in/a /in/z", "errno EPERM", (write("/in/a -> /in/z", READ_ONLY),)),
    Attempt("rename /in/a /out/a", "errno EXDEV", (write("/in/a -> /out/a", ACROSS),)),
    Attempt("rename /in/sub /out/sub", "errno EXDEV", (write("/in/sub -> /out/sub", ACROSS),)),
    Attempt("rename /out/w /in/w", "errno EXDEV", (write("/out/w -> /in/w", ACROSS),)),
    Attempt("rename /out/w /in/a", "errno EXDEV", (write("/out/w -> /in/a", ACROSS),)),
    Attempt("rename /out/w /x", "errno EACCES", (write("/out/w -> /x", UNGRANTED),)),
    Attempt("rename /x /out/w", "errno EACCES", (write("/x -> /out/w", UNGRANTED),)),
    Attempt("link /in/a /out/a", "errno EXDEV", (write("/in/a -> /out/a", ACROSS),)),
    Attempt("link /out/w /in/w", "errno EXDEV", (write("/out/w -> /in/w", ACROSS),)),
    Attempt("link-follow /in/a /out/a", "errno EXDEV", (write("/in/a -> /out/a", ACROSS),)),
    Attempt("rename /out/w /out/../w", "errno EPERM", (write("/out/w -> /out/../w", LEADS_OUT),)),
    Attempt("rename @/out@../w @/out@w", "errno EPERM", (write("/out/../w -> /out/w", LEADS_OUT),)),
    Attempt("rename /out /out/x", "errno EBUSY"),
    Attempt("rename /out/w /out/", "errno EBUSY"),
    Attempt("rename /out/w /out/odd-", "ok"),
    Attempt(
        "hold d /out/dir directory -- hold i /in/sub directory -- rename @i@b @d@b -- "
        "rename @d@x @i@x -- link @i@b @d@b -- rename @d@x /out/x",
        "ok; ok; errno EXDEV; errno EXDEV; errno EXDEV; ok",
        (
            write("/in/sub/b -> /out/dir/b", ACROSS),
            write("/out/dir/x -> /in/sub/x", ACROSS),
            write("/in/sub/b -> /out/dir/b", ACROSS),
        ),
    ),
]


def test_moves_between_grants(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Nothing is renamed or linked from one grant to another, by path or by handle, whatever their access."""
    granted, outside = tree(tmp_path)
    (outside / "w").write_text("w")
    before = snapshot(granted)
    assert (
        attempt([directory(granted, "/in"), directory(outside, "/out", "write")], MOVES_BETWEEN_GRANTS)
        == MOVES_BETWEEN_GRANTS
    )
    assert snapshot(granted) == before


MOVED_HANDLES = [
    Attempt(
        "hold s /in/sub directory -- rename /in/sub /in/moved -- read @s@b -- read @s@../a -- "
        "list @s@.. -- write @s@new x -- read /in/moved/new",
        'ok; ok; ok 5 "below"; errno EPERM; errno EPERM; ok written=1; ok 1 "x"',
        (
            read("/in/sub/../a", LEADS_OUT),
            read("/in/sub/..", LEADS_OUT),
        ),
    ),
    Attempt("mkdir /in/deep", "ok"),
    Attempt(
        "hold m /in/moved directory -- rename /in/moved /in/deep/moved -- read @m@../../a -- "
        "read @m@../../../outside/secret -- stat @m@.. -- read @m@b",
        'ok; ok; errno EPERM; errno EPERM; errno EPERM; ok 5 "below"',
        (
            read("/in/moved/../../a", LEADS_OUT),
            read("/in/moved/../../../outside/secret", LEADS_OUT),
            read("/in/moved/..", LEADS_OUT),
        ),
    ),
    Attempt(
        "hold m /in/deep/moved directory -- hold d /in/deep directory -- rename @d@moved /in/up -- "
        "unlink @m@b -- unlink @m@new -- rmdir /in/up -- create @m@gone -- mkdir @m@gone -- "
        "list @m@. -- rename @m@. /in/x",
        "ok; ok; ok; ok; ok; ok; errno ENOENT; errno ENOENT; ok 0; errno EBUSY",
    ),
    Attempt("read-handle-after-rename /in/deep /in/depth none", "errno ENOENT"),
]


def test_moved_handles(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A handle to a directory that was renamed still reaches what is in it, and nothing above it."""
    granted, outside = tree(tmp_path)
    before = snapshot(outside)
    assert attempt([directory(granted, "/in", "write")], MOVED_HANDLES) == MOVED_HANDLES
    assert snapshot(outside) == before
