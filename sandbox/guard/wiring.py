"""What instances serve each other: whether it fits, and which resources are then one for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from wasmtime import Engine

from sandbox.guard.fit import Exports, exports_of, misfit, shortened
from sandbox.guard.program import Instance
from sandbox.guard.reflect import Interface, Unsupported, about

Key: TypeAlias = tuple[int | str, int | str]
"""A resource: an instance and its number there, or the track of an interface from outside and its name there."""
OUTSIDE: Key = ("", "")
"""The origin of every resource that comes from outside; which of them are one, their names say."""


MAX_LISTED = 8
"""Functions that a sentence lists."""


@dataclass(slots=True)
class Resources:
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


def outside(instance: Instance, part: Exports) -> Iterator[Interface]:
    """What the instance imports from outside."""
    served = {wire.name for wire in instance.wires}
    return (interface for interface in part.imports.interfaces if interface.name not in served)


def read_parts(
    engine: Engine, components: Sequence[bytes], instances: Sequence[Instance]
) -> tuple[list[Exports], list[Exports]]:
    """What is imported and exported by each component, and by each instance. Raises ``Unsupported``."""
    first = {instances[at].component: at for at in reversed(range(len(instances)))}
    read = []
    for number, component in enumerate(components):
        with about(instances[first[number]].name, first[number]):
            read.append(exports_of(engine, component))
    return read, [read[instance.component] for instance in instances]


def check(instances: Sequence[Instance], parts: Sequence[Exports]) -> None:
    """Raise ``Unsupported`` for a wire that does not hold. Wasmtime would too, in words about neither side."""
    for number in range(len(instances)):
        _check(number, instances, parts)


def _check(number: int, instances: Sequence[Instance], parts: Sequence[Exports]) -> None:
    instance = instances[number]
    imported = {i.name: i for i in parts[number].imports.interfaces}
    if len({w.name for w in instance.wires}) != len(instance.wires):
        raise Unsupported(f"{instance.name} has two wires for one import")
    for wire in instance.wires:
        if not 0 <= wire.instance < number:
            raise Unsupported(f"{instance.name} is wired to an instance that does not come before it")
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
            raise Unsupported(f"{instance.name}, {wire.name}: {difference}", number, wire.name)
        functions = [name for name, _ in offered.functions]
        for name in wire.only or ():
            if name not in functions:
                message = (
                    f"{instance.name} may call {name} of {wire.name}, but {server} exports no such function;"
                    f" {_listed(functions)}"
                )
                raise Unsupported(message, number, wire.name)


def _listed(functions: Sequence[str]) -> str:
    """Which functions there are, of many the first."""
    shown = [shortened(name) for name in functions[:MAX_LISTED]]
    more = f" and {len(functions) - MAX_LISTED} more" if len(functions) > MAX_LISTED else ""
    return f"it exports {', '.join(shown)}{more}" if shown else "it exports none"


def _named(interface: Interface) -> Iterator[tuple[str, int]]:
    """The resources that an interface names."""
    return ((name, item) for name, item in interface.exports if isinstance(item, int))


def identified(instances: Sequence[Instance], parts: Sequence[Exports]) -> Resources:
    """Which resources are one. Raises ``Unsupported`` where an instance takes those of two others for one."""
    resources = Resources()
    for number, (instance, part) in enumerate(zip(instances, parts, strict=True)):
        for resource in range(len(part.resources)):
            if part.owns(resource):
                resources.origins[number, resource] = (number, resource)
        imported = {interface.name: interface for interface in part.imports.interfaces}
        pairs: list[tuple[str, str, Key, Key]] = []
        for interface in outside(instance, part):
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
