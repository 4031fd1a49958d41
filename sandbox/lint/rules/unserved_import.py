"""A component that needs something which the sandbox does not have."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.facts is None or case.mismatched or not case.unserved:
        return
    subject = f"the {case.facts.kind} "
    message = f"each run is refused: {subject}{f'; {subject}'.join(case.unserved)}"
    yield Problem(route=case.route("source"), message=message)


RULE = Rule(
    id="unserved-import",
    summary="the component imports what nothing serves, so it cannot run",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="component",
)
