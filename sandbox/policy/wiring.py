"""The programs of a policy: what its wires lead to, in which order, and in how many instances.

Pure, and light: nothing here imports pydantic or PyYAML. The loader refuses what would have no end or no order, so a
policy that was loaded has a program for each of its components.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from json import dumps
from typing import TypeAlias

from sandbox.policy.model import Policy, Wire

MAX_COMPONENTS = 31
"""Components of one program, the one that is run included."""
MAX_CHAIN = 16
"""Components of which each imports from the next."""
MAX_INSTANCES = 200
"""Instances of one program."""

Wires: TypeAlias = Mapping[str, tuple[Wire, ...]]
"""The wires of each component, in the order of the file; each leads to a key of the mapping."""
Path: TypeAlias = tuple[str, ...]
"""Components from the one that is run to the one that is meant, each an importer of the next."""
Step: TypeAlias = tuple[str, Wire]
"""A component and one of its wires."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One instance of a component in a program."""

    path: Path
    """The shortest way to it, which no other instance has; of several, the first in the order of the policy."""
    component: str
    wires: tuple[tuple[Wire, int], ...]
    """Each wire of the component, in the order of the file, with the place of the instance that serves it."""


def wires_of(policy: Policy) -> dict[str, tuple[Wire, ...]]:
    return {component.name: component.imports for component in policy.components}


def route_of(component: str, wire: Wire) -> str:
    """Where a policy has a wire of a component's, as ``Policy.place`` takes it."""
    return f"components.{component}.imports[{dumps(wire.interface)}]"


def reach(policy: Policy, name: str) -> Path:
    """The components of the program of ``name``: itself, then each where a walk along the wires first comes to it."""
    wires = wires_of(policy)
    found: dict[str, None] = {}
    left = [name]
    while left:
        component = left.pop()
        if component not in found:
            found[component] = None
            left += [wire.component for wire in reversed(wires[component])]
    return tuple(found)


def instances(policy: Policy, name: str) -> tuple[Instance, ...]:
    """The instances of the program of ``name``: exporters before their importers, the one that is run last.

    All importers that share a component have one instance of it. An importer that wants its own has one for itself,
    whose imports are wired like those of any other instance. Raises ``ValueError`` for a cycle and beyond
    ``MAX_INSTANCES``, which no policy has that was loaded.
    """
    wires = wires_of(policy)
    served = serving(targets(wires), name, MAX_INSTANCES)
    if served is None:
        raise ValueError(f"the program of {name!r} takes more than {MAX_INSTANCES} instances")
    ordered = tuple(TopologicalSorter({path: by.values() for path, by in served.items()}).static_order())
    places = {path: place for place, path in enumerate(ordered)}
    return tuple(
        Instance(
            path=path,
            component=path[-1],
            wires=tuple((wire, places[served[path][wire.component]]) for wire in wires[path[-1]]),
        )
        for path in ordered
    )


def targets(wires: Wires) -> dict[str, tuple[tuple[str, bool], ...]]:
    """For each component, those that it imports from, each once, in the order of the policy; and which are its own."""
    rank = {name: place for place, name in enumerate(wires)}
    return {
        name: tuple(sorted({wire.component: wire.own for wire in reversed(of)}.items(), key=lambda item: rank[item[0]]))
        for name, of in wires.items()
    }


def serving(
    targets: Mapping[str, tuple[tuple[str, bool], ...]], name: str, most: int
) -> dict[Path, dict[str, Path]] | None:
    """The instances of a program by their paths; for each, the instance that serves it of each component it imports.

    ``None`` where there are more than ``most``.
    """
    # Shorter paths come before longer ones, and equally long ones in the order of the policy: an instance that is
    # shared is first met over the path that it is known by.
    found: dict[Path, dict[str, Path]] = {(name,): {}}
    shared: dict[str, Path] = {}
    left: deque[Path] = deque(found)
    while left:
        path = left.popleft()
        for target, own in targets[path[-1]]:
            at = (*path, target)
            if not own:
                at = shared.setdefault(target, at)
            found[path][target] = at
            if at not in found:
                if len(found) == most:
                    return None
                found[at] = {}
                left.append(at)
    return found


MAX_CYCLES = 100
"""Cycles told at most; whoever breaks them is told of the next."""


def walk(wires: Wires) -> tuple[tuple[str, ...], tuple[tuple[Step, ...], ...]]:
    """All components, exporters before their importers, and the cycles that stand against that.

    A cycle is given by its steps. The last one closes it: the order is one of the wires without these.
    """
    ordered: dict[str, None] = {}
    cycles: list[tuple[Step, ...]] = []
    for root in wires:
        if root in ordered:
            continue
        path: list[tuple[str, Iterator[Wire]]] = [(root, iter(wires[root]))]
        depth = {root: 0}
        steps: list[Step] = []
        while path:
            name, left = path[-1]
            for wire in left:
                target = wire.component
                if target in depth:
                    if len(cycles) < MAX_CYCLES:
                        cycles.append((*steps[depth[target] :], (name, wire)))
                elif target not in ordered:
                    steps.append((name, wire))
                    depth[target] = len(path)
                    path.append((target, iter(wires[target])))
                    break
            else:
                path.pop()
                del depth[name], steps[-1:]
                ordered[name] = None
    return tuple(ordered), tuple(cycles)
