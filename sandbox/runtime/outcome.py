"""How a run ended, as a frozen value, and the exit statuses that say so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

from sandbox.audit.events import Event

How = Literal["exited", "trapped", "limit", "deadline", "refused", "failed"]


class Status(IntEnum):
    """Exit statuses of the sandbox itself. A guest that ran to its end keeps its own, 0 to 255."""

    USAGE = 2
    DENIED = 119
    """With ``strict``: the run ended by itself, but something was refused."""
    POLICY = 120
    """The policy was refused."""
    COMPONENT = 121
    """The component was refused."""
    TRAP = 122
    LIMIT = 123
    """A bound other than the deadline ended the run."""
    DEADLINE = 124
    FAILED = 125
    """The sandbox itself failed, or could not write its audit trail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a run used."""

    seconds: float
    """From the start of the run to its end: compiling, instantiating, running and waiting."""
    processor_seconds: float | None = None
    memory: int | None = None
    """Bytes that the run held when it ended, over all memories and tables; ``None`` where the worker was killed."""
    fuel: int | None = None
    output: int = 0
    """Bytes written to standard output and error."""


class Captured(NamedTuple):
    """What a component wrote to a stream for which the policy says ``capture``."""

    component: str
    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    how: How
    exit_status: int
    """The guest's own, 0 to 255, if ``how`` is ``exited``; else one of ``Status``."""
    reason: str | None = None
    """Why it ended, where it did not end by itself, or where another component than the one that was run ended it. May
    hold what the guest wrote: hostile text."""
    bound: str | None = None
    """The limit that ended the run: ``limits.memory``, ``limits.deadline`` ..."""
    bounds: tuple[str, ...] = ()
    """Every limit that was reached, also where the guest went on."""
    value: str | None = None
    """The result of a call, in WAVE."""
    stdout: bytes | None = None
    """What was captured; ``None`` where the policy does not say ``capture``. Of a program, that of the component that
    was run."""
    stderr: bytes | None = None
    captured: tuple[Captured, ...] = ()
    """What was captured of each component of a program, the one that was run first."""
    usage: Usage
    events: tuple[Event, ...]
    run: str
    """The run's identifier in the trail."""
    trail_failed: str | None = None
    """Why the trail's file or descriptor stopped taking events; the command then fails with 125."""

    @property
    def denied(self) -> bool:
        """Whether anything was refused during the run."""
        return any(e.name in ("denied", "folded", "limit") for e in self.events)
