"""Runs guests under policies for the end-to-end tests: one warm worker, and results as values that compare whole."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.audit.events import Event
from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import choose, execute, plan_of

ROOT = Path(__file__).resolve().parent.parent.parent
GUESTS = ROOT / "tests" / "guests"
PROBE = GUESTS / "probe.wasm"
PROBE_MODULE = GUESTS / "probe.m.wasm"
"""The module that ``PROBE`` was made of: the same program, for preview 1."""

SOURCE: ContextVar[Path] = ContextVar("SOURCE", default=PROBE)
"""What policies run that name no source. The fixture ``guest`` sets it."""

QUIET: Mapping[str, Any] = {
    "stdio": {"stdin": "discard", "stdout": "capture", "stderr": "capture"},
    "environment": {},
    "arguments": "inherit",
    "clocks": "real",
    "random": "secure",
}
"""Grants beside ``filesystem``: output is captured, and nothing but files, sockets and HTTP can be denied."""


class Denial(NamedTuple):
    """A ``denied``, ``limit`` or ``folded`` event, as the tests compare it."""

    capability: str
    resource: str | None
    reason: str


@dataclass(frozen=True)
class Ran:
    """What a run left behind."""

    outcome: Outcome

    @property
    def stdout(self) -> str:
        """What was captured; an undecodable byte shows as an escape."""
        return (self.outcome.stdout or b"").decode("utf-8", "backslashreplace")

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def denials(self) -> list[Denial]:
        """Every event but the last, which is asserted to be ``ended``."""
        *others, last = self.outcome.events
        assert last.name == "ended"
        assert [e.sequence for e in self.outcome.events] == list(range(1, len(self.outcome.events) + 1))
        return [denial(e) for e in others]


def denial(event: Event) -> Denial:
    return Denial(event.capability, event.resource, event.reason)


def directory(host: Path | str, guest: str, access: str = "read", **more: object) -> dict[str, object]:
    """One entry of ``filesystem``; ``excepted`` and ``hard_links`` become the policy's own keys."""
    names = {"excepted": "except", "hard_links": "hard-links"}
    return {"host": str(host), "guest": guest, "access": access, **{names.get(k, k): v for k, v in more.items()}}


def policy_data(
    filesystem: Iterable[Mapping[str, object]] = (),
    *,
    source: Path | str | None = None,
    limits: Mapping[str, object] | None = None,
    name: str = "guest",
    **grants: object,
) -> dict[str, Any]:
    """A policy for one component: ``QUIET``'s grants and ``grants`` over them; a family of ``None`` is left out.

    Without a ``source`` it is the probe, as a component or as the fixture ``guest`` says.
    """
    families = {**QUIET, "filesystem": list(filesystem), **grants}
    component = {
        "source": str(source or SOURCE.get()),
        "grants": {k: v for k, v in families.items() if v is not None},
        "limits": dict(limits or {}),
    }
    return {"version": 1, "components": {name: component}}


def write_policy(folder: Path, policy: Mapping[str, Any] | str, name: str = "policy.yaml") -> Path:
    """Write a policy into ``folder``; JSON is YAML."""
    path = folder / name
    path.write_text(policy if isinstance(policy, str) else json.dumps(policy), encoding="utf-8")
    return path


class Runner:
    """Runs policies in one worker that stays warm between them."""

    def __init__(self, cache: Path) -> None:
        self.cache = Cache(cache)
        self._worker: WorkerProcess | None = None

    def run(
        self,
        policy: Path | str,
        *arguments: str,
        component: str | None = None,
        source: Path | str | None = None,
        stdin: bytes = b"",
    ) -> Ran:
        """Run a component of the policy file. ``source`` is used instead of the policy's own."""
        loaded = Policy.load(policy)
        chosen = choose(loaded, component)
        plan = plan_of(
            loaded, chosen, self.cache, source=None if source is None else str(source), arguments=list(arguments)
        )
        worker, self._worker = self._worker or WorkerProcess.spawn(), None
        reusable = False
        try:
            outcome, reusable = execute(plan, worker, self.cache, stdin=stdin)
        finally:
            if reusable:
                self._worker = worker
            else:
                worker.kill()
                worker.close()
        return Ran(outcome)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.close()
            self._worker = None


def probe_arguments(*commands: Sequence[str] | str) -> list[str]:
    """The command line of the probe for ``commands``; one that is a string is split at spaces."""
    out: list[str] = []
    for command in commands:
        out += ["--"] if out else []
        out += command.split(" ") if isinstance(command, str) else list(command)
    return out


class Node(NamedTuple):
    """One name in a tree, as far as a guest could have changed it."""

    kind: str
    mode: int
    links: int
    mtime_ns: int
    content: str | None


def snapshot(root: Path) -> dict[str, Node]:
    """Everything below ``root``, itself included: types, modes, link counts, times, contents or digests."""
    out: dict[str, Node] = {}
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        info = os.lstat(path)
        content: str | None = None
        if stat.S_ISDIR(info.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
        elif stat.S_ISLNK(info.st_mode):
            content = os.fsdecode(os.readlink(path))
        elif stat.S_ISREG(info.st_mode):
            with open(path, "rb") as file:
                data = file.read()
            content = repr(data) if len(data) <= 65536 else hashlib.sha256(data).hexdigest()
        name = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
        out[name] = Node(
            stat.filemode(info.st_mode)[0], stat.S_IMODE(info.st_mode), info.st_nlink, info.st_mtime_ns, content
        )
    return out


UNGRANTED = "no granted directory covers this path"


def by_name(guest: str) -> str:
    """The reason of a refusal below the root, of what is granted under a name of its own."""
    return f"asked for below the root, which is not granted; {guest} is, by that name alone"


LEADS_OUT = "the path leads out of the granted directory"
LINKED_OUT = "a symbolic link leads out of the granted directory"
READ_ONLY = "the directory is granted for reading only"
DECOY = "the root directory is not granted; the component sees an empty one"
PERMISSIONS = "the host's own permissions refuse it"
SPECIAL = "a device, FIFO or socket; only regular files and directories may be opened"
HARD_LINK = "the file has several names, or would get one more; hard links are refused unless the grant allows them"
ACROSS = "files are not moved or linked from one granted directory to another"
MASKED = "another granted directory stands at this path"
LINK = (
    "the path is or goes through a symbolic link, which this grant does not follow or make,"
    " because parts of it are excepted or granted apart"
)
LINK_TARGET = "a symbolic link may only point below its own directory"
ABOVE_GRANT = "a directory that is granted apart, or one above it, is not renamed"
ABOVE_EXCEPTION = "the rename would take something out of what the policy excepts, or into it"
KERNEL = "an interface of the kernel is mounted at this path or below it; it is never granted"
EXCEPTED = "the policy excepts this path"


def read(resource: str, reason: str) -> Denial:
    """The denial of a call that would have read."""
    return Denial("filesystem.read", resource, reason)


def write(resource: str, reason: str) -> Denial:
    """The denial of a call that would have written."""
    return Denial("filesystem.write", resource, reason)


class Attempt(NamedTuple):
    """One run of the probe: its subcommands, what each printed behind its arrow, and what was recorded."""

    commands: str
    """Separated by ``--``."""
    results: str
    """Separated by ``; ``."""
    denials: tuple[Denial, ...] = ()


def attempted(ran: Ran, commands: str) -> Attempt:
    """What a run of the probe made of ``commands``; the run is asserted to have ended by itself."""
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.stderr) == ("exited", 0, b""), ran.outcome
    results = [line.partition(" -> ")[2] for line in ran.lines]
    return Attempt(commands, "; ".join(results), tuple(ran.denials))
