"""A lock that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.lock is None or case.lock.error is None or case.component is not case.policy.components[0]:
        return  # one finding is enough for all the components of a policy
    message = f"whether the components have changed was not judged, since the lock cannot be used: {case.lock.error}"
    yield Problem(route=case.route("source"), message=message)


RULE = Rule(
    id="unreadable-lock",
    summary="the lock beside the policy cannot be read, or is none",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="machine",
    unjudged=True,
)
