"""Under equal grants a guest gets the answers of plain wasmtime-py, for the behaviours of the wasi-testsuite.

Three differences are by design, and tested last: a symbolic link may not point out of its own directory, paths that no
grant covers are refused rather than missing, and a handle that is routed goes by its path.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import (
    GUESTS,
    LEADS_OUT,
    LINK_TARGET,
    PROBE,
    UNGRANTED,
    Denial,
    Runner,
    directory,
    policy_data,
    read,
    snapshot,
    write,
    write_policy,
)

PLAIN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from plain import run
for directory, arguments in json.loads(sys.stdin.read()):
    status = run(Path(sys.argv[2]), arguments, directories=[(directory, "/d", True)])
    print(f"=== {status}", flush=True)
"""
"""Runs a guest several times in one process under plain wasmtime-py, each time with one directory and nothing else."""

PROGRAMS: dict[str, str] = {
    "create": """
        create /d/a
        create /d/a
        create-exclusive /d/a
        create-exclusive /d/b
        create /d/none/a
        create /d/a/b
        create-read /d/c
        stat /d/c
        list /d""",
    "open flags": """
        write /d/a abc
        mkdir /d/dir
        open-read /d/none
        open-read /d/dir
        open-write /d/dir
        open-directory /d/a
        open-directory /d/dir
        open-directory /d/none
        open-both /d/a
        truncate /d/dir
        truncate-read /d/a
        stat /d/a
        open-nofollow /d/a
        open-nofollow /d/dir
        create-exclusive /d/dir""",
    "write and append": """
        write /d/a hello
        append /d/a world
        read /d/a
        write-at /d/a 3 XY
        read /d/a
        write-at /d/a 20 Z
        stat /d/a
        read /d/a
        append /d/new x
        write /d/a short
        read /d/a
        write-loop /d/big 200000
        stat /d/big""",
    "handles": """
        hold h /d/f create
        fd-write h abc
        fd-write h def
        fd-read h
        fd-stat h
        fd-size h 4
        fd-read h
        fd-size h 8
        fd-read h
        fd-sync h
        release h
        fd-read h
        release h
        hold r /d/f read
        fd-write r x
        hold a /d/f append
        fd-write a tail
        fd-read r
        close-then-use /d/f""",
    "truncation": """
        write /d/a 0123456789
        ftruncate /d/a 4
        read /d/a
        ftruncate /d/a 6
        read /d/a
        ftruncate /d/a 0
        stat /d/a
        ftruncate /d/none 1
        truncate /d/a
        allocate /d/a 10""",
    "directories": """
        mkdir /d/x
        mkdir /d/x
        mkdir /d/x/y
        mkdir /d/none/y
        mkdir /d/x/
        mkdir /d/z/
        rmdir /d/x
        write /d/x/f f
        rmdir /d/x/f
        unlink /d/x/y
        rmdir /d/x/y
        unlink /d/x/f
        unlink /d/x/f
        rmdir /d/x/
        rmdir /d/none
        list /d
        rmdir /d""",
    "listing": """
        list /d
        mkdir /d/b
        write /d/a x
        symlink a /d/l
        symlink none /d/m
        list /d
        list /d/b
        list /d/a
        list /d/none
        hold h /d/b directory
        create @h@one
        create @h@two
        fd-list h
        unlink @h@one
        fd-list h""",
    "rename files": """
        write /d/a A
        write /d/b B
        rename /d/a /d/c
        read /d/c
        rename /d/c /d/b
        read /d/b
        rename /d/none /d/x
        rename /d/b /d/b
        read /d/b
        mkdir /d/dir
        rename /d/b /d/dir
        rename /d/b /d/dir/b
        rename /d/dir/b /d/none/b
        list /d/dir
        rename /d/dir/b /d/e/
        rename /d/dir/b /d/f""",
    "rename directories": """
        mkdir /d/a
        mkdir /d/a/sub
        mkdir /d/b
        rename /d/a /d/c
        list /d/c
        rename /d/b /d/c
        rename /d/c /d/b
        list /d/b
        write /d/f x
        rename /d/b /d/f
        rename /d/b /d/b/sub/b
        rename /d/b/ /d/e/
        list /d
        hold h /d/e directory
        rename /d/e /d/g
        create @h@made
        list /d/g
        list @h@.""",
    "links": """
        write /d/a text
        link /d/a /d/b
        stat /d/a
        append /d/b more
        read /d/a
        link /d/a /d/b
        link /d/none /d/c
        link /d/a /d/none/c
        link /d/a /d/c/
        unlink /d/a
        stat /d/b
        read /d/b
        symlink b /d/l
        link /d/l /d/m
        lstat /d/m
        link-follow /d/l /d/n
        mkdir /d/dir
        link /d/b /d/dir
        link /d/b /d/dir/b""",
    "symbolic links": """
        write /d/a text
        symlink a /d/l
        readlink /d/l
        read /d/l
        lstat /d/l
        stat /d/l
        append /d/l more
        read /d/a
        symlink a /d/l
        symlink none /d/dangling
        read /d/dangling
        lstat /d/dangling
        stat /d/dangling
        open-nofollow /d/dangling
        create-exclusive /d/dangling
        create /d/dangling
        read /d/none
        symlink loop /d/loop
        read /d/loop
        lstat /d/loop
        mkdir /d/dir
        symlink dir /d/to-dir
        create /d/to-dir/x
        list /d/dir
        list /d/to-dir
        open-directory /d/to-dir
        rmdir /d/to-dir
        unlink /d/to-dir
        readlink /d/a
        readlink /d/none
        symlink dir/x /d/deep
        read /d/deep
        rename /d/l /d/l2
        readlink /d/l2
        symlink a /d/none/l
        symlink x /d/a/l
        truncate /d/l2
        stat /d/a""",
    "times": """
        write /d/a x
        utimes /d/a
        mtime /d/a
        mkdir /d/x
        utimes /d/x
        mtime /d/x
        utimes /d/none
        hold h /d/a both
        fd-times h
        mtime /d/a
        symlink a /d/l
        utimes /d/l
        utimes /d""",
    "stat": """
        write /d/a 12345
        mkdir /d/x
        stat /d
        stat /d/a
        stat /d/x
        stat /d/none
        stat /d/a/b
        stat /d/x/
        stat /d/a/
        lstat /d/a
        stat /d/./a
        stat /d/x/../a
        stat @/d@.""",
    "removal": """
        write /d/a x
        hold h /d/a both
        unlink /d/a
        fd-stat h
        fd-write h more
        fd-read h
        stat /d/a
        write /d/a y
        read /d/a
        mkdir /d/x
        hold d /d/x directory
        rmdir /d/x
        fd-list d
        create @d@new
        unlink /d/x
        unlink /d/a/
        unlink /d/a""",
    "names": """
        write /d/-- x
        write /d/... dots
        read /d/...
        write /d/ünï©ødé x
        read /d/ünï©ødé
        write /d/日本語 x
        write /d/\\t\\n x
        write /d/a;b x
        list /d""",
    "out of the directory": """
        read @/d@../x
        read @/d@/etc/passwd
        read @/d@x/../../y
        mkdir @/d@../new
        write @/d@../new x
        rename @/d@../a @/d@b
        unlink @/d@../a
        stat @/d@..
        mkdir /d/s
        hold s /d/s directory
        stat @s@..
        read @s@../a
        list @s@.""",
    "arguments and standard streams": """
        args
        env
        stdout text
        stderr text
        exit 0""",
    "exit": """
        stdout before
        exit 3""",
    "trap": """
        stdout before
        recurse""",
}


DIFFERENT_IF_ROUTED = {
    "listing": "symbolic links are not made",
    "links": "links are not made",
    "symbolic links": "links are not made or followed",
    "times": "links are not made",
    "rename directories": "a handle goes by its path",
    "out of the directory": "a path leads out by its names, whether they are there or not",
}
"""Programs that see a grant with exceptions for what it is, and why."""

DENIED = {
    "out of the directory": [
        read("/d/../x", LEADS_OUT),
        read("/etc/passwd", LEADS_OUT),
        write("/d/../new", LEADS_OUT),
        write("/d/../new", LEADS_OUT),
        write("/d/../a -> /d/b", LEADS_OUT),
        write("/d/../a", LEADS_OUT),
        read("/d/..", LEADS_OUT),
        read("/d/s/..", LEADS_OUT),
        read("/d/s/../a", LEADS_OUT),
    ],
}
"""What of the programs Wasmtime refuses, and is therefore recorded."""


def commands(program: str) -> list[str]:
    """The probe's arguments for a program of the table: a subcommand a line."""
    lines = [line.strip().replace("\\t", "\t").replace("\\n", "\n") for line in program.strip().split("\n") if line]
    return " -- ".join(lines).split(" ")


@dataclass(frozen=True)
class Result:
    """All that a run is compared by. A trap has no status of its own under either."""

    stdout: str
    status: int | None
    files: dict[str, tuple[str, int, str | None]]


def files(root: Path) -> dict[str, tuple[str, int, str | None]]:
    """What a program left behind: types, link counts, contents. Times differ from run to run."""
    return {name: (node.kind, node.links, node.content) for name, node in snapshot(root).items()}


def run_plain(programs: Iterable[Iterable[str]], root: Path) -> list[Result]:
    """Each of ``programs`` under plain wasmtime-py, in a directory of its own below ``root``."""
    jobs = [(root / f"{number}", list(arguments)) for number, arguments in enumerate(programs)]
    for place, _ in jobs:
        place.mkdir(parents=True)
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN, str(GUESTS), str(PROBE)],
        input=json.dumps([(str(place), arguments) for place, arguments in jobs]),
        capture_output=True,
        text=True,
        check=True,
    )
    parts = re.split(r"^=== (\d+)\n", ran.stdout, flags=re.MULTILINE)
    outputs, statuses = parts[:-1:2], parts[1::2]
    assert len(outputs) == len(jobs), ran.stderr
    return [
        Result(stdout, None if status == "134" else int(status), files(place))
        for stdout, status, (place, _) in zip(outputs, statuses, jobs, strict=True)
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """The result of every program under plain wasmtime-py."""
    results = run_plain(map(commands, PROGRAMS.values()), tmp_path_factory.mktemp("plain"))
    return dict(zip(PROGRAMS, results, strict=True))


def sandboxed(runner: Runner, folder: Path, arguments: Iterable[str], **more: object) -> tuple[Result, list[Denial]]:
    """The result of a program under a policy that grants the same, and what was denied."""
    root = folder / "sandboxed"
    root.mkdir()
    grant = directory(root, "/d", "write", **{"hard_links": "allow", **more})
    ran = runner.run(write_policy(folder, policy_data([grant], name="probe")), *arguments)
    status = ran.outcome.exit_status if ran.outcome.how == "exited" else None
    return Result(ran.stdout, status, files(root)), ran.denials


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_results(name: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """A program prints the same, ends the same and leaves the same files under equal grants as under plain Wasmtime."""
    result, denials = sandboxed(runner, tmp_path, commands(PROGRAMS[name]))
    assert result == plain[name]
    assert denials == DENIED.get(name, [])


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in DIFFERENT_IF_ROUTED])
def test_same_results_where_paths_are_routed(
    name: str, plain: dict[str, Result], runner: Runner, tmp_path: Path
) -> None:
    """Nor does a program see a difference where the host decides each path, short of links and renamed handles."""
    result, denials = sandboxed(
        runner, tmp_path, commands(PROGRAMS[name]), hard_links="refuse", excepted=["never/named"]
    )
    assert result == plain[name]
    assert denials == DENIED.get(name, [])


def test_difference_link_targets(runner: Runner, tmp_path: Path) -> None:
    """By design: a symbolic link whose target has ``..`` is made under plain Wasmtime, and refused here.

    Made there, it points out of the directory for whoever looks at it from outside, or once it is moved.
    """
    arguments = commands("""
        symlink ../a /d/l
        symlink x/../a /d/m
        symlink /etc/passwd /d/n
        list /d""")
    (unlimited,) = run_plain([arguments], tmp_path / "plain")
    result, denials = sandboxed(runner, tmp_path, arguments)
    assert unlimited.stdout.splitlines() == [
        "symlink ../a /d/l -> ok",
        "symlink x/../a /d/m -> ok",
        "symlink /etc/passwd /d/n -> errno EPERM",
        'list /d -> ok 2 "l"@ "m"@',
    ]
    assert result.stdout.splitlines() == [
        "symlink ../a /d/l -> errno EPERM",
        "symlink x/../a /d/m -> errno EPERM",
        "symlink /etc/passwd /d/n -> errno EPERM",
        "list /d -> ok 0",
    ]
    assert denials == [
        write("/d/l -> ../a", LINK_TARGET),
        write("/d/m -> x/../a", LINK_TARGET),
        write("/d/n -> /etc/passwd", LINK_TARGET),
    ]


def test_difference_uncovered_paths(runner: Runner, tmp_path: Path) -> None:
    """By design: a path that no directory covers is ``ENOENT`` from libc alone, and a recorded refusal here."""
    arguments = commands("""
        read /etc/passwd
        mkdir /new
        stat /
        preopens""")
    (unlimited,) = run_plain([arguments], tmp_path / "plain")
    result, denials = sandboxed(runner, tmp_path, arguments)
    assert unlimited.stdout.splitlines() == [
        "read /etc/passwd -> errno ENOENT",
        "mkdir /new -> errno ENOENT",
        "stat / -> errno ENOENT",
        'preopens -> ok "/d"',
    ]
    assert result.stdout.splitlines() == [
        "read /etc/passwd -> errno EACCES",
        "mkdir /new -> errno EACCES",
        "stat / -> ok type=directory",
        'preopens -> ok "/d" "/"',
    ]
    assert denials == [read("/etc/passwd", UNGRANTED), write("/new", UNGRANTED)]


def test_difference_routed_handles(runner: Runner, tmp_path: Path) -> None:
    """By design: where the host decides each path, a handle to a directory that was renamed goes by its old path."""
    arguments = commands("""
        mkdir /d/a
        hold h /d/a directory
        rename /d/a /d/b
        create @h@made
        mkdir /d/a
        create @h@made
        list /d/a
        list /d/b
        fd-list h""")
    (unlimited,) = run_plain([arguments], tmp_path / "plain")
    result, denials = sandboxed(runner, tmp_path, arguments, hard_links="refuse", excepted=["never/named"])
    made = ["mkdir /d/a -> ok", "hold h /d/a directory -> ok", "rename /d/a /d/b -> ok"]
    assert unlimited.stdout.splitlines() == [
        *made,
        "create @h@made -> ok",
        "mkdir /d/a -> ok",
        "create @h@made -> ok",
        "list /d/a -> ok 0",
        'list /d/b -> ok 1 "made"',
        'fd-list h -> ok 1 "made"',
    ]
    assert result.stdout.splitlines() == [
        *made,
        "create @h@made -> errno ENOENT",
        "mkdir /d/a -> ok",
        "create @h@made -> ok",
        'list /d/a -> ok 1 "made"',
        "list /d/b -> ok 0",
        "fd-list h -> ok 0",
    ]
    assert denials == []
