"""A wire to a component that does not export what it is to serve."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.needs import MAX_SHOWN, named
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.interfaces import satisfies
from sandbox.policy.model import Wire


def _check(case: Case) -> Iterator[Problem]:
    known = case.wiring.facts
    wanted = case.wiring.wanted(case.component.name) if case.component.name in known else {}
    for wire in case.component.imports:
        if wire.component in known:
            yield from _problems(case, wire, wanted.get(wire))


def _problems(case: Case, wire: Wire, wanted: tuple[str, ...] | None) -> Iterator[Problem]:
    """``wanted``: the imports that the wire is for; ``None`` where the component is not known."""
    exported = case.wiring.exports(wire.component, wire.interface)
    names = (wire.interface,) if wanted is None else wanted
    # A key without a version says nothing of the version that an unknown component imports.
    fits = [any(satisfies(name, e) or (wanted is None and "@" not in name) for e in exported) for name in names]
    missing = [name for name, served in zip(names, fits, strict=True) if not served]
    if not missing:
        return
    facts = case.wiring.facts[wire.component]
    if facts.kind == "module":
        said = f"{wire.component} is a module, which exports no interface"
    elif exported:
        said = f"{wire.component} exports {named(map(_shown, exported))}"
    else:
        said = f"{wire.component} exports no such interface"
    base = case.route("imports", wire.interface)
    route = (*base, "component") if case.says("imports", wire.interface, "component") else base
    source = case.related(("components", wire.component, "source"), "what serves it")
    message = f"each run is refused: the component imports {named(map(_shown, missing))}, and {said}"
    yield Problem(route=route, message=message, related=(source,))


def _shown(name: str) -> str:
    return repr(name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN - 3]}...")


RULE = Rule(
    id="unserved-wire",
    summary="an import is wired to a component that does not export it, so it cannot run",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="component",
)
