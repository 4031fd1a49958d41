"""A component whose deadline is the default."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.limits import states, stating
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.wiring.is_run(case.component.name) and not states(case, "deadline"):
        message = "no deadline is stated, so the default of 60s holds"
        route = case.route("limits") if case.says("limits") else case.root
        yield Problem(route=route, on="key", message=message, fix=stating(case, "deadline", "60s"))


RULE = Rule(
    id="unstated-deadline",
    summary="no deadline is stated, so the default holds",
    severity="low",
    confidence="high",
    check=_check,
)
