"""Programs of direct preview 1 calls, run by plain wasmtime-py and under a policy that grants the same, to be compared.

A program is text, one command of the guest ``preview1`` a line; ``tests/guests/README.md`` has their forms.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.harness import GUESTS, Denial, Runner, directory, policy_data, snapshot, write_policy

PREVIEW1 = GUESTS / "preview1.m.wasm"

PLAIN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from plain import Engine, Streams, configuration, run_module
from wasmtime import Module
engine = Engine()
modules = {}
for job in json.load(sys.stdin):
    guest = job["guest"]
    module = modules.get(guest) or modules.setdefault(guest, Module.from_file(engine, guest))
    config = configuration(job["arguments"], job["directories"], job["environment"], Streams(*job["streams"]))
    print(json.dumps(run_module(module, config, engine)), flush=True)
"""
"""Runs guests one after the other in one process under plain wasmtime-py, each in a store of its own."""

DIRECTORIES: tuple[tuple[str, str, str], ...] = (("d", "/d", "write"), ("r", "/r", "read"))
"""What a program is granted: (name below its own directory, guest path, access). The decoy root comes last."""
ENVIRONMENT: Mapping[str, str] = {"FIRST": "1", "EMPTY": "", "LAST": "a=b c"}
STDIN = b"line one\nline two\n"

_DIRECTORIES = {"D": 3, "R": 4, "ROOT": 5}
_LOOKUP = {"FOLLOW": 1}
_OPEN = {"CREAT": 1, "DIR": 2, "EXCL": 4, "TRUNC": 8}
_FLAGS = {"APPEND": 1, "DSYNC": 2, "NONBLOCK": 4, "RSYNC": 8, "SYNC": 16}
_RIGHTS = {
    "READ": 1 << 1,
    "SEEK": 1 << 2,
    "TELL": 1 << 5,
    "WRITE": 1 << 6,
    "ALLOCATE": 1 << 8,
    "READDIR": 1 << 14,
    "SETSIZE": 1 << 22,
    "ALL": (1 << 29) - 1,
}
_TIMES = {"ATIM": 1, "ATIM_NOW": 2, "MTIM": 4, "MTIM_NOW": 8}
_WHENCE = {"SET": 0, "CUR": 1, "END": 2}
NAMES: Mapping[str, int] = {**_DIRECTORIES, **_LOOKUP, **_OPEN, **_FLAGS, **_RIGHTS, **_TIMES, **_WHENCE}
"""Words for numbers in programs; ``CREAT+EXCL`` is their sum."""


class Result(NamedTuple):
    """All that a run is compared by."""

    stdout: str
    stderr: str
    end: int | str
    """The exit status, or why it trapped."""
    files: dict[str, tuple[str, int, str | None]]
    """Types, link counts, contents. Times differ from run to run."""


def plant(place: Path) -> None:
    """The directories of a program before it runs, the same in every place."""
    (place / "d").mkdir(parents=True)
    (place / "r" / "sub").mkdir(parents=True)
    (place / "r" / "sub" / "deep").write_text("deep down")
    (place / "r" / "file").write_text("for reading")
    os.symlink("file", place / "r" / "link")
    os.symlink("none", place / "r" / "dangling")
    (place / "r" / "special").mkdir()
    os.mkfifo(place / "r" / "special" / "fifo")
    os.mknod(place / "r" / "special" / "socket", stat.S_IFSOCK | 0o600)


def arguments(program: str) -> list[str]:
    """The guest's command line for a program. ``''`` stands for an empty argument, words of ``NAMES`` for numbers."""
    out: list[str] = []
    for line in program.strip().splitlines():
        out += ["--"] if out else []
        for word in line.split():
            parts = word.split("+")
            known = all(part in NAMES for part in parts)
            out.append(str(sum(NAMES[part] for part in parts)) if known else word.replace("''", ""))
    return out


def trap(text: str) -> str:
    """Why Wasmtime says that a guest trapped, without where."""
    _, _, causes = text.rpartition("Caused by:")
    lines = [line.strip() for line in (causes or text).strip().splitlines() if line.strip()]
    return re.sub(r"^\d+: ", "", lines[-1])


def files(place: Path) -> dict[str, tuple[str, int, str | None]]:
    return {
        f"{name}/{path}": (node.kind, node.links, node.content)
        for name in ("d", "r")
        for path, node in snapshot(place / name).items()
    }


def run_plain(
    programs: Mapping[str, str],
    root: Path,
    *,
    stdin: bytes = STDIN,
) -> dict[str, Result]:
    """Each program under plain wasmtime-py, in a directory of its own below ``root``."""
    jobs: list[dict[str, Any]] = []
    places = [root / f"{number}" for number in range(len(programs))]
    for place, program in zip(places, programs.values(), strict=True):
        plant(place)
        (place / "empty").mkdir()
        for name, data in (("stdin", stdin), ("stdout", b""), ("stderr", b"")):
            (place / name).write_bytes(data)
        granted = [[str(place / name), path, access == "write"] for name, path, access in DIRECTORIES]
        jobs.append(
            {
                "guest": str(PREVIEW1),
                "arguments": ["guest", *arguments(program)],
                "directories": [*granted, [str(place / "empty"), "/", False]],
                "environment": list(ENVIRONMENT.items()),
                "streams": [str(place / name) for name in ("stdin", "stdout", "stderr")],
            }
        )
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN, str(GUESTS)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    ends = [json.loads(line) for line in ran.stdout.splitlines()]
    return {
        name: Result(
            (place / "stdout").read_text("utf-8", "backslashreplace"),
            (place / "stderr").read_text("utf-8", "backslashreplace"),
            status if error is None else trap(error),
            files(place),
        )
        for name, place, (status, error) in zip(programs, places, ends, strict=True)
    }


def run_sandboxed(
    program: str,
    place: Path,
    runner: Runner,
    *,
    stdin: bytes = STDIN,
    limits: Mapping[str, object] | None = None,
    more: Mapping[str, object] | None = None,
    **grants: object,
) -> tuple[Result, list[Denial]]:
    """A program under a policy that grants what plain wasmtime-py gave, and what was denied.

    ``more`` goes into each directory's grant, ``grants`` beside them.
    """
    plant(place)
    granted = [
        directory(place / name, path, access, **{"hard_links": "allow", **(more or {})})
        for name, path, access in DIRECTORIES
    ]
    families: dict[str, Any] = {
        "stdio": {"stdin": "inherit", "stdout": "capture", "stderr": "capture"},
        "environment": {"set": dict(ENVIRONMENT)},
        **grants,
    }
    policy = write_policy(place, policy_data(granted, source=PREVIEW1, limits=limits, **families))
    ran = runner.run(policy, *arguments(program), stdin=stdin)
    outcome = ran.outcome
    end = outcome.exit_status if outcome.how == "exited" else f"{outcome.how}: {outcome.reason}"
    stderr = (outcome.stderr or b"").decode("utf-8", "backslashreplace")
    if outcome.how == "trapped":
        end = outcome.reason or ""
    return Result(ran.stdout, stderr, end, files(place)), ran.denials


def results(result: Result) -> list[str]:
    """What each command came to."""
    return [line.partition(" -> ")[2] for line in result.stdout.splitlines()]


def comparable(result: Result) -> Result:
    """``result`` without what the file system chooses: which number a new inode gets that an old one had."""
    return result._replace(stdout=re.sub(r" ino=#\d+", "", result.stdout))
