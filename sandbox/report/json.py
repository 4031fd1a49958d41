"""How a run ended, as one JSON object for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from json import dumps

from sandbox.audit.events import Event
from sandbox.audit.fields import record

VERSION = 1


def outcome(
    *,
    component: str,
    how: str,
    reason: str | None,
    exit_status: int,
    bound: str | None,
    seconds: float,
    memory: int | None,
    events: Iterable[Event],
) -> str:
    """One line of ASCII JSON, its newline included.

    The fields are those of the text rendering, ``memory`` in bytes; ``refused`` counts the refused calls, folded ones
    included, ``allowed`` the recorded uses that were allowed, and ``events`` are objects like the lines of an audit
    trail.
    """
    trail = tuple(events)
    values = {
        "version": VERSION,
        "component": component,
        "how": how,
        "reason": reason,
        "exit_status": exit_status,
        "bound": bound,
        "seconds": round(seconds, 6),
        "memory_bytes": memory,
        "refused": refused_calls(trail),
        "allowed": sum(event.count for event in trail if event.name == "allowed"),
        "events": [record(event) for event in trail],
    }
    return dumps(values, separators=(",", ":"), allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def refused_calls(events: Iterable[Event]) -> int:
    """How many calls ``events`` say were refused."""
    return sum(event.count for event in events if event.name in ("denied", "folded"))
