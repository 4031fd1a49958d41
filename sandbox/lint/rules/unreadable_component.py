"""A component whose file cannot be read, or is none."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.file.status == "unreadable":
        yield Problem(route=case.route("source"), message=f"this file cannot be judged: {case.file.error}")


RULE = Rule(
    id="unreadable-component",
    summary="the component's file cannot be read, or is no component",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="machine",
    unjudged=True,
)
