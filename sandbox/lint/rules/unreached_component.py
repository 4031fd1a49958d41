"""A component that is no part of the program that the policy runs."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    run = case.policy.run
    if case.component.name in case.wiring.unreached:
        message = f"neither `run` names this component nor does {run} import from it: it runs where a caller names it"
        yield Problem(route=case.root, on="key", message=message, related=(case.related(("run",), "what is run"),))


RULE = Rule(
    id="unreached-component",
    summary="a component is no part of the program that the policy runs",
    severity="low",
    confidence="high",
    check=_check,
)
