"""Several components as one ordinary component, without a guard: what any runtime of the component model can run.

The outer component imports what no part is served by another, each interface once, instantiates the parts beside each
other and exports what the last of them exports. The parts' bytes go in untouched, as nested components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wasmtime import Engine, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.component import ExternKind, codeless, facts_of
from sandbox.guard.build import splice
from sandbox.guard.fit import Exports, reason
from sandbox.guard.instances import Barred, bundle, homes, imported, name_resources, of_instance, renumbered
from sandbox.guard.program import Instance
from sandbox.guard.reflect import Interface, Unsupported
from sandbox.guard.wat import quote
from sandbox.guard.wiring import Key, Resources, check, identified, outside, read_parts, track
from sandbox.policy.interfaces import newness

MAX_IMPORTS = 1000
"""Interfaces that the whole imports from outside; WASI has some forty."""
_SORTS: Mapping[ExternKind, str] = {
    "instance": "instance",
    "func": "func",
    "type": "type",
    "component": "component",
    "module": "core module",
}


def compose(engine: Engine, components: Sequence[bytes], instances: Sequence[Instance]) -> bytes:
    """Link ``instances``, each behind those that it imports from; the last is what the whole stands for.

    What nobody serves is imported: the newest of the compatible versions that are asked for, with everything that any
    part uses of it. A function that a wire does not allow traps when it is called. Raises ``Unsupported`` where
    something does not fit, ``ComponentError`` for what is no component.
    """
    if not instances:
        raise Unsupported("there is nothing to compose")
    _, parts = read_parts(engine, components, instances)
    check(instances, parts)
    resources = identified(instances, parts)
    merged, defined = _merged(instances, parts, resources)
    exports = facts_of(instances[-1].name, components[instances[-1].component]).exports
    text = _text(len(components), instances, parts, merged, defined, [(e.name, e.kind) for e in exports])
    try:
        whole = splice(bytes(wat2wasm(text)), components)
        wasm.Component(engine, codeless(whole))
    except WasmtimeError as error:
        raise Unsupported(f"Wasmtime refuses the composed component: {reason(error)}") from None
    return whole


def _merged(
    instances: Sequence[Instance], parts: Sequence[Exports], resources: Resources
) -> tuple[dict[str, Interface], dict[int, str]]:
    """By its track, each interface that is imported from outside; and by which of them each resource is defined."""
    merged: dict[str, Interface] = {}
    asked: dict[str, str] = {}
    numbers: dict[Key, int] = {}
    own: list[list[tuple[str, Interface]]] = []
    for number, (instance, part) in enumerate(zip(instances, parts, strict=True)):
        mine: dict[int, int] = {}
        for resource in range(len(part.imports.resources)):
            mine[resource] = numbers.setdefault(resources.one((number, resource)), len(numbers))
        own.append([])
        for interface in outside(instance, part):
            key, exports = track(interface.name), tuple((n, renumbered(item, mine)) for n, item in interface.exports)
            known = merged.get(key, Interface(interface.name, ()))
            first = asked.setdefault(key, instance.name)
            together = dict(known.exports)
            for name, item in exports:
                if together.setdefault(name, item) != item:
                    raise Unsupported(
                        f"{first} imports {known.name} and {instance.name} imports {interface.name},"
                        f" with different types for {name}"
                    )
            newest = max(known.name, interface.name, key=newness)
            merged[key] = Interface(newest, tuple(together.items()))
            own[-1].append((key, Interface(interface.name, exports)))
    return merged, homes(own)


def _text(
    components: int,
    instances: Sequence[Instance],
    parts: Sequence[Exports],
    merged: Mapping[str, Interface],
    defined: Mapping[int, str],
    exports: Sequence[tuple[str, ExternKind]],
) -> str:
    """The text of the outer component, with an empty component where each guest goes."""
    if len(merged) > MAX_IMPORTS:
        raise Unsupported(f"more than {MAX_IMPORTS} interfaces are imported from outside")
    labels = {key: f"$i{number}" for number, key in enumerate(merged)}
    lines = imported(
        ((labels[key], interface.name, interface) for key, interface in merged.items()),
        {resource: labels[key] for resource, key in defined.items()},
    ).lines
    lines += ["(component)"] * components  # without names, which would be sections inside them
    made: dict[str, str] = {}
    for number, (instance, part) in enumerate(zip(instances, parts, strict=True)):
        wanted = {interface.name: interface for interface in part.imports.interfaces}
        given = {interface.name: labels[track(interface.name)] for interface in outside(instance, part)}
        for count, wire in enumerate(instance.wires):
            given[wire.name] = f"$w{number}-{count}"
            lines.append(f"(alias export $p{wire.instance} {quote(wire.export)} (instance $w{number}-{count}))")
        known: dict[int, str] = {}
        for count, wire in enumerate(instance.wires):
            if wire.only is not None:
                for at, (name, label) in enumerate(given.items()):
                    lines += name_resources(wanted[name], label, f"$r{number}-{at}", known)
                served = given[wire.name]
                barred = Barred(sites=dict.fromkeys(n for n, _ in wanted[wire.name].functions if n not in wire.only))
                lines.append(bundle(wanted[wire.name], known, f"o{number}-{count}", of_instance(served), made, barred))
                given[wire.name] = f"$bo{number}-{count}"
        with_ = " ".join(f"(with {quote(name)} (instance {label}))" for name, label in given.items())
        lines.append(f"(instance $p{number} (instantiate {instance.component} {with_}))")
    for count, (name, kind) in enumerate(exports):
        if kind not in _SORTS:
            raise Unsupported(f"{instances[-1].name} exports {name}, which is a {kind}")
        item = f"({_SORTS[kind]} $e{count})"
        lines.append(f"(alias export $p{len(instances) - 1} {quote(name)} {item}) (export {quote(name)} {item})")
    return "(component\n" + "\n".join(lines) + ")\n"
