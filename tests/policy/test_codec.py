"""A policy as data and back: nothing is lost, nothing damaged is read."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.policy import codec
from sandbox.policy.codec import policy_from_data, policy_to_data
from tests.policy.policies import LINKED, POLICIES, load, load_text


@given(POLICIES)
@settings(deadline=None)
def test_a_policy_survives_the_way_through_json(data: dict[str, Any]) -> None:
    """What a cache gives back equals what was validated."""
    policy = load(data)
    assert policy_from_data(json.loads(json.dumps(policy_to_data(policy)))) == policy


def sealed(policy: Any) -> dict[str, Any]:
    """``policy`` with a digest that fits: what a program with a fault of its own might write."""
    return {"format": codec.FORMAT, "sha256": codec._digest(policy), "policy": policy}


def routes(data: Any, route: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every route of plain data but its root."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in items for found in ((*route, key), *routes(value, (*route, key)))]


DATA = policy_to_data(load_text(json.dumps(LINKED)))


def test_wires_survive_the_way_through_json() -> None:
    """Which component serves an import, in which instance, and what of it may be called."""
    assert policy_from_data(json.loads(json.dumps(DATA))) == load_text(json.dumps(LINKED))


def altered(route: tuple[str | int, ...], change: str, value: Any = None) -> dict[str, Any]:
    """``DATA``'s policy with the value at ``route`` removed or replaced."""
    data: Any = copy.deepcopy(DATA["policy"])
    place = data
    for part in route[:-1]:
        place = place[part]
    if change == "remove":
        del place[route[-1]]
    else:
        place[route[-1]] = value
    return sealed(data)


_KEYS = [route for route in routes(DATA["policy"]) if isinstance(route[-1], str) and route[0] != "places"]


@pytest.mark.parametrize("route", _KEYS, ids=lambda route: ".".join(map(str, route)))
def test_a_key_that_is_missing_is_an_error(route: tuple[str | int, ...]) -> None:
    """No default stands in for what was lost, whichever key it is."""
    with pytest.raises(ValueError, match=r"^a mapping has other keys than "):
        policy_from_data(altered(route, "remove"))


_FLAGS = ("hard_links", "private", "audit_all", "deterministic", "own")


@pytest.mark.parametrize("route", routes(DATA["policy"]), ids=lambda route: ".".join(map(str, route)))
def test_a_value_of_another_type_is_an_error(route: tuple[str | int, ...]) -> None:
    """Every value has its type checked: a boolean is no number, 1 is no boolean, a number no string."""
    for value in (True, 2.5, -1) if route[-1] not in _FLAGS else (1, None, "true"):
        if route[-1] in ("deadline", "connect_time") and value == 2.5:
            continue
        with pytest.raises(ValueError, match=r"."):
            policy_from_data(altered(route, "replace", value))


_SOCKETS = ("components", 0, "grants", "sockets")


@pytest.mark.parametrize(
    ("route", "value", "message"),
    [
        (("components", 0, "grants", "filesystem", 0, "access"), "all", "access is neither read nor write"),
        (("components", 0, "grants", "stdio", "stdin"), {"mode": "open", "path": None}, "a stream has an unknown mode"),
        (
            ("components", 0, "grants", "stdio", "stdin"),
            {"mode": "inherit", "path": "x"},
            "a stream has a path if and only if it is a file",
        ),
        (
            ("components", 0, "grants", "stdio", "stdin"),
            {"mode": "file", "path": None},
            "a stream has a path if and only if it is a file",
        ),
        (("components", 0, "grants", "clocks", "wall"), "slow", "a clock has an unknown mode"),
        (("components", 0, "grants", "environment", "set"), [["A"]], "a variable is not a name and a value"),
        (("components", 0, "limits", "memory"), 0, "a whole number of at least 1 is missing"),
        (("components", 0, "limits", "deadline"), -1.0, "deadline is no time"),
        (("components", 0, "limits", "deadline"), 60, "deadline is no time"),
        (("components", 0, "limits", "connect_time"), 0.0, "connect_time is no time"),
        ((*_SOCKETS, "connect", 0, "ports"), [1], "ports are not a first and a last one"),
        ((*_SOCKETS, "connect", 0, "ports"), [2, 1], "ports are not a first and a last one"),
        ((*_SOCKETS, "connect", 0, "ports"), None, "a list is missing"),
        ((*_SOCKETS, "send", 0, "ports"), [0, 1], "a whole number of at least 1 is missing"),
        ((*_SOCKETS, "deny", 1, "ports"), [1, 65536], "a whole number of at most 65535 is missing"),
        ((*_SOCKETS, "listen", 0, "port"), 65536, "a whole number of at most 65535 is missing"),
        ((*_SOCKETS, "connect", 0, "private"), 1, "a boolean is missing"),
        (("components", 1, "deterministic"), None, "a boolean is missing"),
        (("components", 0, "imports", 1, "own"), None, "a boolean is missing"),
        (("components", 0, "imports", 1, "only"), [], "a wire has an empty list of functions"),
        (("components", 0, "imports", 1, "only"), ["now", 1], "a string is missing"),
        (("run",), 1, "a string is missing"),
        (("places", "version"), [1], "a place is not a line and a column"),
        (
            ("components", 0, "extra"),
            1,
            "a mapping has other keys than name, source, digest, grants, limits, deterministic, imports",
        ),
    ],
)
def test_a_value_that_no_policy_has_is_an_error(route: tuple[str | int, ...], value: Any, message: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=r".") as caught:
        policy_from_data(altered(route, "replace", value))
    assert str(caught.value) == message


@given(st.sampled_from(routes(DATA["policy"])), st.none() | st.booleans() | st.integers() | st.text())
@settings(deadline=None)
def test_a_changed_value_is_found_by_the_digest(route: tuple[str | int, ...], value: Any) -> None:
    """Even a change to another valid value, a read to a write, is no policy."""
    data = altered(route, "replace", value)
    if data["sha256"] != DATA["sha256"]:
        with pytest.raises(ValueError, match=r"^the data is damaged: its digest differs$"):
            policy_from_data(data | {"sha256": DATA["sha256"]})


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
@settings(deadline=None)
def test_no_data_makes_reading_fail_otherwise(data: Any) -> None:
    """Anything that is no policy is a ``ValueError``."""
    for candidate in (data, {"format": codec.FORMAT, "sha256": "", "policy": data}):
        with pytest.raises(ValueError, match=r"."):
            policy_from_data(candidate)


@pytest.mark.parametrize("version", [0, 1, 2, 3, 5, True, 4.0, "4", None])
def test_data_of_another_format_is_an_error(version: object) -> None:
    """A later release must not read what this one means otherwise."""
    with pytest.raises(ValueError, match=r"^the data has another format$"):
        policy_from_data(DATA | {"format": version})


def test_reading_a_cached_policy_imports_neither_pydantic_nor_yaml() -> None:
    """The path of a repeated run stays short: the light modules pull in nothing heavy."""
    program = (
        "import sys, sandbox.policy.codec, sandbox.policy.file, sandbox.policy.errors, sandbox.policy.model\n"
        "print(sorted({'pydantic', 'yaml', 'structlog', 'wasmtime', 'difflib', 'ipaddress'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
