"""A component whose bound on memory is the default."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.limits import states, stating
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    if case.wiring.is_run(case.component.name) and not states(case, "memory"):
        message = "no bound on memory is stated, so the default of 512MiB holds"
        route = case.route("limits") if case.says("limits") else case.root
        yield Problem(route=route, on="key", message=message, fix=stating(case, "memory", "512MiB"))


RULE = Rule(
    id="unstated-memory",
    summary="no bound on memory is stated, so the default holds",
    severity="low",
    confidence="high",
    check=_check,
)
