"""The router: which grant decides a path, and that nothing goes on to Wasmtime unless it was free of links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.broker.links import stays_below
from sandbox.broker.paths import FOLLOWS, MUTATES, Denial, Error, Place, Router, openat2_works
from sandbox.guard import state
from sandbox.guard.sites import Reason
from sandbox.plan import Preopen
from sandbox.runtime import callbacks

EXCEPTED = Denial(Reason.EXCEPTED, Error.ACCESS)
KERNEL = Denial(Reason.KERNEL, Error.ACCESS)
LINK = Denial(Reason.SYMBOLIC_LINK, Error.ACCESS)
OUT = Denial(Reason.LEADS_OUT, Error.NOT_PERMITTED)
MISSING = Denial(None, Error.NO_ENTRY)
NO_DIRECTORY = Denial(None, Error.NOT_DIRECTORY)


def preopen(guest: str, host: Path, **more: object) -> Preopen:
    return Preopen(guest=guest, host=str(host), writable=True, route="", **more)  # type: ignore[arg-type]


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    """``/a`` (0), in which ``.git`` is excepted, ``sub`` is grant 1, ``mask`` another one's place, and
    ``dev/proc`` the kernel's; links all over.
    """
    for name in ("sub/deep", "dir", ".git", "mask", "dev/proc/self"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("file", "dir/file", ".git/config", "sub/file"):
        (tmp_path / name).write_text(name)
    for name, target in {"link": "dir", "git": ".git", "dir/up": "../.git", "loop": "loop", "gone": "none"}.items():
        os.symlink(target, tmp_path / name)
    preopens = [
        preopen("/a", tmp_path, excepted=(".git",), inner=(("sub", 1),), masked=("mask",), kernel=("dev/proc",)),
        preopen("/b", tmp_path / "sub"),
    ]
    directories = [os.open(str(p.host), os.O_PATH | os.O_DIRECTORY) for p in preopens]
    yield Router(preopens, directories)
    for descriptor in directories:
        os.close(descriptor)


ROUTES: list[tuple[str, str, int, Place | Denial]] = [
    ("", "file", 0, Place(0, "file")),
    ("", ".", 0, Place(0, ".")),
    ("", "./", 0, Place(0, ".")),
    ("", "", 0, MISSING),
    ("", "dir//./file", 0, Place(0, "dir/file")),
    ("", "dir/../file", 0, Place(0, "file")),
    ("", "dir/", 0, Place(0, "dir/")),
    ("", "none", MUTATES, Place(0, "none")),
    ("", "none/x", 0, MISSING),
    ("", "file/x", 0, NO_DIRECTORY),
    ("", "file/.", 0, NO_DIRECTORY),
    ("", "none/../file", 0, MISSING),
    ("", "file/../file", 0, NO_DIRECTORY),
    ("", "..", 0, OUT),
    ("", "dir/../..", 0, OUT),
    ("", "/file", 0, OUT),
    ("dir", "file", 0, Place(0, "dir/file")),
    ("dir", "../file", 0, OUT),
    ("dir", ".", 0, Place(0, "dir")),
    ("", ".git", 0, EXCEPTED),
    ("", ".GIT/config", 0, EXCEPTED),
    ("", "none/../.git/config", 0, EXCEPTED),
    ("", "git/config", 0, LINK),
    ("", "git", 0, Place(0, "git")),
    ("", "git", FOLLOWS, LINK),
    ("", "git/", 0, LINK),
    ("", "git/.", 0, LINK),
    ("", "link/file", 0, LINK),
    ("", "link/../file", 0, LINK),
    ("", "dir/up/config", 0, LINK),
    ("", "loop", FOLLOWS, LINK),
    ("", "loop/x", 0, LINK),
    ("", "gone", FOLLOWS | MUTATES, LINK),
    ("", "none/../git/config", 0, MISSING),
    ("", "n" * 300 + "/../git/config", 0, Denial(None, Error.NAME_TOO_LONG)),
    ("", "n" * 300, 0, Place(0, "n" * 300)),
    ("", "dir/../" * 700 + "git/config", 0, Denial(None, Error.NAME_TOO_LONG)),
    ("", "a\0b/c", 0, Denial(None, Error.INVALID)),
    ("", "a\0b", FOLLOWS, Place(0, "a\0b")),
    ("", "sub", 0, Place(1, ".")),
    ("", "sub/file", 0, Place(1, "file")),
    ("", "dir/../sub/deep/x", 0, Place(1, "deep/x")),
    ("sub", "file", 0, Place(1, "file")),
    ("", "mask", 0, Denial(Reason.MASKED, Error.ACCESS)),
    ("", "mask/x", MUTATES, Denial(Reason.MASKED, Error.ACCESS)),
    ("", "masked", MUTATES, Place(0, "masked")),
    ("", "dev/proc", 0, KERNEL),
    ("dev", "proc/self/mem", MUTATES, KERNEL),
    ("", "sub/../dev/proc/.", 0, KERNEL),
    ("", "dev/process", MUTATES, Place(0, "dev/process")),
]


@pytest.mark.parametrize(("base", "path", "intent", "answer"), ROUTES)
def test_route(router: Router, base: str, path: str, intent: int, answer: Place | Denial) -> None:
    """Each path is answered with the grant that decides and a path free of links, or with the reason against it."""
    assert router.route(0, base, path, intent) == answer


RENAMES: list[tuple[str, str, tuple[Place, Place] | Denial]] = [
    ("file", "other", (Place(0, "file"), Place(0, "other"))),
    ("dir", "rid", (Place(0, "dir"), Place(0, "rid"))),
    ("file", "dev/file", (Place(0, "file"), Place(0, "dev/file"))),
    ("dev", "ved", KERNEL),
    ("dir", "dev", KERNEL),
    ("dev/proc", "x", KERNEL),
    ("file", "dev/proc", KERNEL),
    ("dir", ".git", EXCEPTED),
    (".git", "dir", EXCEPTED),
    ("file", "sub/file", Denial(Reason.ACROSS_GRANTS, Error.CROSS_DEVICE)),
    ("sub/file", "file", Denial(Reason.ACROSS_GRANTS, Error.CROSS_DEVICE)),
    ("sub", "bus", Denial(Reason.ACROSS_GRANTS, Error.CROSS_DEVICE)),
    ("sub/file", "sub/deep/file", (Place(1, "file"), Place(1, "deep/file"))),
    ("sub", "sub/deep/x", Denial(Reason.ABOVE_GRANT, Error.ACCESS)),
    (".", "x", Denial(Reason.ABOVE_GRANT, Error.ACCESS)),
    ("mask", "x", Denial(Reason.MASKED, Error.ACCESS)),
    ("link", "link2", (Place(0, "link"), Place(0, "link2"))),
    ("link/file", "x", LINK),
    ("file", "link/x", LINK),
    ("none/x", "y", MISSING),
]


@pytest.mark.parametrize(("old", "new", "answer"), RENAMES)
def test_rename(router: Router, old: str, new: str, answer: tuple[Place, Place] | Denial) -> None:
    """Both paths of a rename lie in one grant, and nothing leaves or enters what is excepted or granted apart."""
    assert router.rename(0, "", old, "", new) == answer


NAMES = st.sampled_from(
    ["..", ".", "", "dir", "file", ".git", "git", "link", "sub", "up", "none", "loop", "mask", "deep", "dev", "proc"]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(NAMES, min_size=1, max_size=6).map("/".join),
    base=st.sampled_from(["", "dir", "sub", "sub/deep"]),
    intent=st.sampled_from([0, FOLLOWS, MUTATES, FOLLOWS | MUTATES]),
)
def test_what_is_let_through(router: Router, tmp_path: Path, path: str, base: str, intent: int) -> None:
    """A place is where the kernel takes the path, with no link on the way; never excepted, masked or the kernel's."""
    place = router.route(0, base, path, intent)
    if isinstance(place, Denial):
        return
    root = tmp_path / "sub" if place.preopen else tmp_path
    whole = os.path.join(root, place.path)
    parent = os.path.dirname(whole.rstrip("/"))
    assert os.path.realpath(parent) == os.path.normpath(parent)
    assert os.path.realpath(os.path.dirname(f"{tmp_path}/{base}/{path}".rstrip("/"))).startswith(str(tmp_path))
    if intent & FOLLOWS or path.endswith("/"):
        assert not os.path.islink(whole.rstrip("/"))
    if os.path.lexists(whole):
        assert os.lstat(whole.rstrip("/")).st_ino == os.lstat(f"{tmp_path}/{base}/{path}".rstrip("/") or "/").st_ino
    inside = os.path.relpath(os.path.normpath(whole), tmp_path).split(os.sep)
    assert inside[0] not in (".git", "mask")
    assert inside[:2] != ["dev", "proc"]
    assert (place.preopen == 1) == (inside[0] == "sub")


def test_link_targets() -> None:
    """A symbolic link may point below its own directory alone, wherever that is moved."""
    assert [stays_below(t) for t in ("a", "a/b", "./a", "a..b")] == [True] * 4
    assert [stays_below(t) for t in ("..", "/", "/a", "a/..", "a/../../b")] == [False] * 5


def test_numbers_that_the_worker_has_at_hand() -> None:
    """The worker spells out numbers of the guard and the router that it has no time to import."""
    reasons = (Reason.SYMBOLIC_LINK, Reason.LINK_TARGET, Reason.OUT_OF_FILES, Reason.WRITES)
    assert reasons == (callbacks.SYMBOLIC_LINK, callbacks.LINK_TARGET, callbacks.OUT_OF_FILES, callbacks.WRITES)
    assert (callbacks.ACCESS, callbacks.NOT_PERMITTED) == (Error.ACCESS, Error.NOT_PERMITTED)
    assert callbacks.ROUTED == state.ROUTED


def test_no_descriptor_is_left(router: Router) -> None:
    """Answers hold nothing open."""
    before = len(os.listdir("/proc/self/fd"))
    for base, path, intent, _ in ROUTES:
        router.route(0, base, path, intent)
    for old, new, _ in RENAMES:
        router.rename(0, "", old, "", new)
    assert len(os.listdir("/proc/self/fd")) == before


def test_openat2() -> None:
    """The kernel that these tests run on has what routing needs."""
    assert openat2_works()
