"""The program of a component: what belongs to it, in which order, in how many instances."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.policy.model import ComponentPolicy, Policy, Wire
from sandbox.policy.wiring import MAX_INSTANCES, Instance, instances, reach, serving, targets, wires_of


def policy_of(**wires: list[str]) -> Policy:
    """A policy of these components, each with those that it imports from; ``+`` before one that is its own."""
    return Policy(
        file="p.yaml",
        directory="/p",
        digest="",
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


def shown(policy: Policy, name: str) -> list[tuple[str, list[str]]]:
    """The instances of a program by their paths, each with those that serve its imports."""
    found = instances(policy, name)
    paths = [">".join(instance.path) for instance in found]
    return [(path, [paths[place] for _, place in instance.wires]) for path, instance in zip(paths, found, strict=True)]


def test_a_component_without_imports_is_a_program() -> None:
    """Itself, once."""
    policy = policy_of(app=[], other=["app"])
    assert reach(policy, "app") == ("app",)
    assert instances(policy, "app") == (Instance(path=("app",), component="app", wires=()),)


def test_the_components_of_a_program_come_as_they_are_met() -> None:
    """Depth first, in the order in which imports are written; what is not reached is none of them."""
    policy = policy_of(auth=[], log=["auth"], app=["ledger", "log"], ledger=["auth", "mail"], mail=[], other=["app"])
    assert reach(policy, "app") == ("app", "ledger", "auth", "mail", "log")
    assert reach(policy, "log") == ("log", "auth")


def test_an_instance_that_is_shared_is_one() -> None:
    """For all its importers, under the shortest way to it."""
    policy = policy_of(app=["ledger", "auth"], ledger=["auth"], auth=[])
    auth, ledger = policy.components[0].imports[1], policy.components[0].imports[0]
    assert instances(policy, "app") == (
        Instance(path=("app", "auth"), component="auth", wires=()),
        Instance(path=("app", "ledger"), component="ledger", wires=((policy.components[1].imports[0], 0),)),
        Instance(path=("app",), component="app", wires=((ledger, 1), (auth, 0))),
    )


def test_of_equally_short_ways_the_first_of_the_policy_counts() -> None:
    """Not the order in which imports are written."""
    policy = policy_of(app=["b", "a"], a=["d"], b=["c", "d"], c=[], d=[])
    assert shown(policy, "app") == [
        ("app>a>d", []),
        ("app>b>c", []),
        ("app>a", ["app>a>d"]),
        ("app>b", ["app>b>c", "app>a>d"]),
        ("app", ["app>b", "app>a"]),
    ]


def test_an_instance_of_one_s_own_serves_its_importer_alone() -> None:
    """All the imports that it says so of; the same component is shared by others all the same."""
    policy = policy_of(app=["+auth", "ledger", "+auth"], ledger=["auth"], auth=["log"], log=[])
    assert shown(policy, "app") == [
        ("app>auth>log", []),
        ("app>auth", ["app>auth>log"]),
        ("app>ledger>auth", ["app>auth>log"]),
        ("app>ledger", ["app>ledger>auth"]),
        ("app", ["app>auth", "app>ledger", "app>auth"]),
    ]


def test_each_instance_has_its_own_of_what_its_component_owns() -> None:
    """Two of an importer have two of what it owns, and one of what it shares."""
    policy = policy_of(app=["+a", "b"], b=["+a"], a=["+own", "shared"], own=[], shared=[])
    assert sorted(shown(policy, "app")) == [
        ("app", ["app>a", "app>b"]),
        ("app>a", ["app>a>own", "app>a>shared"]),
        ("app>a>own", []),
        ("app>a>shared", []),
        ("app>b", ["app>b>a"]),
        ("app>b>a", ["app>b>a>own", "app>a>shared"]),
        ("app>b>a>own", []),
    ]


@pytest.mark.parametrize(
    "wires", [{"a": ["b"], "b": ["a"]}, {"a": ["+b"], "b": ["+a"]}, {"a": ["a"]}], ids=["shared", "own", "itself"]
)
def test_what_has_no_order_ends_all_the_same(wires: dict[str, Any]) -> None:
    """A policy that was never loaded may have a cycle."""
    policy = policy_of(**wires)
    assert reach(policy, "a") == tuple(wires)
    with pytest.raises(ValueError, match=r"."):
        instances(policy, "a")


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Components that import from later ones, in any order of the file."""
    names = [f"c{number}" for number in range(draw(st.integers(1, 7)))]
    wires: dict[str, list[str]] = {}
    for place, name in enumerate(names):
        others = draw(st.lists(st.sampled_from(names[place + 1 :]), max_size=5)) if names[place + 1 :] else []
        own = draw(st.sets(st.sampled_from(names)))
        wires[name] = [f"+{other}" if other in own else other for other in others]
    return policy_of(**{name: wires[name] for name in draw(st.permutations(names))})


def ways(policy: Policy, name: str) -> dict[str, list[tuple[str, ...]]]:
    """Every path of the program of ``name``, by where it ends."""
    wires = wires_of(policy)
    found: dict[str, list[tuple[str, ...]]] = {}
    left: list[tuple[str, ...]] = [(name,)]
    while left:
        path = left.pop()
        found.setdefault(path[-1], []).append(path)
        left += [(*path, target) for target in {wire.component for wire in wires[path[-1]]}]
    return found


@given(policies())
def test_a_program_can_be_made_in_its_order(policy: Policy) -> None:
    """Exporters before importers, wires resolved to their components, the one that is run last, no path twice."""
    wires = wires_of(policy)
    for name in wires:
        program = instances(policy, name)
        assert program[-1].path == (name,)
        assert {instance.component for instance in program} == set(reach(policy, name)) == set(ways(policy, name))
        assert len({instance.path for instance in program}) == len(program) <= MAX_INSTANCES
        for place, instance in enumerate(program):
            assert instance.path[-1] == instance.component
            assert tuple(wire for wire, _ in instance.wires) == wires[instance.component]
            assert all(at < place and program[at].component == wire.component for wire, at in instance.wires)


@given(policies())
def test_who_has_which_instance(policy: Policy) -> None:
    """One that is shared serves every importer that shares it; one of one's own serves one importer."""
    rank = {component.name: place for place, component in enumerate(policy.components)}
    for name in rank:
        program = instances(policy, name)
        shared: dict[str, set[int]] = {}
        owners: dict[int, set[int]] = {}
        for place, instance in enumerate(program):
            for wire, at in instance.wires:
                if wire.own:
                    owners.setdefault(at, set()).add(place)
                    assert program[at].path == (*instance.path, wire.component)
                else:
                    shared.setdefault(wire.component, set()).add(at)
        assert all(len(at) == 1 for at in shared.values())
        assert all(len(of) == 1 for of in owners.values())
        assert not owners.keys() & {at for places in shared.values() for at in places}
        if not owners:
            order = {
                target: min(paths, key=lambda p: (len(p), [rank[c] for c in p]))
                for target, paths in ways(policy, name).items()
            }
            assert {instance.component: instance.path for instance in program} == order


@given(policies(), st.integers(1, 20))
def test_more_instances_than_are_made_are_not_counted_out(policy: Policy, most: int) -> None:
    """A program is told to be too large exactly where it has more."""
    for component in policy.components:
        found = serving(targets(wires_of(policy)), component.name, most)
        count = len(instances(policy, component.name))
        assert (None if found is None else len(found)) == (count if count <= most else None)
