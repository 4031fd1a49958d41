"""Several components as one program: what they import, in one numbering, so that a type of WASI is one type for all.

Interfaces are one by name, whatever release of WASI 0.2 each component was built for, and so are the resources in them:
Wasmtime serves every release alike. What the program imports is the newest release that a component names, with
everything that any of them uses of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sandbox.guard.instances import homes, renumbered
from sandbox.guard.reflect import Imports, Interface, Resource, Unsupported
from sandbox.guard.shape import Shape
from sandbox.policy.interfaces import newness


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """One import that another instance serves."""

    name: str
    """As the component imports it: ``bank:payments/auth@1.0.0``."""
    instance: int
    """The number of the instance that serves it: lower than that of the one that imports it."""
    export: str
    """As that one exports it."""
    only: tuple[str, ...] | None = None
    """The functions of it that may be called; ``None``: all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One instance of a component among several that are linked."""

    name: str
    """What a refusal calls it."""
    component: int
    """The number of its component, in the order in which those are given."""
    wires: tuple[Wire, ...] = ()
    """Who serves which of its imports; what is in none comes from outside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part(Instance):
    """One instance of a component in a program, behind its own facet of the guard."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Facet:
    """What one component imports of WASI, in the numbers of the program."""

    imports: Imports
    """At each number the interface as this component imports it; one that it does not import has no exports."""
    order: tuple[int, ...]
    """The numbers of those that it imports, in its own order."""
    served: Mapping[str, Interface] = field(default_factory=dict)
    """What it imports from other components, by name."""


def unify(components: Sequence[Imports], wired: Sequence[Iterable[str]]) -> tuple[Imports, tuple[Facet, ...]]:
    """The imports of a program, and what each component has of them. ``wired``: imports that others serve.

    Raises ``Unsupported`` where two components take one name of WASI for different types.
    """
    resources: dict[tuple[str, str], int] = {}
    known: list[Resource] = []
    merged: dict[str, Interface] = {}
    own: list[dict[str, Interface]] = []
    foreign: list[dict[str, Interface]] = []
    for number, (imports, served) in enumerate(zip(components, wired, strict=True)):
        numbers: dict[int, int] = {}
        of_wasi = _of_wasi(imports, served)
        for at, imported in enumerate(imports.resources):
            # By name alone: the interface is the first that names it, which differs from component to component.
            resource = of_wasi.get(at, imported)
            key = ("wasi", resource.name) if at in of_wasi else (str(number), str(at))
            if key not in resources:
                resources[key] = len(known)
                known.append(resource)
            numbers[at] = resources[key]
        mine: dict[str, Interface] = {}
        others: dict[str, Interface] = {}
        for interface in imports.interfaces:
            exports = tuple((n, renumbered(e, numbers)) for n, e in interface.exports)
            if interface.name in served:
                others[interface.name] = Interface(interface.name, exports)
                continue
            # What is not WASI's is none of Wasmtime's either: each version is an interface of its own.
            base = interface.name.partition("@")[0] if interface.name.startswith("wasi:") else interface.name
            if base in mine:
                raise Unsupported(f"it imports two releases of {base}; a component of a program may import one")
            mine[base] = Interface(interface.name, exports)
            merged[base] = _merged(merged.get(base), mine[base])
        own.append(mine)
        foreign.append(others)
    defined = homes(mine.items() for mine in own)
    known = [replace(r, interface=merged[defined[n]].name) if n in defined else r for n, r in enumerate(known)]
    bases = list(merged)
    program = Imports(tuple(merged.values()), tuple(known))
    return program, tuple(
        Facet(
            Imports(tuple(mine.get(base, Interface(merged[base].name, ())) for base in bases), tuple(known)),
            tuple(bases.index(base) for base in mine),
            others,
        )
        for mine, others in zip(own, foreign, strict=True)
    )


def _of_wasi(imports: Imports, served: Iterable[str]) -> dict[int, Resource]:
    """The resources that come from WASI, whatever other interface named one first."""
    out: dict[int, Resource] = {}
    for interface in imports.interfaces:
        if interface.name.startswith("wasi:") and interface.name not in served:
            for name, item in interface.exports:
                if isinstance(item, int):
                    out.setdefault(item, Resource(interface.name, name))
    return out


def _merged(one: Interface | None, other: Interface) -> Interface:
    """One interface with everything that either has, under the newer name."""
    if one is None:
        return other
    exports = dict(one.exports)
    for name, export in other.exports:
        if exports.setdefault(name, export) != export:
            raise Unsupported(f"{one.name} and {other.name} are imported with different types for {name}")
    return Interface(max(one.name, other.name, key=newness), tuple(exports.items()))
