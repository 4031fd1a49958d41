"""A component that asks for more than the one that was locked."""

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
    if found.widened and not found.same_digest:
        message = f"unlike the binary that is locked, the component {'; it '.join(found.widened)}"
        yield Problem(route=case.route("source"), message=message)


RULE = Rule(
    id="widened-component",
    summary="the component asks for more than the one that is locked",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="component",
)
