"""What a module does to the numbers of its descriptors changes neither what it may reach nor what an event says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.harness import (
    ABOVE_EXCEPTION,
    EXCEPTED,
    LEADS_OUT,
    LINK_TARGET,
    READ_ONLY,
    UNGRANTED,
    Ran,
    Runner,
    by_name,
    directory,
    policy_data,
    read,
    write,
    write_policy,
)
from tests.e2e.preview1 import PREVIEW1, arguments

MODULE = "wasi_snapshot_preview1"


class Told(NamedTuple):
    """Function, capability, resource, reason, and where that is on the host, relative to the test's folder."""

    function: str | None
    capability: str
    resource: str | None
    reason: str
    resolved: str | None = None


@pytest.fixture
def run(tmp_path: Path, runner: Runner) -> Callable[..., Ran]:
    """Runs a program under grants of ``/d`` (writing) and ``/r`` (reading); ``inner``: and ``/d/x`` (reading)."""
    (tmp_path / "d" / "x").mkdir(parents=True)
    (tmp_path / "d" / "keep").mkdir()
    (tmp_path / "r").mkdir()
    for name in ("d/x/inner", "d/keep/secret", "r/file", "outside"):
        (tmp_path / name).write_text(name)

    def run(program: str, limits: dict[str, object] | None = None, *, inner: bool = False, **more: Any) -> Ran:
        grants = [directory(tmp_path / "d", "/d", "write", **more), directory(tmp_path / "r", "/r")]
        grants += [directory(tmp_path / "d" / "x", "/d/x")] if inner else []
        policy = write_policy(tmp_path, policy_data(grants, source=PREVIEW1, limits=limits))
        ran = runner.run(policy, *arguments(program))
        assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0), ran.outcome
        assert {e.interface for e in ran.outcome.events if e.name == "denied"} <= {MODULE}
        return ran

    return run


def results(ran: Ran) -> list[str]:
    """What each command came to, without how many bytes or entries there were."""
    return [line.partition(" -> ")[2] for line in ran.lines]


def told(ran: Ran, folder: Path) -> list[Told]:
    return [
        Told(e.function, e.capability, e.resource, e.reason, e.resolved and e.resolved.replace(f"{folder}/", ""))
        for e in ran.outcome.events[:-1]
    ]


def test_closed_grant(run: Callable[..., Ran], tmp_path: Path) -> None:
    """The first grant's number, closed, is the next thing's to be opened. What was opened below it stays below it."""
    ran = run(r"""
        k=path_open 3 0 keep DIR READ 0 0
        fd_close 3
        path_open 3 0 keep/secret 0 READ 0 0
        r=path_open 4 0 . DIR READ 0 0
        path_open $r 0 file 0 READ 0 0
        path_open $r 0 file 0 WRITE 0 0
        path_open $r 0 ../outside 0 READ 0 0
        path_open $k 0 secret 0 READ 0 0
        path_open $k 0 ../x/inner 0 READ 0 0""")
    assert results(ran) == [
        "ok fd=6", "ok", "errno badf", "ok fd=3", "ok fd=7", "errno perm", "errno perm", "ok fd=8", "errno perm",
    ]  # fmt: skip
    assert told(ran, tmp_path) == [
        Told("path_open", "filesystem.write", "/r/file", READ_ONLY, "r/file"),
        Told("path_open", "filesystem.read", "/r/../outside", LEADS_OUT),
        Told("path_open", "filesystem.read", "/d/keep/../x/inner", LEADS_OUT),
    ]


def test_renumbered_grants(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A number that was another grant's is judged by what it stands for now."""
    ran = run(
        r"""
        fd_renumber 3 4
        path_open 4 0 new CREAT WRITE 0 0
        path_open 4 0 x/inner 0 WRITE 0 0
        path_open 4 0 file 0 READ 0 0
        fd_renumber 6 4
        path_open 4 0 d/new 0 READ 0 0
        fd_prestat_dir_name 4 1
        k=path_open 5 0 . DIR READ 0 0
        fd_renumber $k 4
        path_unlink_file 4 inner
        path_unlink_file 5 inner""",
        inner=True,
    )
    assert results(ran) == [
        "ok", "ok fd=3", "errno perm", "errno noent", "ok", "errno acces", 'ok "/"', "ok fd=6", "ok",
        "errno perm", "errno perm",
    ]  # fmt: skip
    assert told(ran, tmp_path) == [
        Told("path_open", "filesystem.write", "/d/x/inner", READ_ONLY, "d/x/inner"),
        Told("path_open", "filesystem.read", "/d/new", by_name("/d")),
        Told("path_unlink_file", "filesystem.write", "/d/x/inner", READ_ONLY, "d/x/inner"),
        Told("path_unlink_file", "filesystem.write", "/d/x/inner", READ_ONLY, "d/x/inner"),
    ]


def test_renamed_directory(run: Callable[..., Ran], tmp_path: Path) -> None:
    """An event names a path as the guest opened it: by the names that the directories had then."""
    ran = run(
        r"""
        k=path_open 3 0 keep DIR READ 0 0
        path_rename 3 keep 3 kept
        path_open $k 0 secret 0 READ 0 0
        path_open $k 0 ../outside 0 READ 0 0
        path_open $k 0 /etc/passwd 0 READ 0 0
        s=path_open 3 0 kept DIR READ 0 0
        path_open $s 0 .. DIR READ 0 0"""
    )
    assert results(ran) == ["ok fd=6", "ok", "ok fd=7", "errno perm", "errno perm", "ok fd=8", "errno perm"]
    assert [(t.function, t.resource, t.reason) for t in told(ran, tmp_path)] == [
        ("path_open", "/d/keep/../outside", LEADS_OUT),
        ("path_open", "/etc/passwd", LEADS_OUT),
        ("path_open", "/d/kept/..", LEADS_OUT),
    ]


def test_renamed_directory_with_exceptions(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Where a grant has exceptions a handle goes by its path: renamed, it leads nowhere; new names are judged anew."""
    ran = run(
        r"""
        path_create_directory 3 plain
        p=path_open 3 0 plain DIR READ 0 0
        path_open 3 0 keep/secret 0 READ 0 0
        path_rename 3 plain 3 moved
        path_open $p 0 new CREAT WRITE 0 0
        path_create_directory 3 plain
        path_open $p 0 new CREAT WRITE 0 0
        path_rename 3 moved 3 keep
        path_rename 3 plain 3 keep/secret""",
        excepted=["keep/secret"],
    )
    assert results(ran) == [
        "ok", "ok fd=6", "errno acces", "ok", "errno noent", "ok", "ok fd=7", "errno acces", "errno acces",
    ]  # fmt: skip
    assert [(t.function, t.resource, t.reason) for t in told(ran, tmp_path)] == [
        ("path_open", "/d/keep/secret", EXCEPTED),
        ("path_rename", "/d/moved -> /d/keep", ABOVE_EXCEPTION),
        ("path_rename", "/d/plain -> /d/keep/secret", EXCEPTED),
    ]
    assert (tmp_path / "d" / "plain" / "new").read_bytes() == b""


def test_sockets(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Each call of a ``sock_`` function is told, whatever it was called with, and answered by Wasmtime itself."""
    ran = run(r"""
        f=path_open 3 0 f CREAT READ+WRITE 0 0
        sock_accept 77 0
        sock_recv $f 10 0
        sock_send 1 x 0
        sock_shutdown 3 1
        sock_shutdown 3 1""")
    assert results(ran) == ["ok fd=6", "errno badf", *["errno notsock"] * 4]
    reason = "preview 1 opens no sockets, so there is none that this could be done with"
    assert told(ran, tmp_path) == [
        Told(name, "sockets", None, reason)
        for name in ("sock_accept", "sock_recv", "sock_send", "sock_shutdown", "sock_shutdown")
    ]


def test_handles_within_the_bound(run: Callable[..., Ran], tmp_path: Path) -> None:
    """At the bound opening fails with ``dquot``; closed or renumbered over, a descriptor makes room again."""
    ran = run(
        r"""
        path_open 3 0 f CREAT READ+WRITE 0 0
        path_open 3 0 f 0 READ+WRITE 0 0
        path_open 3 0 f 0 READ 0 0
        path_open 3 0 new CREAT READ 0 0
        fd_renumber 6 7
        path_open 3 0 g CREAT READ 0 0
        path_open 3 0 g 0 READ 0 0
        fd_close 5
        path_open 3 0 g 0 READ 0 0
        path_open 3 0 none 0 READ 0 0
        fd_close 8
        path_open 3 0 none 0 READ 0 0
        path_open 3 0 g 0 READ 0 0""",
        limits={"handles": 6},
    )
    assert results(ran) == [
        "ok fd=6", "ok fd=7", "ok fd=8", "errno dquot", "ok", "ok fd=6", "errno dquot", "ok", "ok fd=5",
        "errno dquot", "ok", "errno noent", "ok fd=8",
    ]  # fmt: skip
    full = "6 handles are open, which is all that the policy allows"
    assert [(t.function, t.capability, t.resource, t.reason) for t in told(ran, tmp_path)] == [
        ("path_open", "limits.handles", f"/d/{name}", full) for name in ("new", "g", "none")
    ]
    assert ran.outcome.bounds == ("limits.handles",)
    assert not (tmp_path / "d" / "new").exists()


def test_thousands_of_descriptors(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Numbers far beyond the first are as good as those, and come back in the order that Wasmtime gives them."""
    opened = "\n".join(["path_open 3 0 f CREAT READ 0 0"] * 600)
    closed = "\n".join(f"fd_close {n}" for n in range(8, 600, 7))
    again = "\n".join(["path_open 3 0 f 0 READ 0 0"] * 90)
    ran = run(f"{opened}\n{closed}\n{again}", limits={"handles": 2000})
    free = sorted(range(8, 600, 7), reverse=True)
    expected = [f"ok fd={n}" for n in range(6, 606)] + ["ok"] * len(free)
    expected += [f"ok fd={n}" for n in [*free, *range(606, 606 + 90 - len(free))]]
    assert results(ran) == expected
    assert ran.outcome.bounds == ()


FAILING = [
    "path_open 3 0 none 0 READ 0 0",
    "path_open 3 0 f CREAT+EXCL READ 0 0",
    "path_open 3 0 none/x CREAT WRITE 0 0",
    "path_open 3 0 keep/secret/x 0 READ 0 0",
    "path_open 3 0 keep/secret DIR READ 0 0",
    "path_open 3 0 .. DIR READ 0 0",
    "path_open 4 0 file 0 WRITE 0 0",
    "path_open 4 0 file TRUNC READ 0 0",
    "path_filestat_get 3 0 keep/none",
    "path_create_directory 3 keep/none/x",
    "path_unlink_file 3 keep/none",
    "path_rename 3 keep/none 3 keep/x",
    "path_rename 3 keep/secret 4 x",
    "path_link 3 0 keep/secret 3 keep/none/x",
    "path_readlink 3 keep/secret 10",
]


@pytest.mark.parametrize(
    "more",
    [{"hard_links": "allow"}, {}, {"excepted": ["excepted"]}],
    ids=["hard links allowed", "default", "exceptions"],
)
def test_failing_calls_hold_nothing(run: Callable[..., Ran], more: dict[str, object]) -> None:
    """What fails leaves no file open behind it, however often it is tried."""
    commands = ["path_open 3 0 f CREAT WRITE 0 0", "fd_close 6", *FAILING * 60, *["path_open 3 0 f 0 READ 0 0"] * 3]
    ran = run("\n".join(commands), limits={"handles": 6, "events": 1}, **more)
    found = results(ran)
    assert found[:2] == ["ok fd=6", "ok"]
    assert {result.split(" ")[0] for result in found[2:-3]} == {"errno"}
    assert found[-3:] == ["ok fd=6", "ok fd=7", "ok fd=8"]


def test_memory_for_descriptors(run: Callable[..., Ran]) -> None:
    """What the guard remembers of descriptors counts as the guest's memory; without any left, ``nomem``."""
    commands = ["path_open 3 0 f CREAT READ 0 0"] * 1500
    ran = run("\n".join([*commands, "fd_close 6", commands[0]]), limits={"handles": 1500, "memory": "4MiB"})
    found = results(ran)
    opened = found.index("errno nomem")
    assert opened > 100
    assert found == [
        *(f"ok fd={n}" for n in range(6, 6 + opened)),
        *["errno nomem"] * (1500 - opened),
        "ok",
        "ok fd=6",
    ]
    assert ran.denials == []


def test_directories_too_deep_to_be_named(run: Callable[..., Ran]) -> None:
    """A directory whose path is longer than 4096 bytes is not opened: an event could not name what lies in it."""
    name = "n" * 200
    commands = ["h0=path_open 3 0 . DIR READ 0 0"]
    for depth in range(21):
        commands += [f"path_create_directory $h{depth} {name}"]
        commands += [f"h{depth + 1}=path_open $h{depth} 0 {name} DIR READ 0 0"]
    ran = run("\n".join([*commands, "path_open $h20 0 .. DIR READ 0 0"]))
    opened = [result for depth in range(20) for result in ("ok", f"ok fd={7 + depth}")]
    assert results(ran) == ["ok fd=6", *opened, "ok", "errno nametoolong", "errno perm"]
    assert ran.denials == [read("/d/" + f"{name}/" * 20 + "..", LEADS_OUT)]


def test_names_that_are_no_text(run: Callable[..., Ran]) -> None:
    """In an event a byte that is no UTF-8 is a replacement character; control characters stand as they are."""
    names = {
        r"\xff": "\ufffd",
        r"a\x00b": "a\0b",
        r"\x0a{}": "\n{}",
        r"\x1b[31m": "\x1b[31m",
        r"\xed\xa0\x80": "\ufffd" * 3,
    }
    ran = run("\n".join(f"path_open 5 0 {name} 0 READ 0 0\npath_symlink ../{name} 3 l" for name in names))
    assert results(ran) == ["errno acces", "errno perm"] * len(names)
    assert ran.denials == [
        denial
        for name in names.values()
        for denial in (read(f"/{name}", UNGRANTED), write(f"/d/l -> ../{name}", LINK_TARGET))
    ]
