"""A component that can have another one do what it is not granted itself."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.needs import named
from sandbox.lint.rule import Problem, Rule


def _check(case: Case) -> Iterator[Problem]:
    held = {act.does: act for act in case.wiring.acts(case.component.name)} if case.component.imports else {}
    families = {act.family for act in held.values()}
    for wire in case.component.imports:
        gained = [act for act in case.wiring.acts(wire.component) if act.does not in held]
        if not gained:
            continue
        wide = wire.only is None and any(act.grave and act.family not in families for act in gained)
        does = named(act.does for act in gained)
        message = f"over this import the component can have {wire.component} {does}, which it is not granted itself"
        functions = named(wire.only) if wire.only is not None else ""
        yield Problem(
            route=case.route("imports", wire.interface),
            on="key",
            message=f"{message}; it may call {functions} alone"
            if functions
            else f"{message}, by every function of the interface: name those that it needs in `only`",
            severity=None if wide else "low",
            related=tuple(
                case.related(("components", wire.component, "grants", *act.route), f"what {wire.component} is granted")
                for act in gained[:1]
            ),
        )


RULE = Rule(
    id="gains-through-import",
    summary="a component can have another one do what it is not granted itself",
    severity="medium",
    confidence="medium",
    check=_check,
)
