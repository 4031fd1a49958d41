"""Where nothing is gained, no plan allows more: held against plans and rules, which know nothing of the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings

from sandbox.broker.rules import Rules
from sandbox.compare.change import Change
from sandbox.compare.places import find_places
from sandbox.compare.policies import compare
from sandbox.plan import PlanError
from sandbox.policy.errors import PolicyError
from sandbox.policy.model import Policy, Sockets
from tests.compare.soundness import (
    ADDRESSES,
    PORTS_ASKED,
    filesystem_pairs,
    make_tree,
    more_files,
    more_network,
    more_rest,
    plan_of,
    policy_of,
    rest_pairs,
    sockets_pairs,
)


def changes(old: Policy, new: Policy) -> tuple[Change, ...]:
    return compare(old, new, find_places([old, new], new.directory))


def gained(old: Policy, new: Policy) -> list[Change]:
    return [change for change in changes(old, new) if change.kind == "gained"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    root: Path = tmp_path_factory.mktemp("tree")
    make_tree(root)
    return str(root)


@settings(max_examples=400, deadline=None)
@given(pair=filesystem_pairs())
def test_files(tree: str, pair: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """A guest path leads to another file, or to more of it, only where something is told to be gained."""
    old, new = (policy_of({"filesystem": grants}, tree) for grants in pair)
    try:
        plans = plan_of(old), plan_of(new)
    except PlanError:
        assume(False)
        raise
    if not gained(old, new):
        assert more_files(*plans) == []


@settings(max_examples=300, deadline=None)
@given(pair=rest_pairs())
def test_the_rest(tree: str, pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Streams, variables, arguments, clocks, random numbers and limits are more where that is told, and only there."""
    old, new = (policy_of(side["grants"], tree, limits=side["limits"]) for side in pair)
    try:
        more = more_rest(old, new)
    except PlanError:
        assume(False)
        raise
    assert bool(gained(old, new)) == bool(more)


@settings(max_examples=80, deadline=None)
@given(pair=sockets_pairs())
def test_network(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """An address, port or name is within reach only where something is told to be gained."""
    try:
        old, new = (policy_of({"sockets": sockets}) for sockets in pair)
    except PolicyError:  # a denial that covers a grant
        assume(False)
        raise
    if not gained(old, new):
        before, after = (policy.components[0].grants.sockets or Sockets() for policy in (old, new))
        assert more_network(before, after) == []
        if after.listen or after.bind:
            assert [
                address
                for address in ADDRESSES
                for port in PORTS_ASKED
                if Rules(after).remote(address, port).allowed and not Rules(before).remote(address, port).allowed
            ] == []
