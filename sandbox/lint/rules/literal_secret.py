"""A secret that is written into the policy. It is told by its kind and place, never by its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule
from sandbox.lint.secrets import form_of, is_secret, may_be_one
from sandbox.source import Route

_OPTION = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]{0,63})(?:=(.*))?", re.DOTALL)


def _check(case: Case) -> Iterator[Problem]:
    grants = case.component.grants
    if grants.environment is not None:
        for name, value in grants.environment.set:
            yield from _variable(case.route("grants", "environment", "set", name), name, value)
        for number, variable in enumerate(grants.environment.inherit):
            if variable.default is not None:
                route = case.route("grants", "environment", "inherit", number, "default")
                yield from _variable(route, variable.name, variable.default)
    if grants.arguments is not None and grants.arguments.fixed is not None:
        yield from _arguments(case.route("grants", "arguments"), grants.arguments.fixed)


def _variable(route: Route, name: str, value: str) -> Iterator[Problem]:
    kind = form_of(value)
    if kind is not None:
        yield _certain(route, f"the value of '{name}' holds {kind}")
    elif is_secret(name) and may_be_one(value):
        yield _likely(route, f"'{name}' is a secret by its name, and its value stands here")


def _arguments(route: Route, arguments: Sequence[str]) -> Iterator[Problem]:
    for number, argument in enumerate(arguments):
        kind = form_of(argument)
        option = _OPTION.fullmatch(argument)
        if kind is not None:
            yield _certain(route, f"argument {number + 1} holds {kind}")
        elif option is not None and is_secret(option[1]):
            value = option[2] if option[2] is not None else _next(arguments, number)
            if form_of(value) is None and may_be_one(value):
                yield _likely(route, f"'{option[1]}' is a secret by its name, and its value stands in the arguments")


def _next(arguments: Sequence[str], number: int) -> str:
    """The argument after one; empty where that is an option too."""
    following = arguments[number + 1] if number + 1 < len(arguments) else ""
    return "" if following.startswith("-") else following


# The place is the key, so that no value is shown.
def _certain(route: Route, message: str) -> Problem:
    return Problem(route=route, on="key", message=f"{message}: whoever reads the policy has it")


def _likely(route: Route, message: str) -> Problem:
    message = f"{message}: whoever reads the policy has it"
    return Problem(route=route, on="key", message=message, severity="medium", confidence="low")


RULE = Rule(
    id="literal-secret",
    summary="a secret is written into the policy",
    severity="high",
    confidence="high",
    check=_check,
    conceals=True,
)
