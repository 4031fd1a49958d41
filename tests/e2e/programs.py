"""Published programs, fetched as preview 1 modules: where they are, and how tests run policies for them."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.audit.events import Event
from sandbox.policy.model import Policy
from sandbox.runtime.session import choose, source_of
from tests.e2e.harness import ROOT, Ran, Runner, policy_data, write_policy

FETCHED = ".guest-tools/programs/.fetched"
SUMS = ROOT / "tests" / "guests" / "programs" / "SHA256SUMS"
"""The archives that ``make programs`` fetches, and their digests."""


@functools.cache
def _missing() -> str | None:
    """Why the programs are not there, after trying to fetch them."""
    with open(SUMS, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of a parallel run may be at it
        make = ["make", "--no-print-directory", "-C", str(ROOT), FETCHED, f"BIN={Path(sys.executable).parent}"]
        try:
            ran = subprocess.run(make, check=False, capture_output=True, encoding="utf-8", timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"`make programs` failed: {error}"
    said = [line for line in ran.stderr.splitlines() if line.strip()]
    return None if ran.returncode == 0 else f"`make programs` failed: {said[0] if said else ran.returncode}"


def needs_programs() -> None:
    """Fetches the programs if need be, and skips where that fails, which is an error in continuous integration."""
    missing = _missing()
    if missing is not None:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)


def clone(directory: Path) -> Path:
    """A copy of what the policies name, with nothing in the output directory; the programs themselves are linked to.

    Standard output and error are captured where a policy lets the caller's own be inherited.
    """
    for name in ("policies", "tests/e2e/policies", "tests/guests/programs", "samples/invoices"):
        shutil.copytree(ROOT / name, directory / name)
    (directory / "samples" / "out").mkdir()
    (directory / ".guest-tools").symlink_to(ROOT / ".guest-tools")
    for policies in ("policies", "tests/e2e/policies"):
        for path in (directory / policies).glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("out: inherit", "out: capture").replace("err: inherit", "err: capture"))
    return directory


class Refusal(NamedTuple):
    """What an event of a module says, apart from when, where and in which run."""

    capability: str
    function: str | None
    resource: str | None
    reason: str
    line: int | None
    name: str = "denied"
    calls: int = 1


def refusal(event: Event) -> Refusal:
    """``event`` as it is compared; its interface is asserted to be that of preview 1, where it has one."""
    assert event.interface in (None, "wasi_snapshot_preview1"), event
    return Refusal(
        event.capability, event.function, event.resource, event.reason, event.policy_line, event.name, event.count
    )


class Came(NamedTuple):
    """All that came of a run."""

    how: str
    status: int
    stdout: str
    stderr: str
    refusals: tuple[Refusal, ...] = ()
    reason: str | None = None
    """Why it ended, where it did not end by itself."""


def came(ran: Ran) -> Came:
    """``ran`` as it is compared. Its last event is asserted to be ``ended``, and none to be missing."""
    *others, last = ran.outcome.events
    assert (last.name, last.exit_status) == ("ended", ran.outcome.exit_status)
    assert [e.sequence for e in ran.outcome.events] == list(range(1, len(ran.outcome.events) + 1))
    stderr = (ran.outcome.stderr or b"").decode("utf-8", "backslashreplace")
    outcome = ran.outcome
    return Came(outcome.how, outcome.exit_status, ran.stdout, stderr, tuple(map(refusal, others)), outcome.reason)


class Programs:
    """Runs policies for programs that are compiled beforehand: that may take longer than a policy's deadline allows."""

    def __init__(self, directory: Path, runner: Runner) -> None:
        """``directory`` is for policies of its own."""
        self._directory, self._runner = directory, runner
        self._compiled: set[Path] = set()

    def run(self, policy: Path, component: str | None, *arguments: str) -> Came:
        """What comes of a run of ``component`` of ``policy``, its only one by default."""
        loaded = Policy.load(policy)
        source = Path(source_of(loaded, choose(loaded, component), None)).resolve()
        if source not in self._compiled:
            data = policy_data(source=source, limits={"deadline": "10m"}, random=None)
            with open(source, "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of a parallel run would take twice as long, each
                self._runner.run(write_policy(self._directory, data, f"{source.stem}.yaml"))
            self._compiled.add(source)
        return came(self._runner.run(policy, *arguments, component=component))


class Tried(NamedTuple):
    """An attempt of a hostile script, what it got, and what was recorded."""

    code: str
    got: str
    refusals: tuple[Refusal, ...] = ()


def printed(attempts: Iterable[Tried]) -> str:
    """What the scripts ``attempts`` print."""
    return "".join(f"{attempt.code} -> {attempt.got}\n" for attempt in attempts)


def recorded(attempts: Iterable[Tried]) -> Iterator[Refusal]:
    """What the trail holds of ``attempts``."""
    for attempt in attempts:
        yield from attempt.refusals
