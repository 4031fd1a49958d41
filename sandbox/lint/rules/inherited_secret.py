"""A variable of the host that holds a secret, or leads to one, by its name."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule
from sandbox.lint.secrets import leads_to_a_secret


def _check(case: Case) -> Iterator[Problem]:
    environment = case.component.grants.environment
    for number, variable in enumerate(environment.inherit if environment is not None else ()):
        if leads_to_a_secret(variable.name):
            route = case.route("grants", "environment", "inherit", number)
            yield Problem(
                route=route if variable.default is None else (*route, "name"),
                message=f"'{variable.name}' looks like a secret, and its value on the host is passed on",
            )


RULE = Rule(
    id="inherited-secret",
    summary="a variable of the host that looks like a secret is passed on",
    severity="high",
    confidence="medium",
    check=_check,
)
