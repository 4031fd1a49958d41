"""A grant that differs from run to run, where the component is declared deterministic."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import replace_value
from sandbox.lint.rule import Problem, Rule
from sandbox.source import Route


def _check(case: Case) -> Iterator[Problem]:
    if not case.component.deterministic:
        return
    grants = case.component.grants
    for route in _clocks(case):
        yield _problem(case, route, "a clock of the host's is granted", "frozen")
    if grants.random is not None and grants.random.seed is None:
        yield _problem(case, case.route("grants", "random"), "secure random numbers are granted", "seeded")
    if grants.sockets is not None and grants.sockets.grants_something:
        yield _problem(case, case.route("grants", "sockets"), "the network is granted", None)


def _clocks(case: Case) -> Iterator[Route]:
    """The values that grant a clock that goes on; one word for both clocks is one value."""
    both = case.data("grants", "clocks")
    if both in ("real", "coarse"):
        yield case.route("grants", "clocks")
    for name, mode in both.items() if isinstance(both, dict) else ():
        if mode in ("real", "coarse"):
            yield case.route("grants", "clocks", name)


def _problem(case: Case, route: Route, what: str, instead: str | None) -> Problem:
    edits = replace_value(case.document, route, instead, instead) if instead is not None else None
    return Problem(
        route=route,
        on="key" if instead is None else "value",
        message=f"{what} to what is declared deterministic, so every run is refused",
        related=(case.related(case.route("deterministic"), "declared here"),),
        fix=Fix(message=f"write `{instead}`", edits=edits, safe=False) if edits else None,
    )


RULE = Rule(
    id="nondeterministic-grant",
    summary="what is declared deterministic is granted what differs from run to run",
    severity="high",
    confidence="high",
    check=_check,
)
