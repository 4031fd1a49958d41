"""The graph of a policy: its instances, what they import, and what they reach by that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.policy.graph import MAX_NODES, Edge, Graph, Way, graph_of
from sandbox.policy.model import ComponentPolicy, Policy, Wire
from sandbox.policy.wiring import instances


def policy_of(wires: dict[str, list[str]], run: str | None = None) -> Policy:
    """A policy of these components, each with those that it imports from; ``+`` before one that is its own."""
    return Policy(
        file="p.yaml",
        directory="/p",
        digest="",
        run=run,
        components=tuple(
            ComponentPolicy(
                name=name,
                imports=tuple(
                    Wire(interface=f"a:b/i{place}", component=other.lstrip("+"), own=other[0] == "+")
                    for place, other in enumerate(others)
                ),
            )
            for name, others in wires.items()
        ),
    )


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def edges(graph: Graph) -> list[tuple[str, str]]:
    return [(graph.nodes[edge.importer].name, graph.nodes[edge.exporter].name) for edge in graph.edges]


def reached(graph: Graph) -> dict[str, list[tuple[str, str]]]:
    """For each node that reaches others the names of these, each with the way to it."""
    return {
        graph.nodes[number].name: [(graph.nodes[way.node].name, ">".join(way.through)) for way in ways]
        for number, ways in enumerate(graph.reach())
        if ways
    }


def test_components_without_imports() -> None:
    """A node each, in the order of the file, with nothing between them; none of them reaches another."""
    graph = graph_of(policy_of({"b": [], "a": []}))
    assert (names(graph), graph.edges, graph.reach()) == (["b", "a"], (), ((), ()))


def test_a_chain_reaches_its_end() -> None:
    """Over everyone between, and never back."""
    graph = graph_of(policy_of({"auth": [], "ledger": ["auth"], "app": ["ledger"]}, run="app"))
    assert names(graph) == ["app", "app>ledger", "app>ledger>auth"]
    assert [node.runs for node in graph.nodes] == [True, False, False]
    assert edges(graph) == [("app", "app>ledger"), ("app>ledger", "app>ledger>auth")]
    assert graph.reach() == (
        (Way(node=1, through=("ledger",)), Way(node=2, through=("ledger", "auth"))),
        (Way(node=2, through=("auth",)),),
        (),
    )


def test_several_wires_of_two_instances_are_one_edge() -> None:
    """With all of them, in the order of the file."""
    policy = policy_of({"app": ["lib", "log", "lib"], "lib": [], "log": []})
    first, between, last = policy.components[0].imports
    assert graph_of(policy).edges == (
        Edge(importer=0, exporter=1, wires=(first, last)),
        Edge(importer=0, exporter=2, wires=(between,)),
    )


def test_a_diamond_is_reached_by_the_shortest_way() -> None:
    """A shared instance is one node, whoever imports from it; one's own is another."""
    graph = graph_of(policy_of({"app": ["a", "b"], "a": ["c"], "b": ["c", "+d"], "c": ["d"], "d": []}))
    assert names(graph) == ["app", "app>a", "app>b", "app>a>c", "app>b>d", "app>a>c>d"]
    assert [edge.own for edge in graph.edges] == [False, False, False, False, True, False]
    assert reached(graph) == {
        "app": [
            ("app>a", "a"),
            ("app>b", "b"),
            ("app>a>c", "a>c"),
            ("app>b>d", "b>d"),
            ("app>a>c>d", "a>c>d"),
        ],
        "app>a": [("app>a>c", "c"), ("app>a>c>d", "c>d")],
        "app>b": [("app>a>c", "c"), ("app>b>d", "d"), ("app>a>c>d", "c>d")],
        "app>a>c": [("app>a>c>d", "d")],
    }


def test_programs_stand_beside_each_other() -> None:
    """Each with instances of its own; what the policy runs comes first, also where it is a part of another program."""
    policy = policy_of({"tool": ["lib"], "app": ["lib"], "lib": ["log"], "log": []}, run="lib")
    graph = graph_of(policy)
    assert names(graph) == ["lib", "lib>log", "tool", "tool>lib", "tool>lib>log", "app", "app>lib", "app>lib>log"]
    assert [node.name for node in graph.nodes if node.runs] == ["lib"]


def test_the_program_of_one_component() -> None:
    """And nothing else, be it a part of another program or not."""
    policy = policy_of({"app": ["lib"], "lib": ["log"], "log": [], "other": []})
    assert names(graph_of(policy, "lib")) == ["lib", "lib>log"]
    with pytest.raises(ValueError, match=r"^p\.yaml has no component 'libs'; it has app, lib, log, other$"):
        graph_of(policy, "libs")


def test_more_than_can_be_looked_at_is_refused() -> None:
    """In all programs together; each one alone is small enough."""
    policy = policy_of({f"c{number}": [] for number in range(MAX_NODES + 1)})
    with pytest.raises(ValueError, match=r"^the programs of p\.yaml have more than 1,000 instances in all: name"):
        graph_of(policy)
    assert names(graph_of(policy, "c7")) == ["c7"]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Components of which each imports from some of those before it."""
    wires: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 7))):
        own = {name: draw(st.sampled_from(["", "+"])) for name in wires}
        chosen = draw(st.lists(st.sampled_from(sorted(wires)), max_size=3)) if wires else []
        wires[f"c{number}"] = [own[name] + name for name in chosen]
    return policy_of(wires)


@given(policies())
def test_the_graph_is_what_is_linked(policy: Policy) -> None:
    """Every program has the instances, and the wires between them, that a run of it has."""
    for component in policy.components:
        linked = instances(policy, component.name)
        graph = graph_of(policy, component.name)
        assert sorted(node.path for node in graph.nodes) == sorted(instance.path for instance in linked)
        assert sorted(
            (graph.nodes[edge.importer].path, wire.interface, graph.nodes[edge.exporter].path)
            for edge in graph.edges
            for wire in edge.wires
        ) == sorted(
            (instance.path, wire.interface, linked[place].path) for instance in linked for wire, place in instance.wires
        )


@given(policies())
def test_what_is_reached_is_what_can_be_walked_to(policy: Policy) -> None:
    """The ways are those of a walk along the edges, each node once, none longer than it must be."""
    graph = graph_of(policy)
    onward = [{edge.exporter for edge in graph.edges if edge.importer == node} for node in range(len(graph.nodes))]
    for start, ways in enumerate(graph.reach()):
        distance, found = 0, {start}
        layers: list[set[int]] = []
        while fresh := {other for node in (layers[-1] if layers else {start}) for other in onward[node]} - found:
            distance += 1
            found |= fresh
            layers.append(fresh)
        assert [way.node for way in ways] == list(dict.fromkeys(way.node for way in ways))
        assert [{way.node for way in ways if len(way.through) == length + 1} for length in range(distance)] == layers
        assert all(way.through[-1] == graph.nodes[way.node].component.name for way in ways)
