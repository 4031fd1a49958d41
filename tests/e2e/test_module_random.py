"""Programs of calls drawn at random.

Under equal grants they come to the same as under plain wasmtime-py. Under narrow ones each refusal is one event.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.harness import Runner, directory, policy_data, snapshot, write_policy
from tests.e2e.preview1 import PREVIEW1, Result, arguments, comparable, run_plain, run_sandboxed

COMMANDS = 60
PROGRAMS = 6

NAMES = ("a", "b", "dir", "dir/a", "dir/b", "dir/sub", "dir/sub/a")
ODD_NAMES = ("''", ".", "./a", "a/", "dir/", "dir/.", "dir/./a", "none", "none/x", "a/x", "dir//a", "/a", "..", "../x")
LINKS = ("l", "m", "dir/l", "l/a", "l/", "l/x")
TARGETS = ("a", "b", "dir", "sub", "sub/a", "l", "m", "none")
OPENINGS = ["0", "0", "0", "CREAT", "CREAT", "CREAT", "TRUNC", "CREAT+EXCL", "DIR", "DIR", "CREAT+TRUNC", "EXCL"]
RIGHTS = ["READ", "WRITE", "READ+WRITE", "READ+WRITE", "ALL", "0", "READDIR", "SETSIZE"]
FLAGS = ["0", "0", "0", "0", "APPEND", "NONBLOCK"]


class Writer:
    """Draws commands. ``links``: also such as make links, or rename what is open, which not all grants allow."""

    names: tuple[str, ...] = NAMES
    odd_names: tuple[str, ...] = ODD_NAMES
    links_made: tuple[str, ...] = LINKS
    targets: tuple[str, ...] = TARGETS

    def __init__(self, seed: int, links: bool) -> None:
        self.random = random.Random(seed)
        self.links = links
        self.variables = 0

    def pick(self, *choices: Sequence[str]) -> str:
        return self.random.choice([c for group in choices for c in group])

    def descriptor(self) -> str:
        if self.random.random() < 0.7:
            return str(self.random.choice([6, 6, 7, 7, 8, 9, 10]))
        if self.variables and self.random.random() < 0.6:
            return f"$v{self.random.randrange(max(0, self.variables - 6), self.variables)}"
        return str(self.random.choice([0, 2, 3, 3, 11, 77]))

    def directory(self) -> str:
        return self.descriptor() if self.random.random() < 0.25 else "D"

    def path(self) -> str:
        if self.random.random() < 0.25:
            return self.pick(self.odd_names if self.links else self.odd_names[:-4], self.links_made)
        return self.pick(self.names)

    def number(self) -> str:
        return str(self.random.choice([0, 1, 2, 3, 5, 10, 24, 100, 4096, -1, -2]))

    def open(self) -> str:
        follow = self.pick(["0", "FOLLOW"])
        line = f"v{self.variables}=path_open {self.directory()} {follow} {self.path()} {self.pick(OPENINGS)}"
        self.variables += 1
        return f"{line} {self.pick(RIGHTS)} {self.pick(['0', 'ALL'])} {self.pick(FLAGS)}"

    def command(self) -> str:
        fd, at, path = self.descriptor(), self.directory(), self.path()
        text = "".join(self.random.choices("xyz", k=self.random.randrange(1, 9)))
        plain = [
            f"fd_close {fd}",
            f"fd_renumber {fd} {self.descriptor()}",
            f"fd_write {fd} {text}",
            f"fd_write {fd} {text}|more",
            f"fd_read {fd} {self.random.randrange(12)}",
            f"fd_pread {fd} 3|5 {self.number()}",
            f"fd_pwrite {fd} {text} {self.number()}",
            f"fd_seek {fd} {self.number()} {self.pick(['SET', 'CUR', 'END'])}",
            f"fd_tell {fd}",
            f"fd_fdstat_get {fd}",
            f"fd_fdstat_set_flags {fd} {self.pick(FLAGS)}",
            f"fd_filestat_get {fd}",
            f"fd_filestat_set_size {fd} {self.random.choice([0, 1, 5, 100])}",
            f"fd_filestat_set_times {fd} 5 6 {self.pick(['ATIM', 'MTIM', 'ATIM+MTIM', 'ATIM+ATIM_NOW', '0'])}",
            f"fd_sync {fd}",
            f"fd_datasync {fd}",
            f"fd_advise {fd} 0 10 {self.random.randrange(6)}",
            f"fd_allocate {fd} 0 10",
            f"fd_readdir {fd} {self.random.choice([30, 60, 300, 300])} {self.random.choice([0, 0, 1, 2, 5])}",
            f"fd_prestat_get {fd}",
            f"fd_prestat_dir_name {fd} 2",
            f"path_create_directory {at} {path}",
            f"path_create_directory {at} {self.pick(['dir', 'dir/sub'])}",
            f"path_remove_directory {at} {path}",
            f"path_unlink_file {at} {path}",
            f"path_filestat_get {at} {self.pick(['0', 'FOLLOW'])} {path}",
            f"path_filestat_get {at} {self.pick(['0', 'FOLLOW'])} {path}",
            f"path_filestat_set_times {at} {self.pick(['0', 'FOLLOW'])} {path} 7 8 {self.pick(['ATIM', 'MTIM'])}",
            f"path_readlink {at} {path} 20",
            f"poll_oneoff 0:1:1:{self.random.choice([0, 1000])}:0:0",
            f"sock_shutdown {fd} 1",
        ]
        links = [
            f"path_rename {at} {path} {self.directory()} {self.path()}",
            f"path_rename {at} {path} D {self.pick(self.names)}",
            f"path_link {at} 0 {path} D {self.pick(self.names, self.links_made)}",
            f"path_link {at} 0 {path} {self.directory()} {self.path()}",
            f"path_symlink {self.pick(self.targets)} {at} {self.pick(self.links_made)}",
            f"path_symlink {self.pick(self.targets)} {at} {self.path()}",
        ]
        return self.random.choice(plain + links * 2 if self.links else plain)

    def program(self, commands: int = COMMANDS) -> str:
        lines = ["path_create_directory D dir", "path_create_directory D dir/sub"]
        lines += [f"path_open D 0 {name} CREAT READ+WRITE 0 0" for name in ("a", "b", "dir/a")]
        while len(lines) < commands:
            lines.append(self.open() if self.random.random() < 0.25 else self.command())
        return "\n".join(lines)


PROGRAM = {f"{links}-{seed}": Writer(seed, links).program() for links in (True, False) for seed in range(PROGRAMS)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return run_plain(PROGRAM, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_same_results(seed: int, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """A random program gets the same answers and leaves the same files where its grants give what Wasmtime would."""
    name = f"True-{seed}"
    result, _ = run_sandboxed(PROGRAM[name], tmp_path, runner)
    assert comparable(result) == comparable(plain[name])


GRANTS: dict[str, dict[str, object]] = {
    "default": {"hard_links": "refuse"},
    "exceptions": {"hard_links": "refuse", "excepted": ["never/named"]},
}


@pytest.mark.parametrize("grants", GRANTS)
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_same_results_without_links(
    seed: int, grants: str, plain: dict[str, Result], runner: Runner, tmp_path: Path
) -> None:
    """So it does where files are looked at before they are opened, or paths decided by the host, short of links."""
    name = f"False-{seed}"
    result, _ = run_sandboxed(PROGRAM[name], tmp_path, runner, more=GRANTS[grants])
    assert comparable(result) == comparable(plain[name])


class Burglar(Writer):
    """Draws commands that try what is excepted, granted apart, for reading only, or not at all."""

    names = (
        "a",
        "b",
        "dir",
        "dir/a",
        "x",
        "x/a",
        "x/b",
        "x/sub",
        "x/sub/a",
        "secret",
        "secret/a",
        "dir/secret",
        "dir/secret/a",
        "dir/b",
        "w",
        "w/a",
        "new",
    )
    odd_names = (
        *ODD_NAMES,
        "x/..",
        "x/../a",
        "x/.",
        "x/",
        "secret/",
        "secret/.",
        "dir/../secret/a",
        "x/../secret/a",
        "./secret",
        "dir/up/a",
        "tosecret/a",
        "tosecret",
        "toabsolute",
        "toabsolute/a",
        "tox/a",
        "up/a",
        "w/../x/a",
        "d/x/a",
        "d/secret/a",
        "r/a",
        "r/fifo",
    )
    links_made = (*LINKS, "tosecret", "tox", "tosecret/a")
    targets = (*TARGETS, "secret", "secret/a", "x", "x/a", "../x", "../secret/a", "dir/secret")

    def directory(self) -> str:
        return self.descriptor() if self.random.random() < 0.35 else self.pick(("3", "3", "3", "4", "5", "6", "7"))

    def descriptor(self) -> str:
        return str(self.random.choice([8, 8, 9, 10, 11, 12])) if self.random.random() < 0.5 else super().descriptor()


def house(root: Path) -> list[dict[str, object]]:
    """What a burglar is let loose on, and the grants. Some is excepted, some for reading; a file has a name outside."""
    d, r = root / "d", root / "r"
    for name in ("a", "dir/a", "x/a", "x/sub/a", "secret/a", "dir/secret/a", "w/a"):
        (d / name).parent.mkdir(parents=True, exist_ok=True)
        (d / name).write_text("SECRET" if "secret" in name else name)
    (d / "tosecret").symlink_to("secret")
    (d / "toabsolute").symlink_to(d / "secret")
    (d / "tox").symlink_to("x")
    (d / "dir" / "up").symlink_to("..")
    (root / "outside").hardlink_to(d / "a")
    r.mkdir()
    (r / "a").write_text("for reading")
    os.mkfifo(r / "fifo")
    return [
        directory(d, "/d", "write", excepted=["secret", "dir/secret"]),
        directory(r, "/r"),
        directory(d / "x", "/d/x"),
        directory(d / "w", "/w", "write"),
    ]


REFUSED = re.compile(r"^(?:\w+=)?(\w+).* -> errno (?:acces|perm|xdev)$", re.MULTILINE)
KEPT = ("d/x/", "d/secret", "d/dir/secret", "r", "outside")
"""What no program may change, but for the link count of what has a name elsewhere."""


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_each_refusal_is_one_event(seed: int, runner: Runner, tmp_path: Path) -> None:
    """One event for each refusal, in order, by its function; what is kept is neither read nor changed."""

    def kept() -> dict[str, tuple[str, int, int, str | None]]:
        tree = snapshot(tmp_path)
        return {n: (v.kind, v.mode, v.mtime_ns, v.content) for n, v in tree.items() if n.startswith(KEPT)}

    grants = house(tmp_path)
    before = kept()
    policy = write_policy(tmp_path, policy_data(grants, source=PREVIEW1, limits={"events": 5000}))
    ran = runner.run(policy, *arguments(Burglar(seed, links=True).program(2 * COMMANDS)))
    assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0)
    told = [event.function for event in ran.outcome.events if event.capability.startswith("filesystem")]
    assert told == REFUSED.findall(ran.stdout)
    assert told
    assert "SECRET" not in ran.stdout
    assert kept() == before
