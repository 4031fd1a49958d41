"""A wire for an interface that the component does not import."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import remove
from sandbox.lint.needs import MAX_SHOWN, named
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    facts = case.facts
    if facts is None or case.mismatched or not case.component.imports:
        return
    own = [item.name for item in facts.imports if item.kind == "instance" and not item.name.startswith("wasi:")]
    wanted = case.wiring.wanted(case.component.name)
    for wire in case.component.imports:
        if wanted[wire]:
            continue
        base = wire.interface.partition("@")[0]
        near = [_shown(name) for name in own if name.partition("@")[0] == base]
        said = f"; it imports {named(near)}" if near else "" if own else "; it imports no interface but WASI's"
        route = case.route("imports", wire.interface)
        edits = remove(case.document, route)
        fix = Fix(message="remove it", edits=edits, safe=case.component.digest is not None) if edits else None
        message = f"each run is refused: the {facts.kind} does not import {wire.interface}{said}"
        yield Problem(route=route, on="key", message=message, fix=fix)


def _shown(name: str) -> str:
    return repr(name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN - 3]}...")


RULE = Rule(
    id="unused-wire",
    summary="an import is wired that the component does not have, so it cannot run",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="component",
)
