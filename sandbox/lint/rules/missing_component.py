"""A component whose file is not there."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.file.status != "missing":
        return
    if case.lock is not None and case.lock.locked is not None:
        instead = "what the lock has is another one than the policy pins"
    else:
        instead = "no lock says what it imports"
    message = f"{case.file.error}, and {instead}: whether the grants suit it was not judged"
    yield Problem(route=case.route("source"), message=message)


RULE = Rule(
    id="missing-component",
    summary="there is no file at the component's path",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="machine",
)
