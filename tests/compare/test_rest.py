"""Streams, variables, arguments, clocks, random numbers, limits, and which binary it is."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from sandbox.compare import rest
from sandbox.policy.model import Limits, Wire
from tests.compare.pairs import changes, granted, policy, said

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("stream", "old", "new", "expected"),
    [
        ("stdin", None, "inherit", ["gained: can now read the caller's standard input"]),
        ("stdin", "closed", {"file": "x"}, ["gained: can now read x as standard input"]),
        ("stdout", "discard", "inherit", ["gained: can now write the caller's standard output"]),
        ("stdout", None, "capture", ["gained: can now write standard output, which is captured"]),
        ("stderr", "inherit", None, ["lost: can no longer write the caller's standard error"]),
        (
            "stderr",
            {"file": "x"},
            {"file": "y"},
            ["gained: can now write y as standard error", "lost: can no longer write x as standard error"],
        ),
        ("stderr", {"file": "x"}, {"file": "./a/../x"}, []),
        (
            "stdout",
            "inherit",
            "capture",
            [
                "gained: can now write standard output, which is captured",
                "lost: can no longer write the caller's standard output",
            ],
        ),
        ("stdout", None, "closed", []),
        (
            "stdout",
            None,
            "discard",
            ["changed: finds that standard output is thrown away, which is no refusal any more"],
        ),
        ("stdin", "discard", "closed", ["changed: finds that standard input is at its end, which is a refusal now"]),
    ],
)
def test_streams(stream: str, old: Any, new: Any, expected: list[str]) -> None:
    """A stream reaches somebody, or nobody, and each that it reaches is one it can reach more."""
    sides = [{} if side is None else {"stdio": {stream: side}} for side in (old, new)]
    assert [line.replace(f" stdio.{stream}", "") for line in granted(*sides)] == expected


def variables(set_: dict[str, str], *inherit: Any) -> dict[str, Any]:
    return {"environment": {"set": set_, "inherit": list(inherit)}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, variables({"A": "secret"}), ["gained: is now given the variable A"]),
        (variables({"A": "secret"}), {}, ["lost: is no longer given the variable A"]),
        ({}, variables({}, "A"), ["gained: can now read the caller's variable A"]),
        (variables({}, "A"), variables({}), ["lost: can no longer read the caller's variable A"]),
        (
            variables({"A": "secret"}),
            variables({}, "A"),
            ["gained: can now read the caller's variable A, which was set"],
        ),
        (
            variables({}, "A"),
            variables({"A": "secret"}),
            ["lost: can no longer read the caller's variable A, which is set now"],
        ),
        (
            variables({"A": "secret"}),
            variables({"A": "other"}),
            ["changed: finds another value in the variable A"],
        ),
        (
            variables({}, "A"),
            variables({}, {"name": "A", "default": "secret"}),
            ["changed: finds another default of the caller's variable A"],
        ),
        (variables({"A": "1", "B": "2"}, "C", "D"), variables({"B": "2", "A": "1"}, "D", "C"), []),
        ({}, variables({}), ["changed: finds an empty environment, which is no refusal any more"]),
        (variables({}), {}, ["changed: finds an empty environment, which is a refusal now"]),
    ],
)
def test_environment(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """Variables are told by name, never by value."""
    assert [line.replace(" environment", "", 1) for line in granted(old, new)] == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, [], ["gained: is now given arguments that the policy fixes"]),
        (None, "inherit", ["gained: can now be given arguments by its caller"]),
        (["a"], "inherit", ["gained: can now be given arguments by its caller, which were fixed"]),
        ("inherit", ["a"], ["lost: can no longer be given arguments by its caller, which are fixed now"]),
        ("inherit", None, ["lost: can no longer be given arguments by its caller"]),
        (["a"], None, ["lost: is no longer given arguments that the policy fixes"]),
        (["a"], ["b"], ["changed: is given other arguments"]),
        (["a"], ["a"], []),
    ],
)
def test_arguments(old: Any, new: Any, expected: list[str]) -> None:
    """None are less than fixed ones, those less than whatever the caller says."""
    sides = [{} if side is None else {"arguments": side} for side in (old, new)]
    assert [line.replace(" arguments", "", 1) for line in granted(*sides)] == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, "real", ["gained: can now read the wall clock"]),
        ("frozen", "coarse", ["gained: can now read the wall clock coarsely"]),
        ("coarse", "real", ["gained: can now read the wall clock precisely"]),
        ("real", "coarse", ["lost: can no longer read the wall clock precisely"]),
        ("real", "frozen", ["lost: can no longer read the wall clock"]),
        (None, "frozen", ["changed: finds that the wall clock stands still, which is no refusal any more"]),
        ("frozen", None, ["changed: finds that the wall clock stands still, which is a refusal now"]),
    ],
)
def test_clocks(old: Any, new: Any, expected: list[str]) -> None:
    """A clock that stands still is none, a coarse one less than a real one."""
    sides = [{"clocks": {} if side is None else {"wall": side}} for side in (old, new)]
    assert [line.replace(" clocks.wall", "") for line in granted(*sides)] == expected


def test_one_word_for_both_clocks() -> None:
    """Each clock is a capability of its own."""
    assert granted({"clocks": {"wall": "real"}}, {"clocks": "real"}) == [
        "gained clocks.monotonic: can now read the monotonic clock"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, "secure", ["gained random.secure: can now take secure random numbers"]),
        (None, "seeded", ["gained random.insecure: can now take seeded random numbers"]),
        ("seeded", "secure", ["gained random.secure: can now take secure random numbers"]),
        ("secure", {"seed": 1}, ["lost random.secure: can no longer take secure random numbers"]),
        ({"seed": 1}, None, ["lost random.insecure: can no longer take seeded random numbers"]),
        ("seeded", {"seed": 1}, ["changed random.insecure: takes random numbers from another seed"]),
        ("seeded", {"seed": 0}, []),
    ],
)
def test_random(old: Any, new: Any, expected: list[str]) -> None:
    """Numbers that follow from a seed are less than those that nobody can know."""
    sides = [{} if side is None else {"random": side} for side in (old, new)]
    assert granted(*sides) == expected


@pytest.mark.parametrize(
    ("limit", "old", "new", "expected"),
    [
        ("memory", "64MiB", "128MiB", "gained limits.memory: may use 128 MiB of memory, was 64 MiB"),
        ("memory", "1GiB", None, "lost limits.memory: may use 512 MiB of memory, no longer 1 GiB"),
        ("deadline", "5s", "500ms", "lost limits.deadline: may run for 0.5 s, no longer 5 s"),
        ("fuel", 1000, None, "gained limits.fuel: may use any amount of fuel, was 1,000 units"),
        ("fuel", None, 1000, "lost limits.fuel: may use 1,000 units of fuel, no longer any amount"),
        ("output", "0B", "1001B", "gained limits.output: may write 1,001 bytes of output, was 0 bytes"),
        ("handles", 100, 101, "gained limits.handles: may hold 101 handles open, was 100"),
        ("disk", 0, "2TiB", "gained limits.disk: may write 2 TiB to files, was 0 bytes"),
        ("sockets", 1, 2, "gained limits.sockets: may hold 2 sockets open, was 1"),
        ("sent", 1, "1KiB", "gained limits.sent: may send 1 KiB over sockets, was 1 bytes"),
        ("received", "2MiB", 0, "lost limits.received: may receive 0 bytes over sockets, no longer 2 MiB"),
        (
            "connect-time",
            "1s",
            "2s",
            "gained limits.connect-time: may take 2 s to connect or to look up a name, was 1 s",
        ),
        ("lookups", 3, 30, "gained limits.lookups: may look up 30 names a second, was 3"),
        ("lookup-bytes", 1, 2048, "gained limits.lookup-bytes: may look up 2 KiB of names, was 1 bytes"),
        ("events", 1, 2, "changed limits.events: has 2 refusals recorded one by one, was 1"),
    ],
)
def test_limits(limit: str, old: Any, new: Any, expected: str) -> None:
    """A bound that is raised is a gain, in the units of people; how much is recorded is neither."""
    sides = [{"limits": {} if side is None else {limit: side}} for side in (old, new)]
    assert said(*sides) == [expected]


def test_every_limit_is_compared() -> None:
    """None of the model's limits is left out."""
    assert {*rest._LIMITS, "events"} == {field.name.replace("_", "-") for field in fields(Limits)}


A, B = "bank:payments/auth", "bank:payments/auth@1.0.0"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((), (Wire(interface=A, component="x"),), [f"gained: can now call every function of {A} of the component x"]),
        (
            (Wire(interface=A, component="x", only=("f", "g")),),
            (Wire(interface=A, component="x", only=("h", "g")),),
            [
                f"gained: can now call h of {A} of the component x",
                f"lost: can no longer call f of {A} of the component x",
            ],
        ),
        ((Wire(interface=A, component="x"),), (Wire(interface=A, component="x", only=()),), None),
        ((Wire(interface=A, component="x"),), (Wire(interface=B, component="x", only=("f",)),), None),
        (
            (Wire(interface=B, component="x"),),
            (Wire(interface=A, component="x"),),
            [f"gained: can now call every function of {A} of the component x"],
        ),
        (
            (Wire(interface=A, component="x"),),
            (Wire(interface=A, component="y"),),
            [
                f"gained: can now call every function of {A} of the component y",
                f"lost: can no longer call every function of {A} of the component x",
            ],
        ),
        (
            (Wire(interface=A, component="x", own=True),),
            (Wire(interface=A, component="x"),),
            ["gained: now shares its instance of the component x with others"],
        ),
        (
            (Wire(interface=A, component="x"),),
            (Wire(interface=A, component="x", own=True),),
            ["lost: no longer shares its instance of the component x with others"],
        ),
    ],
)
def test_imports(old: tuple[Wire, ...], new: tuple[Wire, ...], expected: list[str] | None) -> None:
    """Functions of another component are a capability each; an instance that others share leads to them. ``None``:
    nothing is gained.
    """
    sides = [policy({}, "old.yaml"), policy({})]
    before, after = (
        replace(side, components=(replace(side.components[0], imports=wires),))
        for side, wires in zip(sides, (old, new), strict=True)
    )
    found = [f"{c.kind}: {c.text}" for c in changes(before, after) if expected is not None or c.kind == "gained"]
    assert found == (expected or [])
    assert changes(after, after) == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            {"digest": DIGEST},
            {},
            ["gained component: may now be any binary: its digest is not pinned any more"],
        ),
        ({}, {"digest": DIGEST}, ["lost component: is now pinned to one binary"]),
        ({"digest": DIGEST}, {"digest": OTHER}, ["changed component: is pinned to another binary"]),
        ({"source": "a.wasm"}, {"source": "./x/../a.wasm"}, []),
        ({"source": "a.wasm"}, {"source": "b.wasm"}, ["changed component: is b.wasm (was a.wasm)"]),
        ({}, {"source": "b.wasm"}, ["changed component: is b.wasm (had none)"]),
        ({"source": "b.wasm"}, {}, ["changed component: is named by no file (was b.wasm)"]),
        ({"deterministic": True}, {}, ["changed component: is no longer declared deterministic"]),
        ({}, {"deterministic": True}, ["changed component: is now declared deterministic"]),
    ],
)
def test_the_binary(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """A pin that is gone lets any binary run; another one is another component, neither more nor less."""
    assert said(old, new) == expected


def test_places() -> None:
    """What was gained or changed is where the new policy says it, what was lost where the old one did."""
    old = policy({"source": "a.wasm", "limits": {"memory": "2MiB", "disk": "2MiB"}}, "old.yaml")
    new = policy({"source": "b.wasm", "limits": {"disk": "1MiB", "memory": "4MiB"}})
    assert [(c.kind, c.capability, c.file, c.line, c.column) for c in changes(old, new)] == [
        ("gained", "limits.memory", "new.yaml", 8, 5),
        ("lost", "limits.disk", "old.yaml", 8, 5),
        ("changed", "component", "new.yaml", 5, 4),
    ]
