"""Directories: what is reached by guest paths, however grants lie in and over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.compare import filesystem
from sandbox.compare.change import CompareError
from sandbox.compare.places import find_places
from sandbox.compare.policies import compare
from tests.compare.pairs import changes, granted, policy

READ, WRITE = "gained filesystem.read: can now", "gained filesystem.write: can now"
LOST_READ, LOST_WRITE = "lost filesystem.read: can no longer", "lost filesystem.write: can no longer"


def grant(host: str, guest: str, access: str = "read", *excepted: str, **more: Any) -> dict[str, Any]:
    return {"host": host, "guest": guest, "access": access, "except": list(excepted), **more}


def files(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    return granted({"filesystem": old}, {"filesystem": new})


IN = grant("/h", "/in")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [IN], [f"{READ} read /in, which is /h"]),
        ([IN], [], [f"{LOST_READ} read /in, which was /h"]),
        ([], [grant("/h", "/out", "write")], [f"{WRITE} read and write /out, which is /h"]),
        ([IN], [grant("/h", "/in", "write")], [f"{WRITE} write /in"]),
        ([grant("/h", "/in", "write")], [IN], [f"{LOST_WRITE} write /in"]),
        (
            [IN],
            [grant("/other", "/in")],
            [f"{READ} read /in, which is /other", f"{LOST_READ} read /in, which was /h"],
        ),
        (
            [IN],
            [grant("/h", "/data")],
            [f"{READ} read /data, which is /h (as before at /in)", f"{LOST_READ} read /in, which was /h"],
        ),
        ([IN], [grant("/h", "/in", **{"hard-links": "allow"})], [f"{READ} open files with several names in /in"]),
        (
            [],
            [grant("/h", "/in", **{"hard-links": "allow"})],
            [f"{READ} read /in, which is /h; files with several names too"],
        ),
        ([IN], [grant("/", "/in")], [f"{READ} read /in, which is /", f"{LOST_READ} read /in, which was /h"]),
    ],
)
def test_one_directory(old: list[dict[str, Any]], new: list[dict[str, Any]], expected: list[str]) -> None:
    """Access, host and guest path of one grant, each in a line of its own."""
    assert files(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([IN], [grant("/h/../h/.", "/in")]),
        ([grant("./h", "/in")], [grant("../p/h", "/in")]),
        ([IN, grant("/x", "/x")], [grant("/x", "/x"), IN]),
        ([grant("/h", "/in", "read", "a", "b")], [grant("/h", "/in", "read", "b", "a")]),
        ([grant("/h", "/in", "read", "a", "a/b", "A/*")], [grant("/h", "/in", "read", "a")]),
        ([grant("/h", "/in", "read", "*.pem", "a/k?y")], [grant("/h", "/in", "read", "*.PEM", "**/k*")]),
    ],
)
def test_the_same_said_otherwise(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    """Spelling of paths, order of grants and globs, and globs that others cover, mean nothing."""
    gained = [line for line in files(old, new) if line.startswith("gained")]
    assert gained == []


def test_an_exception_that_is_gone() -> None:
    """What a glob kept out is told with the glob, as often as there is one; the places are those of the exceptions."""
    old = policy({"grants": {"filesystem": [grant("/h", "/in", "write", "**/.git/**", "*.key", "b")]}}, "old.yaml")
    new = policy({"grants": {"filesystem": [grant("/h", "/in", "write", "b")]}})
    assert [(c.text, c.file, c.line, c.column) for c in changes(old, new)] == [
        ("can now read and write what '**/.git/**' matches in /in", "new.yaml", 11, 7),
        ("can now read and write what '*.key' matches in /in", "new.yaml", 11, 7),
    ]
    assert [(c.kind, c.text, c.file, c.line) for c in changes(new, old)] == [
        ("lost", "can no longer read and write what '**/.git/**' matches in /in", "new.yaml", 11),
        ("lost", "can no longer read and write what '*.key' matches in /in", "new.yaml", 11),
    ]


def test_an_exception_made_narrower() -> None:
    """A glob that keeps out less is a gain, one that keeps out more a loss, told by the globs."""
    wide, narrow = [grant("/h", "/in", "read", "secrets")], [grant("/h", "/in", "read", "secrets/*.pem")]
    assert files(wide, narrow) == [f"{READ} read what 'secrets' matches in /in"]
    assert files(narrow, wide) == [f"{LOST_READ} read what 'secrets' matches in /in"]


def test_a_narrower_grant_inside_is_gone() -> None:
    """What a grant inside another one held back is within reach again through the outer one."""
    outer, inner = grant("/h", "/in", "write"), grant("/h/private", "/private")
    assert files([outer, inner], [outer]) == [
        f"{WRITE} write /in/private through /in: the narrower grant is gone",
        f"{LOST_READ} read /private, which was /h/private",
    ]
    assert files([outer], [outer, inner]) == [
        f"{READ} read /private, which is /h/private (as before at /in/private)",
        f"{LOST_WRITE} write /in/private through /in: a narrower grant decides there now",
    ]


def test_another_directory_in_front_is_gone() -> None:
    """What another directory at a deeper guest path hid is within reach once that is gone."""
    outer, front = grant("/h", "/in"), grant("/other", "/in/x")
    assert files([outer, front], [outer]) == [
        f"{READ} read /in/x through /in: the narrower grant is gone",
        f"{LOST_READ} read /in/x, which was /other",
    ]


def test_a_wider_grant_inside_is_told_once() -> None:
    """A writable grant inside one for reading is reached by two paths, and is one capability."""
    inner = grant("/h/out", "/out", "write")
    assert files([IN, grant("/x", "/x")], [IN, grant("/x", "/x"), inner])[:1] == [
        f"{WRITE} read and write /out, which is /h/out"
    ]
    assert files([], [IN, inner]) == [
        f"{READ} read /in, which is /h",
        f"{WRITE} read and write /out, which is /h/out",
    ]


def test_an_exception_around_holds_inside() -> None:
    """A grant inside another one is held to that one's exceptions, and loses them with it."""
    outer, inner = grant("/h", "/in", "read", "**/secret"), grant("/h/a", "/a", "write")
    assert files([outer, inner], [inner]) == [
        f"{WRITE} read and write what '**/secret' matches in /in",
        f"{LOST_READ} read /in, which was /h",
    ]


def test_links_are_followed_again() -> None:
    """A grant that loses what cut it, and gains nothing by it, is told to follow links: neither more nor less."""
    outer, inner = grant("/h", "/in"), grant("/h/a", "/a")
    follows = "changed filesystem.read: follows symbolic links in /in: nothing is cut out of it any more"
    stops = "changed filesystem.read: follows no symbolic links in /in any more: parts are cut out of it"
    assert files([outer, inner], [outer]) == [f"{LOST_READ} read /a, which was /h/a", follows]
    assert files([outer], [outer, inner])[1:] == [stops]


def test_a_directory_by_another_name(tmp_path: Path) -> None:
    """A symbolic link and what it leads to are one directory, and what lies in one lies in the other."""
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    old = policy({"grants": {"filesystem": [grant("real", "/r", "write"), grant("link/in", "/i")]}}, "old.yaml")
    new = policy({"grants": {"filesystem": [grant("link", "/r", "write"), grant("real/in", "/i")]}})
    without = policy({"grants": {"filesystem": [grant("link", "/r", "write")]}})
    assert compare(old, new, find_places([old, new], str(tmp_path))) == ()
    assert [c.text for c in compare(old, without, find_places([old, without], str(tmp_path)))] == [
        "can now write /r/in through /r: the narrower grant is gone",
        "can no longer read /i, which was link/in",
    ]


def test_a_directory_in_two_places() -> None:
    """A directory that is mounted once more elsewhere is known for the one it is, by device and inode."""
    mounted = {"/m": (1, 6), "/h": (1, 6), "/": (1, 2)}
    old = policy({"grants": {"filesystem": [grant("/h", "/in", "write"), grant("/m/x", "/m")]}}, "old.yaml")
    new = policy({"grants": {"filesystem": [grant("/h", "/in", "write")]}})
    assert [c.text for c in compare(old, new, find_places([old, new], "/p", identity=mounted.get))] == [
        "can now write /in/x through /in: the narrower grant is gone",
        "can no longer read /m, which was /m/x",
    ]


def test_too_much_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """More directories than a run takes, or paths than can be looked at, are refused in a sentence."""
    many = [grant(f"/h/{n}", f"/g/{n}") for n in range(129)]
    with pytest.raises(CompareError, match=r"^c: more than 128 directories are granted, with which nothing runs$"):
        files([], many)
    monkeypatch.setattr(filesystem, "MAX_QUESTIONS", 15)
    with pytest.raises(CompareError, match=r"^c: the directories that are granted cut each other at too many paths$"):
        files([], many[:4])
    monkeypatch.undo()
    monkeypatch.setattr(filesystem, "MAX_GLOBS", 15)
    with pytest.raises(CompareError, match=r"^c: too many exceptions hold in too many places to be compared$"):
        files([], [grant("/h", "/in", "read", *map(str, range(10)))])


def test_a_path_that_nothing_can_have() -> None:
    """A path longer than the kernel takes is one name: there can be nothing there, and looking would take long."""
    assert files([IN], [grant("a/" * 100_000 + "b", "/in")])[0].startswith(f"{READ} read /in, which is a/a/")
