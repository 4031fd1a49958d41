"""Where grants overlap the narrower one decides, whichever path a guest takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.plan import PlanError
from tests.e2e.harness import (
    ABOVE_EXCEPTION,
    ACROSS,
    EXCEPTED,
    HARD_LINK,
    LEADS_OUT,
    LINK,
    LINKED_OUT,
    MASKED,
    READ_ONLY,
    Attempt,
    directory,
    read,
    snapshot,
    write,
)


def tree(root: Path) -> Path:
    """Directories three deep, each with a file, and a link from the innermost to the outermost."""
    data = root / "data"
    (data / "sub" / "deep").mkdir(parents=True)
    (data / "other").mkdir()
    for name in ("top", "sub/middle", "sub/deep/bottom", "other/o"):
        (data / name).write_text(name)
    os.symlink("../../top", data / "sub" / "deep" / "up")
    os.symlink("sub/deep", data / "down")
    return data


WRITE_INSIDE_READ = [
    Attempt("write /a/top x", "errno EPERM", (write("/a/top", READ_ONLY),)),
    Attempt("write /a/new x", "errno EPERM", (write("/a/new", READ_ONLY),)),
    Attempt("write /a/sub/new x", "ok written=1"),
    Attempt("read @/a@sub/new", 'ok 1 "x"'),
    Attempt("write @/a@sub/new y", "ok written=1"),
    Attempt(
        "hold a /a directory -- write @a@sub/more z -- unlink @a@sub/more -- write @a@top x -- "
        "mkdir @a@sub/m -- rmdir @a@sub/m",
        "ok; ok written=1; ok; errno EPERM; ok; ok",
        (write("/a/top", READ_ONLY),),
    ),
    Attempt("rename @/a@sub/new @/a@top", "errno EXDEV", (write("/a/sub/new -> /a/top", ACROSS),)),
    Attempt("rename @/a@sub/new /a/sub/newer", "errno EXDEV", (write("/a/sub/new -> /a/sub/newer", ACROSS),)),
    Attempt("rename @/a@sub/newer @/a@sub/new", "errno ENOENT"),
    Attempt("rename @/a@sub @/a@bus", "errno EXDEV", (write("/a/sub -> /a/bus", ACROSS),)),
    Attempt("rename @/a@top @/a@sub/top", "errno EXDEV", (write("/a/top -> /a/sub/top", ACROSS),)),
    Attempt("link @/a@sub/new @/a@sub/hard", "errno EACCES", (write("/a/sub/new -> /a/sub/hard", HARD_LINK),)),
    Attempt("symlink new @/a@sub/soft", "errno EACCES", (write("/a/sub/soft -> new", LINK),)),
    Attempt("symlink new /a/sub/soft", "ok"),
    Attempt("read @/a@sub/soft", "errno EACCES", (read("/a/sub/soft", LINK),)),
    Attempt("read /a/sub/soft", 'ok 1 "y"'),
    Attempt("unlink @/a@sub/soft", "ok"),
    Attempt("unlink @/a@sub/new", "ok"),
    Attempt("read /a/sub/deep/bottom", 'ok 15 "sub/deep/bottom"'),
    Attempt("list /a/sub", 'ok 2 "deep"/ "middle"'),
    Attempt("rmdir @/a@sub", "errno EINVAL"),
]


def test_write_inside_read(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Inside a directory granted for reading, one granted for writing is written by either path, and only it."""
    data = tree(tmp_path)
    before = snapshot(data)
    assert (
        attempt([directory(data, "/a"), directory(data / "sub", "/a/sub", "write")], WRITE_INSIDE_READ)
        == WRITE_INSIDE_READ
    )
    after = snapshot(data)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {"sub"}  # its time alone


READ_INSIDE_WRITE = [
    Attempt("write /a/sub/middle x", "errno EPERM", (write("/a/sub/middle", READ_ONLY),)),
    Attempt("write @/a@sub/middle x", "errno EPERM", (write("/a/sub/middle", READ_ONLY),)),
    Attempt("write @/a@other/../sub/middle x", "errno EPERM", (write("/a/other/../sub/middle", READ_ONLY),)),
    Attempt("create @/a@sub/new", "errno EPERM", (write("/a/sub/new", READ_ONLY),)),
    Attempt("utimes @/a@sub", "errno EPERM", (write("/a/sub", READ_ONLY),)),
    Attempt("unlink @/a@sub/middle", "errno EPERM", (write("/a/sub/middle", READ_ONLY),)),
    Attempt("rmdir @/a@sub", "errno EPERM", (write("/a/sub", READ_ONLY),)),
    Attempt("rename @/a@sub @/a@bus", "errno EXDEV", (write("/a/sub -> /a/bus", ACROSS),)),
    Attempt("rename @/a@sub/middle @/a@middle", "errno EXDEV", (write("/a/sub/middle -> /a/middle", ACROSS),)),
    Attempt("rename @/a@top @/a@sub/top", "errno EXDEV", (write("/a/top -> /a/sub/top", ACROSS),)),
    Attempt("rename @/a@top @/a@sub", "errno EXDEV", (write("/a/top -> /a/sub", ACROSS),)),
    Attempt("link @/a@sub/middle @/a@hard", "errno EACCES", (write("/a/sub/middle -> /a/hard", HARD_LINK),)),
    Attempt("symlink sub/middle @/a@soft", "errno EACCES", (write("/a/soft -> sub/middle", LINK),)),
    Attempt("read @/a@sub/middle", 'ok 10 "sub/middle"'),
    Attempt("read /a/sub/middle", 'ok 10 "sub/middle"'),
    Attempt("read @/a@down/bottom", "errno EACCES", (read("/a/down/bottom", LINK),)),
    Attempt(
        "hold s @/a@sub directory -- write @s@middle x -- read @s@middle -- read @s@../top",
        'ok; errno EPERM; ok 10 "sub/middle"; errno EPERM',
        (
            write("/a/sub/middle", READ_ONLY),
            read("/a/sub/../top", LEADS_OUT),
        ),
    ),
    Attempt("truncate @/a@sub/deep/bottom", "errno EPERM", (write("/a/sub/deep/bottom", READ_ONLY),)),
]


def test_read_inside_write(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Inside a directory granted for writing, one granted for reading is not written, by either path."""
    data = tree(tmp_path)
    before = snapshot(data)
    assert (
        attempt([directory(data, "/a", "write"), directory(data / "sub", "/a/sub")], READ_INSIDE_WRITE)
        == READ_INSIDE_WRITE
    )
    assert snapshot(data) == before


ELSEWHERE = [
    Attempt("write /a/sub/middle x", "errno EPERM", (write("/a/sub/middle", READ_ONLY),)),
    Attempt("write /b/middle x", "errno EPERM", (write("/b/middle", READ_ONLY),)),
    Attempt("unlink /a/sub/deep/bottom", "errno EPERM", (write("/a/sub/deep/bottom", READ_ONLY),)),
    Attempt("mkdir /a/sub/new", "errno EPERM", (write("/a/sub/new", READ_ONLY),)),
    Attempt("rename /a/sub /a/bus", "errno EXDEV", (write("/a/sub -> /a/bus", ACROSS),)),
    Attempt("rename /a/top /b/top", "errno EXDEV", (write("/a/top -> /b/top", ACROSS),)),
    Attempt("rename /b/middle /a/middle", "errno EXDEV", (write("/b/middle -> /a/middle", ACROSS),)),
    Attempt("rename /a/sub/middle /b/m", "errno EXDEV", (write("/a/sub/middle -> /b/m", ACROSS),)),
    Attempt("rename /a/top /a/sub/top", "errno EXDEV", (write("/a/top -> /a/sub/top", ACROSS),)),
    Attempt("link /a/top /b/top", "errno EXDEV", (write("/a/top -> /b/top", ACROSS),)),
    Attempt("read /a/sub/middle", 'ok 10 "sub/middle"'),
    Attempt("read /b/middle", 'ok 10 "sub/middle"'),
    Attempt("read /b/deep/up", "errno EPERM", (read("/b/deep/up", LINKED_OUT),)),
    Attempt("list /a/sub", 'ok 2 "deep"/ "middle"'),
    Attempt("list /b", 'ok 2 "deep"/ "middle"'),
    Attempt(
        "hold h /a/sub/middle read -- fd-size h 0 -- fd-times h",
        "ok; errno EPERM; errno EPERM",
        (
            write("/b/middle", READ_ONLY),
            write("/b/middle", READ_ONLY),
        ),
    ),
]


def test_elsewhere(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """The narrower grant decides where the guest sees the same directory at two places of its own."""
    data = tree(tmp_path)
    before = snapshot(data)
    assert attempt([directory(data, "/a", "write"), directory(data / "sub", "/b")], ELSEWHERE) == ELSEWHERE
    assert snapshot(data) == before


THREE_LEVELS = [
    Attempt("write /a/sub/middle x", "errno EPERM", (write("/a/sub/middle", READ_ONLY),)),
    Attempt("write /b/middle x", "errno EPERM", (write("/b/middle", READ_ONLY),)),
    Attempt("write /b/new x", "errno EPERM", (write("/b/new", READ_ONLY),)),
    Attempt("write /a/sub/deep/new 1", "ok written=1"),
    Attempt("read /b/deep/new", 'ok 1 "1"'),
    Attempt("write /b/deep/new 2", "ok written=1"),
    Attempt("read /c/new", 'ok 1 "2"'),
    Attempt("rename /c/new /b/deep/newer", "errno EXDEV", (write("/c/new -> /b/deep/newer", ACROSS),)),
    Attempt("rename /b/deep/new /b/deep/newer", "ok"),
    Attempt("rename /a/sub/deep/newer /a/sub/deep/new", "ok"),
    Attempt("rename /a/sub/deep /a/sub/d", "errno EXDEV", (write("/a/sub/deep -> /a/sub/d", ACROSS),)),
    Attempt("rename /b/deep /b/d", "errno EXDEV", (write("/b/deep -> /b/d", ACROSS),)),
    Attempt("rename /b/deep/new /b/new", "errno EXDEV", (write("/b/deep/new -> /b/new", ACROSS),)),
    Attempt("rename /a/sub/deep/new /a/new", "errno EXDEV", (write("/a/sub/deep/new -> /a/new", ACROSS),)),
    Attempt("rename /a/top /a/sub/deep/top", "errno EXDEV", (write("/a/top -> /a/sub/deep/top", ACROSS),)),
    Attempt(
        "hold s /a/sub directory -- unlink @s@deep/new -- write @s@middle x -- "
        "hold d @s@deep directory -- create @d@x -- unlink @d@x",
        "ok; ok; errno EPERM; ok; ok; ok",
        (write("/b/middle", READ_ONLY),),
    ),
    Attempt("read /c/up", "errno EPERM", (read("/c/up", LINKED_OUT),)),
    Attempt("read /a/sub/deep/up", "errno EACCES", (read("/a/sub/deep/up", LINK),)),
    Attempt("list /b/deep", 'ok 2 "bottom" "up"@'),
]


def test_three_levels(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Of three grants inside one another, the innermost that holds a path decides it, from wherever it is reached."""
    data = tree(tmp_path)
    before = snapshot(data)
    assert (
        attempt(
            [
                directory(data, "/a", "write"),
                directory(data / "sub", "/b"),
                directory(data / "sub" / "deep", "/c", "write"),
            ],
            THREE_LEVELS,
        )
        == THREE_LEVELS
    )
    after = snapshot(data)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {"sub/deep"}  # its time alone


MASKED_INSIDE = [
    Attempt("read /a/sub/o", 'ok 7 "other/o"'),
    Attempt("read /a/sub/middle", "errno ENOENT"),
    Attempt("read @/a@sub/middle", "errno EACCES", (read("/a/sub/middle", MASKED),)),
    Attempt("list @/a@sub", "errno EACCES", (read("/a/sub", MASKED),)),
    Attempt("stat @/a@sub", "errno EACCES", (read("/a/sub", MASKED),)),
    Attempt("write @/a@sub/middle x", "errno EACCES", (write("/a/sub/middle", MASKED),)),
    Attempt("mkdir @/a@sub/new", "errno EACCES", (write("/a/sub/new", MASKED),)),
    Attempt("rename @/a@sub @/a@bus", "errno EACCES", (write("/a/sub -> /a/bus", MASKED),)),
    Attempt("rename @/a@top @/a@sub/top", "errno EACCES", (write("/a/top -> /a/sub/top", MASKED),)),
    Attempt("unlink @/a@sub/middle", "errno EACCES", (write("/a/sub/middle", MASKED),)),
    Attempt("write /a/sub/o x", "errno EPERM", (write("/a/sub/o", READ_ONLY),)),
    Attempt("read /a/other/o", 'ok 7 "other/o"'),
    Attempt("write /a/other/o x", "errno EPERM", (write("/a/other/o", READ_ONLY),)),
    Attempt("read /a/top", 'ok 3 "top"'),
    Attempt("list /a", 'ok 4 "down"@ "other"/ "sub"/ "top"'),
]


def test_masked_inside(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Where a grant stands inside another for the guest alone, what the host has at that place is not granted."""
    data = tree(tmp_path)
    before = snapshot(data)
    assert (
        attempt(
            [directory(data, "/a", "write"), directory(data.parent / "data" / "other" / ".." / "other", "/a/sub")],
            MASKED_INSIDE,
        )
        == MASKED_INSIDE
    )
    assert snapshot(data) == before


MASKED_DISJOINT = [
    Attempt("read /a/sub/deep/p", 'ok 1 "p"'),
    Attempt("read @/a@sub/deep/bottom", "errno EACCES", (read("/a/sub/deep/bottom", MASKED),)),
    Attempt("read @/a@sub/deep/p", "errno EACCES", (read("/a/sub/deep/p", MASKED),)),
    Attempt("read @/a@sub/middle", 'ok 10 "sub/middle"'),
    Attempt("list @/a@sub", 'ok 2 "deep"/ "middle"'),
    Attempt("list @/a@sub/deep", "errno EACCES", (read("/a/sub/deep", MASKED),)),
    Attempt("write /a/sub/deep/q x", "ok written=1"),
    Attempt("write @/a@sub/deep/q x", "errno EACCES", (write("/a/sub/deep/q", MASKED),)),
    Attempt("rename /a/sub/deep/q @/a@sub/q", "errno EXDEV", (write("/a/sub/deep/q -> /a/sub/q", ACROSS),)),
    Attempt(
        "hold s /a/sub directory -- list @s@deep -- read @s@deep/bottom",
        "ok; errno EACCES; errno EACCES",
        (
            read("/a/sub/deep", MASKED),
            read("/a/sub/deep/bottom", MASKED),
        ),
    ),
]


def test_masked_disjoint(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """The same with a grant from another part of the host: neither reaches the other's files."""
    data = tree(tmp_path)
    before = snapshot(data)

    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "p").write_text("p")
    assert (
        attempt([directory(data, "/a"), directory(apart, "/a/sub/deep", "write")], MASKED_DISJOINT) == MASKED_DISJOINT
    )
    assert snapshot(data) == before


ROOT_GRANTED = [
    Attempt("read /top", 'ok 3 "top"'),
    Attempt("read /etc/passwd", "errno ENOENT"),
    Attempt("read /sub/middle", "errno ENOENT"),
    Attempt("read @/@sub/middle", "errno EACCES", (read("/sub/middle", MASKED),)),
    Attempt("write /sub/new x", "ok written=1"),
    Attempt("write /top x", "errno EPERM", (write("/top", READ_ONLY),)),
    Attempt("read /../top", "errno EPERM", (read("/../top", LEADS_OUT),)),
    Attempt("read /other/o", 'ok 7 "other/o"'),
    Attempt("list /sub", 'ok 1 "new"'),
    Attempt("list @/@sub", "errno EACCES", (read("/sub", MASKED),)),
    Attempt("list /", 'ok 4 "down"@ "other"/ "sub"/ "top"'),
]


def test_root_granted(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A grant at ``/`` takes the place of the empty root; other grants stand inside it."""
    data = tree(tmp_path)
    before = snapshot(data)

    apart = tmp_path / "apart"
    apart.mkdir()
    assert attempt([directory(data, "/"), directory(apart, "/sub", "write")], ROOT_GRANTED) == ROOT_GRANTED
    assert snapshot(data) == before


EXCEPTED_INSIDE = [
    Attempt("read /a/sub/middle", "errno EACCES", (read("/a/sub/middle", EXCEPTED),)),
    Attempt("read /b/middle", "errno EACCES", (read("/b/middle", EXCEPTED),)),
    Attempt("write /a/sub/middle x", "errno EACCES", (write("/a/sub/middle", EXCEPTED),)),
    Attempt("rename /a/sub/middle /a/sub/m", "errno EACCES", (write("/a/sub/middle -> /a/sub/m", EXCEPTED),)),
    Attempt("rename /b/middle /b/m", "errno EACCES", (write("/b/middle -> /b/m", EXCEPTED),)),
    Attempt("read /a/sub/deep/bottom", "errno EACCES", (read("/a/sub/deep/bottom", EXCEPTED),)),
    Attempt("rename /b/deep /b/d", "errno EACCES", (write("/b/deep -> /b/d", ABOVE_EXCEPTION),)),
    Attempt("rename /a/sub/deep /a/sub/d", "errno EACCES", (write("/a/sub/deep -> /a/sub/d", ABOVE_EXCEPTION),)),
    Attempt("create /a/other/deep", "ok"),
    Attempt("rename /a/other /a/sub/other", "errno EXDEV", (write("/a/other -> /a/sub/other", ACROSS),)),
    Attempt("unlink /a/other/deep", "ok"),
]


def test_excepted_inside(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """``except`` of an outer grant holds on every path through it, and that of an inner grant on both."""
    data = tree(tmp_path)
    before = snapshot(data)
    assert (
        attempt(
            [
                directory(data, "/a", "write", excepted=["*/deep/bottom"]),
                directory(data / "sub", "/b", "write", excepted=["middle"]),
            ],
            EXCEPTED_INSIDE,
        )
        == EXCEPTED_INSIDE
    )
    names = {name: node.content for name, node in snapshot(data).items()}
    assert names == {name: node.content for name, node in before.items()}


def test_grant_of_what_is_excepted(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A grant inside what the grant around it excepts contradicts it: the policy is refused before anything runs."""
    data = tree(tmp_path)
    grants = [directory(data, "/a", excepted=["**/deep"]), directory(data / "sub" / "deep", "/b", "write")]
    with pytest.raises(PlanError) as refused:
        attempt(grants, [Attempt("list /b", "")])
    assert str(refused.value) == (
        f"{tmp_path}/policy/policy.yaml:1: components.guest.grants.filesystem[1].host:"
        f" {data}/sub/deep lies in what filesystem[0] excepts with '**/deep'; remove one of the two"
    )


EXCEPTED_FROM_AROUND = [
    Attempt("read /b/middle", 'ok 10 "sub/middle"'),
    Attempt("read /b/deep/bottom", "errno EACCES", (read("/b/deep/bottom", EXCEPTED),)),
    Attempt("read /a/sub/deep/bottom", "errno EACCES", (read("/a/sub/deep/bottom", EXCEPTED),)),
    Attempt("write /b/deep/bottom x", "errno EACCES", (write("/b/deep/bottom", EXCEPTED),)),
    Attempt("rename /b/deep /b/d", "errno EACCES", (write("/b/deep -> /b/d", EXCEPTED),)),
    Attempt("list /b", 'ok 2 "deep"/ "middle"'),
]


def test_excepted_from_around(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """What a grant excepts is excepted in the grants inside it too, also on a path that does not go through it."""
    data = tree(tmp_path)
    before = snapshot(data)
    grants = [directory(data, "/a", excepted=["**/deep"]), directory(data / "sub", "/b", "write")]
    assert attempt(grants, EXCEPTED_FROM_AROUND) == EXCEPTED_FROM_AROUND
    assert snapshot(data) == before
