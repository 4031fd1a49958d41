"""Two policies as a whole: components that come and go, what means nothing, and what is always seen."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.compare.change import Change
from sandbox.policy.load import parse_policy
from sandbox.policy.model import Policy
from tests.compare.pairs import changes, policy
from tests.policy.policies import FULL, POLICIES, load


@given(POLICIES)
@settings(deadline=None)
def test_a_policy_beside_itself(data: dict[str, Any]) -> None:
    """Nothing changes from a policy to the same one."""
    assert changes(load(data), load(data)) == ()


def reordered(value: Any) -> Any:
    """``value`` with every mapping and every list turned round, but for arguments, whose order they mean."""
    if isinstance(value, dict):
        return {key: v if key == "arguments" else reordered(v) for key, v in reversed(value.items())}
    return [reordered(item) for item in reversed(value)] if isinstance(value, list) else value


def commented(data: Any) -> Policy:
    """``data`` as YAML over many lines, with comments."""
    text = json.dumps(data, indent=3, ensure_ascii=False)
    lines = ["# first", *(f"{line} # comment" if line.endswith(("[", "{", ",")) else line for line in text.split("\n"))]
    return parse_policy("\n".join(lines).encode(), file="policy.yaml", directory="/policies")


@given(POLICIES)
@settings(deadline=None)
def test_order_and_comments_mean_nothing(data: dict[str, Any]) -> None:
    """The same entries in another order, over other lines and with comments, are the same policy."""
    assert changes(load(data), load(reordered(data))) == ()
    assert changes(load(data), commented(data)) == ()


def test_components() -> None:
    """A new component is told with all that it is granted, one that is gone in one line; they match by name."""
    limits = {"memory": "1GiB"}
    grants = {"stdio": {"stdout": "inherit", "stdin": "discard"}, "sockets": {"deny": ["10.0.0.0/8"], "audit": "all"}}
    old = policy(file="old.yaml", a={}, b={"grants": grants, "limits": limits})
    new = policy(a={}, c={"grants": grants, "limits": limits, "source": "c.wasm"})
    assert changes(old, new) == (
        Change(kind="gained", component="c", capability="component", text="is new", file="new.yaml", line=5, column=3),
        Change(
            kind="gained",
            component="c",
            capability="stdio.stdout",
            text="can now write the caller's standard output",
            file="new.yaml",
            line=8,
            column=6,
        ),
        Change(
            kind="lost",
            component="b",
            capability="component",
            text="is gone, with all that it was granted",
            file="old.yaml",
            line=5,
            column=3,
        ),
    )


def test_a_policy_that_is_new_or_gone() -> None:
    """No policy is one without components."""
    full = policy(a={"grants": {"arguments": "inherit"}}, b={})
    assert [(c.kind, c.component, c.text) for c in changes(None, full)] == [
        ("gained", "a", "is new"),
        ("gained", "a", "can now be given arguments by its caller"),
        ("gained", "b", "is new"),
    ]
    assert [(c.kind, c.component, c.text) for c in changes(full, None)] == [
        ("lost", "a", "is gone, with all that it was granted"),
        ("lost", "b", "is gone, with all that it was granted"),
    ]


def test_what_runs() -> None:
    """Another component that runs by itself is neither more nor less: each keeps to what it is granted."""
    old, new = replace(policy(a={}, b={}), run="a"), replace(policy(a={}, b={}), run="b")
    assert changes(old, new) == (
        Change(
            kind="changed",
            component="b",
            capability="component",
            text="runs where no component is named (until now: a)",
            file="new.yaml",
            line=1,
            column=1,
        ),
    )
    assert [c.text for c in changes(replace(old, run=None), new)] == ["runs where no component is named"]
    assert [(c.component, c.text) for c in changes(old, replace(new, run=None))] == [
        ("a", "no longer runs where no component is named")
    ]


def test_kinds_come_in_order() -> None:
    """Of each component, what was gained comes first, then what was lost, then what is another."""
    plain = {"grants": {"arguments": "inherit"}, "source": "x"}
    other = {"grants": {"stdio": {"stdin": "inherit"}}, "source": "y"}
    found = changes(policy(a=plain, b=plain), policy(a=other, b=other))
    assert [(c.component, c.kind) for c in found] == [
        (name, kind) for name in ("a", "b") for kind in ("gained", "lost", "changed")
    ]


WIDENINGS: list[tuple[str, Any]] = [
    ("grants.filesystem.+", {"host": "/elsewhere", "guest": "/elsewhere", "access": "read"}),
    ("grants.filesystem.0.access", "write"),
    ("grants.filesystem.0.host", "/"),
    ("grants.filesystem.1.hard-links", "allow"),
    ("grants.filesystem.1.except", []),
    ("grants.stdio.stdin", {"file": "another.txt"}),
    ("grants.stdio.stdout", "inherit"),
    ("grants.environment.set.MORE", "x"),
    ("grants.environment.inherit.+", "CALLERS"),
    ("grants.arguments", "inherit"),
    ("grants.clocks.wall", "real"),
    ("grants.random", "secure"),
    ("grants.sockets.tcp.connect.+", "**.internal.example:5432"),
    ("grants.sockets.tcp.connect.0", "db.internal:5432-5433"),
    ("grants.sockets.tcp.connect.0", {"to": "db.internal:5432", "private": True}),
    ("grants.sockets.tcp.listen.+", "0.0.0.0:8080"),
    ("grants.sockets.udp.send.0", "10.0.0.0/8:53-54"),
    ("grants.sockets.udp.bind.+", "0.0.0.0:0"),
    ("grants.sockets.dns.0", "**.example.com"),
    ("grants.sockets.deny", []),
    ("grants.sockets.deny.0", "169.254.0.0/17"),
    ("limits.memory", "65MiB"),
    ("limits.deadline", "6s"),
    ("limits.fuel", 2_000_000_001),
    ("limits.output", "2MB"),
    ("limits.handles", 101),
    ("limits.disk", 1),
    ("limits.sockets", 9),
    ("limits.sent", "2MiB"),
    ("limits.received", "3MiB"),
    ("limits.connect-time", "3s"),
    ("limits.lookups", 4),
    ("limits.lookup-bytes", "2KiB"),
]
"""Steps from ``FULL`` that each grant more: a route below the component, whose end ``+`` appends an item."""


def stepped(data: dict[str, Any], route: str, value: Any) -> dict[str, Any]:
    """``data`` with one step taken in the component ``report``."""
    data = copy.deepcopy(data)
    *above, last = route.split(".")
    at: Any = data["components"]["report"]
    for part in above:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    if last == "+":
        at.append(value)
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    if last == "hard-links":
        at["except"] = []
    return data


def family_of(route: str) -> str:
    """What capabilities of a route begin with."""
    if ".dns." in route:
        return "dns"
    return route.split(".")[1] if route.startswith("grants.") else "limits"


@pytest.mark.parametrize(("route", "value"), WIDENINGS)
def test_each_widening_is_a_gain(route: str, value: Any) -> None:
    """Whatever step grants more is told as a gain, at its family; and the way back gains nothing but what it lost."""
    old, new = load(FULL), load(stepped(FULL, route, value))
    gained = [change.capability for change in changes(old, new) if change.kind == "gained"]
    names = {capability.partition(".")[0] for capability in gained}
    assert names == {family_of(route)}
    assert {c.kind for c in changes(new, old) if c.capability in gained} >= {"lost"}


@given(st.lists(st.sampled_from(WIDENINGS), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_widenings_do_not_hide_each_other(steps: list[tuple[str, Any]]) -> None:
    """Several steps at once: each family that one of them is in is among those that gain."""
    data = FULL
    for route, value in sorted(dict(steps).items(), reverse=True):  # items before the lists that they are in
        data = stepped(data, route, value)
    gained = {c.capability.partition(".")[0] for c in changes(load(FULL), load(data)) if c.kind == "gained"}
    assert gained == {family_of(route) for route, _ in steps}
