"""The outcome of a run for other programs."""

from __future__ import annotations

import json

from sandbox.audit.events import Happening
from sandbox.audit.trail import Trail
from sandbox.report.json import outcome, refused_calls


def test_outcome_as_json() -> None:
    """One ASCII line with how the run ended and its events in the form that the audit trail has."""
    trail = Trail(run="r", policy="p.yaml", policy_digest="", digests={}, limit=1, clock=lambda: 0.5)
    for _ in range(3):
        trail.record(Happening(name="denied", component="c", capability="x", reason="no", resource="é\x7f\n"))
    for _ in range(2):
        trail.record(
            Happening(name="allowed", component="d", path="c>d", capability="y", reason="yes", sent=1, seconds=0.25)
        )
    events = trail.close(Happening(name="ended", component="c", capability="run", reason="done", exit_status=7))
    line = outcome(
        component="c", how="exited", reason=None, exit_status=7, bound=None, seconds=0.25, memory=1024, events=events
    )
    common = {"version": 1, "timestamp": "1970-01-01T00:00:00.500000Z", "run_id": "r"}
    policy = {"policy_file": "p.yaml", "policy_digest": ""}
    denied = {"decision": "deny", "component": "c", **policy}
    allowed = {"decision": "allow", "component": "d", "component_path": "c>d", **policy}
    assert json.loads(line) == {
        "version": 1,
        "component": "c",
        "how": "exited",
        "reason": None,
        "exit_status": 7,
        "bound": None,
        "seconds": 0.25,
        "memory_bytes": 1024,
        "refused": 3,
        "allowed": 2,
        "events": [
            common
            | denied
            | {
                "sequence": 1,
                "event_name": "denied",
                "capability": "x",
                "resource": "é\x7f\n",
                "reason": "no",
                "count": 1,
            },
            common
            | denied
            | {
                "sequence": 2,
                "event_name": "limit",
                "capability": "limits.events",
                "reason": "refused calls beyond the first 1 are counted, not recorded one by one",
                "count": 1,
            },
            common
            | allowed
            | {
                "sequence": 3,
                "event_name": "allowed",
                "capability": "y",
                "reason": "yes",
                "count": 1,
                "sent_bytes": 1,
                "duration_us": 250_000,
            },
            common
            | allowed
            | {
                "sequence": 4,
                "event_name": "allowed",
                "capability": "y",
                "reason": "1 further use was allowed, beyond what is recorded one by one",
                "count": 1,
                "sent_bytes": 1,
            },
            common
            | denied
            | {
                "sequence": 5,
                "event_name": "folded",
                "capability": "x",
                "reason": "2 further calls were refused, beyond what is recorded one by one",
                "count": 2,
            },
            common
            | policy
            | {
                "sequence": 6,
                "event_name": "ended",
                "component": "c",
                "capability": "run",
                "reason": "done",
                "count": 1,
                "process.exit.code": 7,
            },
        ],
    }
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert refused_calls(events) == 3
