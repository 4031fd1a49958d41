"""A component that is not the one that was locked, and asks for no more."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.lock import difference
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    locked = case.lock.locked if case.lock is not None else None
    if locked is None or case.file.status != "read" or case.facts is None or case.mismatched:
        return
    found = difference(locked, case.facts)
    if found.same or (found.widened and not found.same_digest):
        return
    if found.same_digest:
        message = (
            "the lock has this very binary with imports or exports that it does not have: somebody changed the lock,"
            " or another version wrote it; lock it again with `sandbox lock`"
        )
    else:
        other = [*found.narrowed, *found.reshaped]
        what = f"it {'; it '.join(other)}" if other else "it imports and exports the same"
        message = f"the component is another binary than the locked one ({what}); review it and run `sandbox lock`"
    yield Problem(route=case.route("source"), message=message)


RULE = Rule(
    id="changed-component",
    summary="the component is another binary than the one that is locked",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="component",
)
