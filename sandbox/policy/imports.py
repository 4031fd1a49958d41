"""``imports``: interfaces of a component that another component of the file serves."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, Tag

from sandbox.policy import model, wiring
from sandbox.policy.interfaces import FUNCTION, INTERFACE, VERSION
from sandbox.policy.section import (
    MAPPING,
    TEXT,
    Reads,
    Section,
    choice,
    flaw,
    forms,
    matching,
    shown,
    text_of,
    wanted,
)
from sandbox.source import Route

NAME_PATTERN = "[a-z0-9][a-z0-9_-]{0,62}"
_A_NAME = "a component's name: 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"
_AN_INTERFACE = "an interface, as in 'cyber:payments/auth' or 'cyber:payments/auth@1.0.0'"
_A_FUNCTION = "a function's name as in WIT: 'validate-user', or '[method]account.close' for one of a resource"

_is_interface = re.compile(INTERFACE).fullmatch
_is_version = re.compile(VERSION).fullmatch
_is_function = re.compile(FUNCTION).fullmatch


def _interface(value: object) -> str:
    text = text_of(value, _AN_INTERFACE)
    interface, at, version = text.partition("@")
    if _is_interface(interface) is None:
        raise flaw(wanted(_AN_INTERFACE, value))
    if interface.startswith("wasi:"):
        raise flaw("interfaces of WASI are served by the sandbox, under 'grants', and by no component: remove this one")
    if at and _is_version(version) is None:
        raise flaw(
            f"{shown(version)} is no version: write all three numbers, as in '1.0.0', or leave it out with its @"
        )
    return text


def _function(value: object) -> str:
    text = text_of(value, _A_FUNCTION)
    if _is_function(text) is None:
        meant = text.replace("_", "-").lower()
        raise flaw(wanted(_A_FUNCTION, value), meant if _is_function(meant) else None)
    return text


def _some(value: object) -> object:
    """``value``, unless it is a list of nothing: that could mean all functions as well as none."""
    if value is None or value == []:
        raise flaw("names no function, so that none could be called: name those that may be, or leave 'only' out")
    return value


_NAME = Reads(matching(NAME_PATTERN, _A_NAME), {"type": "string", "pattern": f"^{NAME_PATTERN}$"})

ComponentName = Annotated[str, _NAME]
OptionalName = Annotated[str | None, _NAME]
Interface = Annotated[str, Reads(_interface, {"type": "string", "pattern": f"^(?!wasi:){INTERFACE}(?:@{VERSION})?$"})]
Function = Annotated[str, Reads(_function, {"type": "string", "pattern": f"^(?:{FUNCTION})$"})]
Sharing = Annotated[Literal["shared", "own"], choice("shared", "own")]


class ImportSection(Section):
    """An import with what may be said about it."""

    model_config = ConfigDict(title="Import")

    component: ComponentName = Field(description="The component that serves the interface.")
    instance: Sharing = Field(
        default="shared",
        description="'shared': one instance of it for all that share it; 'own': one for this importer alone.",
    )
    only: Annotated[list[Function], BeforeValidator(_some)] = Field(
        default=[],
        min_length=1,
        description="The functions of the interface that may be called; every one if this is left out.",
        json_schema_extra={"uniqueItems": True},
    )


AnyImport = Annotated[
    Annotated[ComponentName, Tag(TEXT)] | Annotated[ImportSection, Tag(MAPPING)],
    forms("a component's name, or {component: name, instance: own, only: [function]}"),
]


def to_value(imports: Mapping[str, str | ImportSection]) -> tuple[model.Wire, ...]:
    return tuple(
        model.Wire(interface=interface, component=said)
        if isinstance(said, str)
        else model.Wire(
            interface=interface, component=said.component, own=said.instance == "own", only=tuple(said.only) or None
        )
        for interface, said in imports.items()
    )


class Misfit(NamedTuple):
    """What does not go together: where, and what else it is about."""

    route: Route
    message: str
    unknown: str | None = None
    """The name that no component has."""
    beside: tuple[Route, ...] = ()
    """The other places that it is about, from the root like ``route``."""


def misfits(data: Mapping[str, object]) -> Iterator[Misfit]:
    """What no single import of a policy's components shows, on data that may be wrong in any other way too."""
    components = {name: _imports(component) for name, component in data.items()}
    for name, said in components.items():
        at: Route = ("components", name, "imports")
        yield from _unserved(name, said, components, at)
        yield from _twice(said, at)
        yield from _both_ways(said, at)
    yield from _programs({name: tuple(_wires(name, said, components)) for name, said in components.items()})


def _imports(component: object) -> dict[str, Any]:
    said = component.get("imports") if isinstance(component, dict) else None
    return said if isinstance(said, dict) else {}


def _component(said: object) -> str | None:
    """The component that one import names, in either form."""
    named = said.get("component") if isinstance(said, dict) else said
    return named if isinstance(named, str) else None


def _is_own(said: object) -> bool:
    return isinstance(said, dict) and said.get("instance") == "own"


def _wires(name: str, imports: dict[str, Any], components: Mapping[str, object]) -> Iterator[model.Wire]:
    """The imports that lead to another component, as far as they can be read."""
    for interface, said in imports.items():
        served_by = _component(said)
        if served_by is not None and served_by != name and served_by in components:
            yield model.Wire(interface=interface, component=served_by, own=_is_own(said))


def _unserved(name: str, imports: dict[str, Any], names: Container[str], at: Route) -> Iterator[Misfit]:
    """Imports that no other component of the file is named for, and functions that are named twice."""
    for interface, said in imports.items():
        here: Route = (*at, interface)
        served_by = _component(said)
        named: Route = (*here, "component") if isinstance(said, dict) else here
        if served_by == name:
            yield Misfit(named, "a component cannot serve its own import")
        elif served_by is not None and served_by not in names:
            yield Misfit(named, f"{shown(served_by)} is no component of this policy", unknown=served_by)
        only = said.get("only") if isinstance(said, dict) else None
        first: dict[str, int] = {}
        for index, function in enumerate(only if isinstance(only, list) else ()):
            if isinstance(function, str) and first.setdefault(function, index) != index:
                yield Misfit((*here, "only", index), f"names the same as only[{first[function]}]: keep one of the two")


def _twice(imports: dict[str, Any], at: Route) -> Iterator[Misfit]:
    """Two keys that one and the same import would be served by."""
    for interface in imports:
        plain, versioned, _ = interface.partition("@")
        if versioned and plain in imports:
            message = f"is served twice, since {shown(plain)} means every version of it: keep one of the two"
            yield Misfit((*at, interface), message, beside=((*at, plain),))


def _both_ways(imports: dict[str, Any], at: Route) -> Iterator[Misfit]:
    """Imports from one component of which some share it and some do not."""
    first: dict[str, str] = {}
    for interface, said in imports.items():
        served_by = _component(said)
        if served_by is None:
            continue
        other = first.setdefault(served_by, interface)
        if _is_own(said) != _is_own(imports[other]):
            ways = ("its own", "the shared") if _is_own(said) else ("the shared", "its own")
            message = (
                f"asks for {ways[0]} instance of {shown(served_by)}, and the import of {shown(other)} for {ways[1]} "
                "one: a component has one instance of another, so say the same for both"
            )
            yield Misfit((*at, interface), message, beside=((*at, other),))


def _programs(wires: wiring.Wires) -> Iterator[Misfit]:
    """Cycles, and programs that are larger than what is linked."""
    ordered, cycles = wiring.walk(wires)
    for cycle in cycles:
        first, closing = cycle[0], cycle[-1]
        chain = _chain([*(name for name, _ in cycle), first[0]], wiring.MAX_COMPONENTS + 1)
        yield Misfit(
            ("components", closing[0], "imports", closing[1].interface),
            f"closes a cycle, of which no component could be made before the others: {chain}",
            beside=tuple(
                ("components", name, "imports", wire.interface) for name, wire in cycle[:-1][: wiring.MAX_COMPONENTS]
            ),
        )
    # In the order, what closes a cycle leads on to what comes later; the programs are looked at without it.
    done: set[str] = set()
    kept: dict[str, tuple[model.Wire, ...]] = {}
    for name in ordered:
        kept[name] = tuple(wire for wire in wires[name] if wire.component in done)
        done.add(name)
    yield from _excesses({name: kept[name] for name in wires}, ordered)


def _excesses(wires: wiring.Wires, ordered: tuple[str, ...]) -> Iterator[Misfit]:
    """What is too large of the programs that are no part of another; ``ordered``: exporters before importers."""
    members: dict[str, frozenset[str] | None] = {}
    next_on: dict[str, model.Wire] = {}
    length: dict[str, int] = {}
    targets = wiring.targets(wires)
    for name in ordered:
        members[name] = _together(name, [members[target] for target, _ in targets[name]])
        longest = max(wires[name], key=lambda wire: length[wire.component], default=None)
        length[name] = 1
        if longest is not None:
            next_on[name] = longest
            length[name] += length[longest.component]
    imported = {wire.component for of in wires.values() for wire in of}
    for name in wires:
        if name in imported:
            continue
        at: Route = ("components", name, "imports")
        if length[name] > wiring.MAX_CHAIN:
            chain = [name]
            while chain[-1] in next_on and len(chain) <= wiring.MAX_CHAIN:
                chain.append(next_on[chain[-1]].component)
            more = f", {length[name]:,} in all" if length[name] > len(chain) else ""
            message = (
                f"begins a chain of more than {wiring.MAX_CHAIN} components, which is as deep as a program may be: "
                f"{' > '.join(chain)}{more}"
            )
            yield Misfit((*at, next_on[name].interface), message)
        elif members[name] is None:
            most = wiring.MAX_COMPONENTS
            yield Misfit(at, f"makes a program of more than {most} components, which is as many as are linked into one")
        elif wiring.serving(targets, name, wiring.MAX_INSTANCES) is None:
            message = (
                f"makes a program of more than {wiring.MAX_INSTANCES} instances, which is as many as are made for one: "
                "let more of its imports be shared"
            )
            yield Misfit(at, message)


def _together(name: str, below: list[frozenset[str] | None]) -> frozenset[str] | None:
    """``name`` and all that is below it; ``None`` where that is more than one program may have."""
    found = {name}
    for part in below:
        found |= part or frozenset()
        if part is None or len(found) > wiring.MAX_COMPONENTS:
            return None
    return frozenset(found)


def _chain(names: list[str], most: int) -> str:
    """Components one after the other; of a very long chain the beginning and the end."""
    if len(names) > most:
        names = [*names[: most - 2], f"({len(names) - most + 1:,} more)", names[-1]]
    return " > ".join(names)
