"""Limits or standard input of a component that others import: a program has those of the component that is run."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix, Severity
from sandbox.lint.fixes import remove
from sandbox.lint.needs import named
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    name, wiring = case.component.name, case.wiring
    importers = wiring.importers(name)
    if not importers:
        return
    # What is the component to run keeps its own; those that import it are then the ones that are not.
    severity: Severity | None = "medium" if wiring.policy.run == name else None
    refused = f"each run of a component that imports from {name} is refused ({named(importers)})"
    if case.says("limits"):
        message = f"{refused}: the limits of a program are those of the component that is run"
        yield _problem(case, ("limits",), message, severity)
    stdin = case.component.grants.stdio.stdin
    if stdin is not None and stdin.mode in ("inherit", "file"):
        message = f"{refused}: standard input goes to the component that is run alone"
        yield _problem(case, ("grants", "stdio", "stdin"), message, severity)


def _problem(case: Case, parts: tuple[str, ...], message: str, severity: Severity | None) -> Problem:
    route = case.route(*parts)
    related = tuple(
        case.related(("components", importer, "imports"), f"{importer} imports from it")
        for importer in case.wiring.importers(case.component.name)[:1]
    )
    edits = remove(case.document, route)
    # By itself, not as part of a program, it runs with them today.
    fix = Fix(message="remove it", edits=edits, safe=False) if edits else None
    return Problem(route=route, on="key", message=message, related=related, fix=fix, severity=severity)


RULE = Rule(
    id="limits-of-a-member",
    summary="a component that others import has limits or input of its own, so that those others cannot run",
    severity="high",
    confidence="high",
    check=_check,
)
