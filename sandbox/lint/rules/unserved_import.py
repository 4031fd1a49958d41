"""A component that needs something which neither the sandbox nor another component has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix, Related
from sandbox.lint.fixes import insert_key
from sandbox.lint.needs import named, refused_imports
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    facts, name = case.facts, case.component.name
    if facts is None or case.mismatched:
        return
    if case.unserved:
        subject = f"the {facts.kind} "
        message = f"each run is refused: {subject}{f'; {subject}'.join(case.unserved)}"
        first = refused_imports(facts, case.wiring.served(name))[0][0] if facts.kind == "component" else None
        yield _problem(case, message, first)
        return
    for imported in case.wiring.unwired(name):
        others = named(case.wiring.exporters(name, imported))
        message = f"the component imports {imported!a}, and `imports` does not say that {others} serves it"
        problem = _problem(case, f"{message}: if it calls a function of it, each run is refused", imported)
        yield replace(problem, confidence="medium")


def _problem(case: Case, message: str, imported: str | None) -> Problem:
    """A problem at the component, with what is known of an import that nothing serves."""
    others = case.wiring.exporters(case.component.name, imported) if imported is not None else ()
    return Problem(
        route=case.route("source"),
        message=message,
        related=tuple(_exporter(case, other) for other in others),
        fix=_wired(case, others[0], imported) if len(others) == 1 and imported is not None else None,
    )


def _exporter(case: Case, other: str) -> Related:
    return case.related(("components", other, "source"), f"{other} exports it")


def _wired(case: Case, other: str, imported: str) -> Fix | None:
    """Wire the import to the one component that exports it, where that makes no cycle."""
    interface = imported.partition("@")[0]
    component = case.component
    if any(wire.component == other or wire.interface.startswith(interface) for wire in component.imports):
        return None
    if component.name in case.wiring.program(other):
        return None
    edits = insert_key(case.document, case.route("imports"), interface, other, other)
    return Fix(message=f"have {other} serve it", edits=edits, safe=False) if edits else None


RULE = Rule(
    id="unserved-import",
    summary="the component imports what nothing serves, so it cannot run",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="component",
)
