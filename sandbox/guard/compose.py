"""Several components as one ordinary component, without a guard: what any runtime of the component model can run.

The outer component imports what no part is served by another, each interface once, instantiates the parts beside each
other and exports what the last of them exports. The parts' bytes go in untouched, as nested components.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from wasmtime import Engine, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.component import ExternKind, codeless, facts_of
from sandbox.guard import types as ty
from sandbox.guard.build import splice
from sandbox.guard.fit import MAX_REASON, Exports, exports_of, misfit, reason
from sandbox.guard.program import Wire
from sandbox.guard.reflect import Interface, Unsupported
from sandbox.guard.wat import Nominal, Types, quote

MAX_IMPORTS = 1000
"""Interfaces that the whole imports from outside; WASI has some forty."""
_SORTS: Mapping[ExternKind, str] = {
    "instance": "instance",
    "func": "func",
    "type": "type",
    "component": "component",
    "module": "core module",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One instance of a component in what is composed."""

    name: str
    """What a refusal calls it."""
    component: int
    """The number of its component, in the order in which those are given."""
    wires: tuple[Wire, ...] = ()
    """Who serves which of its imports; what is in none is imported from outside."""


Key: TypeAlias = tuple[int | str, int | str]
"""A resource: an instance and its number there, or the track of an interface from outside and its name there."""


@dataclass(slots=True)
class _Resources:
    """Which resources of the instances are one, since the same wire or the same import gives both."""

    above: dict[Key, Key] = field(default_factory=dict)
    origins: dict[Key, Key] = field(default_factory=dict)
    """By the key that stands for all that are one: who defines the resource, or ``OUTSIDE``."""

    def one(self, key: Key) -> Key:
        """The key that stands for all that are one with ``key``."""
        while key in self.above:
            key = self.above[key]
        return key

    def join(self, key: Key, other: Key) -> bool:
        """Make them one; whether they can be."""
        key, other = self.one(key), self.one(other)
        origin, second = self.origins.get(key), self.origins.get(other)
        if key == other:
            return True
        if origin is not None and second is not None and origin != second:
            return False
        self.above[other] = key
        if origin is None and second is not None:
            self.origins[key] = second
        return True


OUTSIDE: Key = ("", "")
"""The origin of every resource that comes from outside; which of them are one, their names say."""


def compose(engine: Engine, components: Sequence[bytes], instances: Sequence[Instance]) -> bytes:
    """Link ``instances``, each behind those that it imports from; the last is what the whole stands for.

    What nobody serves is imported: the newest of the compatible versions that are asked for, with everything that any
    part uses of it. Raises ``Unsupported`` where something does not fit, ``ComponentError`` for what is no component.
    """
    if not instances:
        raise Unsupported("there is nothing to compose")
    read = [exports_of(engine, component) for component in components]
    parts = [read[instance.component] for instance in instances]
    for number in range(len(instances)):
        _check(number, instances, parts)
    resources = _identified(instances, parts)
    merged = _merged(instances, parts, resources)
    exports = facts_of(instances[-1].name, components[instances[-1].component]).exports
    text = _text(len(components), instances, parts, merged, [(e.name, e.kind) for e in exports])
    try:
        whole = splice(bytes(wat2wasm(text)), components)
        wasm.Component(engine, codeless(whole))
    except WasmtimeError as error:
        raise Unsupported(f"Wasmtime refuses the composed component: {reason(error)}") from None
    return whole


def _check(number: int, instances: Sequence[Instance], parts: Sequence[Exports]) -> None:
    """Refuse a wire of an instance that does not hold."""
    instance = instances[number]
    imported = {i.name: i for i in parts[number].imports.interfaces}
    if len({w.name for w in instance.wires}) != len(instance.wires):
        raise Unsupported(f"{instance.name} has two wires for one import")
    for wire in instance.wires:
        if not 0 <= wire.instance < number:
            raise Unsupported(f"{instance.name} is wired to an instance that does not come before it")
        if wire.only is not None:
            raise Unsupported(
                f"{instance.name} may call only some functions of {wire.name}; without a guard nothing holds it to them"
            )
        server, served = instances[wire.instance].name, parts[wire.instance]
        if wire.name not in imported:
            raise Unsupported(f"{instance.name} does not import {wire.name}")
        if wire.export in served.unread:
            raise Unsupported(f"{server} exports {wire.export}, but {served.unread[wire.export]}")
        if wire.export not in served.interfaces:
            raise Unsupported(f"{instance.name} imports {wire.name}, and {server} does not export {wire.export}")
        wanted, offered = imported[wire.name], served.interfaces[wire.export]
        difference = misfit(wanted, parts[number].imports, offered, served, server)
        if difference is not None:
            raise Unsupported(f"{instance.name}, {wire.name}: {difference}")


def _named(interface: Interface) -> Iterator[tuple[str, int]]:
    """The resources that an interface names."""
    return ((name, item) for name, item in interface.exports if isinstance(item, int))


def _outside(instance: Instance, part: Exports) -> Iterator[Interface]:
    """What the instance imports from outside."""
    served = {wire.name for wire in instance.wires}
    return (interface for interface in part.imports.interfaces if interface.name not in served)


def _identified(instances: Sequence[Instance], parts: Sequence[Exports]) -> _Resources:
    """Which resources are one. Raises ``Unsupported`` where an instance takes those of two others for one."""
    resources = _Resources()
    for number, (instance, part) in enumerate(zip(instances, parts, strict=True)):
        for resource in range(len(part.resources)):
            if part.owns(resource):
                resources.origins[number, resource] = (number, resource)
        imported = {interface.name: interface for interface in part.imports.interfaces}
        pairs: list[tuple[str, str, Key, Key]] = []
        for interface in _outside(instance, part):
            for name, resource in _named(interface):
                key: Key = (track(interface.name), name)
                resources.origins.setdefault(resources.one(key), OUTSIDE)
                pairs.append((interface.name, name, (number, resource), key))
        for wire in instance.wires:
            offered = dict(parts[wire.instance].interfaces[wire.export].exports)
            for name, resource in _named(imported[wire.name]):
                there = offered[name]
                assert isinstance(there, int)  # it fits
                pairs.append((wire.name, name, (number, resource), (wire.instance, there)))
        for interface_name, name, mine, other in pairs:
            if not resources.join(other, mine):
                raise Unsupported(
                    f"{instance.name} imports {name} from {interface_name} and from another interface as one resource;"
                    " those who serve it have two"
                )
    return resources


def track(interface: str) -> str:
    """An interface with as much of its version as compatible versions have in common: ``wasi:io/streams@0.2``."""
    base, at, version = interface.partition("@")
    numbers = version.split(".")
    if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
        return interface  # none, or a pre-release, which is compatible with itself
    kept = 1 if int(numbers[0]) else 2 if int(numbers[1]) else 3
    return base + at + ".".join(numbers[:kept])


def _release(interface: str) -> tuple[int, ...]:
    """For comparing versions of one track."""
    numbers = interface.partition("@")[2].split(".")
    return tuple(int(number) for number in numbers if number.isascii() and number.isdigit())


def _merged(
    instances: Sequence[Instance], parts: Sequence[Exports], resources: _Resources
) -> dict[str, tuple[Interface, str]]:
    """By its track, each interface that is imported from outside, and the part that asked for it first."""
    merged: dict[str, tuple[Interface, str]] = {}
    numbers: dict[Key, int] = {}
    for number, (instance, part) in enumerate(zip(instances, parts, strict=True)):
        mine: dict[int, int] = {}
        for resource in range(len(part.imports.resources)):
            mine[resource] = numbers.setdefault(resources.one((number, resource)), len(numbers))
        for interface in _outside(instance, part):
            exports = {name: _renumbered(item, mine) for name, item in interface.exports}
            _all_named(instance.name, interface.name, exports)
            known, first = merged.get(track(interface.name), (Interface(interface.name, ()), instance.name))
            together = dict(known.exports)
            for name, item in exports.items():
                if together.setdefault(name, item) != item:
                    raise Unsupported(
                        f"{first} imports {known.name} and {instance.name} imports {interface.name},"
                        f" with different types for {name}"
                    )
            newest = max(known.name, interface.name, key=_release)
            merged[track(interface.name)] = Interface(newest, tuple(together.items())), first
    return merged


def _renumbered(item: ty.Type | ty.Function | int, numbers: Mapping[int, int]) -> ty.Type | ty.Function | int:
    match item:
        case int(resource):
            return numbers[resource]
        case ty.Function(params, result):
            return ty.Function(
                tuple((name, ty.renumbered(t, numbers)) for name, t in params),
                None if result is None else ty.renumbered(result, numbers),
            )
        case _:
            return ty.renumbered(item, numbers)


def _all_named(instance: str, interface: str, exports: Mapping[str, ty.Type | ty.Function | int]) -> None:
    named = {item for item in exports.values() if isinstance(item, int)}
    for name, item in exports.items():
        if any(ty.resources(t) - named for t in _mentioned(item)):
            raise Unsupported(f"{instance} imports {name} from {interface}, with a resource that has no name there")


def _mentioned(item: ty.Type | ty.Function | int) -> tuple[ty.Type, ...]:
    """The types that an export is made of."""
    match item:
        case int():
            return ()
        case ty.Function(params, result):
            return (*(t for _, t in params), *(() if result is None else (result,)))
        case _:
            return (item,)


def _nominal(item: ty.Type | ty.Function | int) -> Iterator[ty.Type]:
    """Every type in an export that must have a name where it is imported, innermost first."""
    return (t for top in _mentioned(item) for t in ty.walk(top) if isinstance(t, Nominal))


@dataclass(slots=True)
class _Imports:
    """The text of the imports, and what the outer component calls the types that they have named so far."""

    lines: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """By its track, the identifier of each instance."""
    resources: dict[int, str] = field(default_factory=dict)
    types: dict[ty.Type, str] = field(default_factory=dict)

    def names_all(self, interface: Interface) -> bool:
        """Whether each type that must have a name has one, here or before it is used in the interface itself."""
        named: set[ty.Type] = set()
        for _, item in interface.exports:
            if any(t not in named and t not in self.types and t is not item for t in _nominal(item)):
                return False
            if isinstance(item, Nominal):
                named.add(item)
        return True

    def add(self, key: str, interface: Interface) -> None:
        label = self.labels[key] = f"$i{len(self.labels)}"
        self.lines.append(f"(import {quote(interface.name)} (instance {label} {self._body(interface)}))")
        for count, (name, item) in enumerate(interface.exports):
            known = f"{label}-{count}"
            if isinstance(item, int) and item not in self.resources:
                self.resources[item] = known
            elif isinstance(item, Nominal) and item not in self.types:
                self.types[item] = known
            else:
                continue
            self.lines.append(f"(alias export {label} {quote(name)} (type {known}))")

    def _body(self, interface: Interface) -> str:
        """The exports of the instance's type. What an interface before it has named is that, and not declared anew."""
        numbers = dict(_named(interface))
        own: dict[str, str] = {}
        resources: dict[int, str] = {}
        types = Types(resource=lambda number: resources[number])
        lines: list[str] = []

        def outside(label: str) -> str:
            lines.append(f"(alias outer 1 {label} (type $o{len(lines)}))")
            return f"$o{len(lines) - 1}"

        # Resources first: an interface may name one after functions that have it under another name.
        for count, (name, item) in sorted(enumerate(interface.exports), key=lambda e: not isinstance(e[1][1], int)):
            for t in _nominal(item):
                if t not in types.named and t in self.types:
                    types.named[t] = outside(self.types[t])
            match item:
                case int(number):
                    if number not in resources and number in self.resources:
                        resources[number] = outside(self.resources[number])
                    bound = f"eq {resources[number]}" if number in resources else "sub resource"
                    lines.append(f"(export {quote(name)} (type $x{count} ({bound})))")
                    resources[number] = own[name] = f"$x{count}"
                case ty.Function():
                    # A method takes its resource by the one of its names that is in the method's.
                    owner = name.partition("]")[2].partition(".")[0]
                    resources.update({numbers[owner]: own[owner]} if owner in own else {})
                    lines.append(f"(export {quote(name)} {types.function(item)})")
                case _:
                    if item not in types.named:
                        lines.append(f"(type $d{count} {types.body(item)})")
                    bound = types.named.get(item, f"$d{count}")
                    lines.append(f"(export {quote(name)} (type $x{count} (eq {bound})))")
                    if isinstance(item, Nominal):
                        types.named[item] = f"$x{count}"
        return "\n  ".join(lines)


def _imported(merged: Mapping[str, tuple[Interface, str]]) -> _Imports:
    """The imports in an order in which every type is named before it is used."""
    if len(merged) > MAX_IMPORTS:
        raise Unsupported(f"more than {MAX_IMPORTS} interfaces are imported from outside")
    imports = _Imports()
    left = {key: interface for key, (interface, _) in merged.items()}
    while left:
        key = next((key for key, interface in left.items() if imports.names_all(interface)), None)
        if key is None:
            names = ", ".join(interface.name for interface in left.values())
            raise Unsupported(f"types are used and nowhere named in imports of {names}"[:MAX_REASON])
        imports.add(key, left.pop(key))
    return imports


def _text(
    components: int,
    instances: Sequence[Instance],
    parts: Sequence[Exports],
    merged: Mapping[str, tuple[Interface, str]],
    exports: Sequence[tuple[str, ExternKind]],
) -> str:
    """The text of the outer component, with an empty component where each guest goes."""
    imports = _imported(merged)
    lines = imports.lines
    lines += ["(component)"] * components  # without names, which would be sections inside them
    for number, (instance, part) in enumerate(zip(instances, parts, strict=True)):
        given = [(i.name, imports.labels[track(i.name)]) for i in _outside(instance, part)]
        for count, wire in enumerate(instance.wires):
            lines.append(f"(alias export $p{wire.instance} {quote(wire.export)} (instance $w{number}-{count}))")
            given.append((wire.name, f"$w{number}-{count}"))
        with_ = " ".join(f"(with {quote(name)} (instance {label}))" for name, label in given)
        lines.append(f"(instance $p{number} (instantiate {instance.component} {with_}))")
    for count, (name, kind) in enumerate(exports):
        if kind not in _SORTS:
            raise Unsupported(f"{instances[-1].name} exports {name}, which is a {kind}")
        item = f"({_SORTS[kind]} $e{count})"
        lines.append(f"(alias export $p{len(instances) - 1} {quote(name)} {item}) (export {quote(name)} {item})")
    return "(component\n" + "\n".join(lines) + ")\n"
