"""A policy as a graph: the instances of its programs, who imports what from whom, and whom each can reach by that.

Pure, and light: nothing here imports pydantic or PyYAML.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sandbox.policy.model import ComponentPolicy, Policy, Wire
from sandbox.policy.wiring import MAX_INSTANCES, Path, serving, targets, wires_of

MAX_NODES = 1000
"""Instances of one graph. A single program has fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One instance of a component in the program that its path begins with."""

    path: Path
    component: ComponentPolicy
    runs: bool = False
    """Whether the policy says that this is what runs."""

    @property
    def name(self) -> str:
        """``app>ledger>auth``, as in events."""
        return ">".join(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """All that one instance imports from another one. Both are given by their places among the nodes."""

    importer: int
    exporter: int
    wires: tuple[Wire, ...]
    """At least one, in the order of the file."""

    @property
    def own(self) -> bool:
        """Whether the exporter is there for this importer alone, as the policy says."""
        return self.wires[0].own


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """An instance that another one can reach, and over which components."""

    node: int
    through: Path
    """A shortest way: what the other one imports from first, the component that is reached last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    policy: Policy
    nodes: tuple[Node, ...]
    """Program by program, the component that is run first, and each importer of the shortest way before its exporter.
    """
    edges: tuple[Edge, ...]
    """By importer, then as the policy has the exporters."""

    def reach(self) -> tuple[tuple[Way, ...], ...]:
        """For each node all others that it can call, itself or by way of those, the nearest ones first.

        Whoever can be called acts with its own grants: the grants along the ways are what a node can come to use in the
        end, with the help of the components between.
        """
        onward: list[list[int]] = [[] for _ in self.nodes]
        for edge in self.edges:
            onward[edge.importer].append(edge.exporter)
        return tuple(self._from(node, onward) for node in range(len(self.nodes)))

    def _from(self, start: int, onward: list[list[int]]) -> tuple[Way, ...]:
        ways: dict[int, Path] = {start: ()}
        left = deque([start])
        while left:
            node = left.popleft()
            for exporter in onward[node]:
                if exporter not in ways:
                    ways[exporter] = (*ways[node], self.nodes[exporter].component.name)
                    left.append(exporter)
        return tuple(Way(node=node, through=through) for node, through in ways.items() if node != start)


def graph_of(policy: Policy, component: str | None = None) -> Graph:
    """The graph of the program of ``component``; of ``None``: of all programs that are no part of another.

    What the policy runs is among these, and comes first. Raises ``ValueError`` where the policy has no such component,
    and beyond ``MAX_NODES``.
    """
    components = {one.name: one for one in policy.components}
    if component is not None and component not in components:
        raise ValueError(f"{policy.file} has no component {component!r}; it has {', '.join(components)}")
    wires = wires_of(policy)
    onward = targets(wires)
    nodes: list[Node] = []
    edges: list[Edge] = []
    for root in (component,) if component is not None else _roots(policy):
        served = serving(onward, root, MAX_INSTANCES)
        if served is None:
            raise ValueError(f"the program of {root!r} takes more than {MAX_INSTANCES} instances")
        places = {path: len(nodes) + place for place, path in enumerate(served)}
        if len(nodes) + len(places) > MAX_NODES:
            raise ValueError(
                f"the programs of {policy.file} have more than {MAX_NODES:,} instances in all: name the component whose"
                " program is meant"
            )
        for path, by in served.items():
            runs = path == (policy.run,)
            nodes.append(Node(path=path, component=components[path[-1]], runs=runs))
            for exporter, at in by.items():
                meant = tuple(wire for wire in wires[path[-1]] if wire.component == exporter)
                edges.append(Edge(importer=places[path], exporter=places[at], wires=meant))
    return Graph(policy=policy, nodes=tuple(nodes), edges=tuple(edges))


def _roots(policy: Policy) -> tuple[str, ...]:
    """The component that the policy runs, then those from which no other one imports."""
    imported = {wire.component for component in policy.components for wire in component.imports}
    first = () if policy.run is None else (policy.run,)
    return tuple(dict.fromkeys((*first, *(one.name for one in policy.components if one.name not in imported))))
