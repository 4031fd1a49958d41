"""No field of the language is accepted and ignored: each one changes the policy, or refuses it."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest

from sandbox.policy import model
from sandbox.policy.component import PolicySection
from sandbox.policy.errors import PolicyError
from sandbox.policy.load import _arms, _fields
from sandbox.policy.section import Section
from tests.policy.policies import DIGEST, FULL, LINKED, load, load_text

_REPORT = ("components", "report")
_GRANTS = (*_REPORT, "grants")
_SOCKETS = (*_GRANTS, "sockets")
_IMPORTS = (*_REPORT, "imports")
_IMPORT = (*_IMPORTS, "cyber:payments/auth@1.0.0")

CHANGES: dict[tuple[str, str], tuple[tuple[str | int, ...], Any]] = {
    ("PolicySection", "components"): (("components",), {"report": {}}),
    ("PolicySection", "run"): (("run",), "auth"),
    ("ComponentSection", "source"): ((*_REPORT, "source"), "other.wasm"),
    ("ComponentSection", "digest"): ((*_REPORT, "digest"), DIGEST.replace("0", "1")),
    ("ComponentSection", "grants"): (_GRANTS, {}),
    ("ComponentSection", "limits"): ((*_REPORT, "limits"), {}),
    ("ComponentSection", "deterministic"): ((*_REPORT, "deterministic"), False),
    ("GrantsSection", "filesystem"): ((*_GRANTS, "filesystem"), []),
    ("GrantsSection", "stdio"): ((*_GRANTS, "stdio"), {}),
    ("GrantsSection", "environment"): ((*_GRANTS, "environment"), {}),
    ("GrantsSection", "arguments"): ((*_GRANTS, "arguments"), "inherit"),
    ("GrantsSection", "clocks"): ((*_GRANTS, "clocks"), "frozen"),
    ("GrantsSection", "random"): ((*_GRANTS, "random"), "secure"),
    ("DirectorySection", "host"): ((*_GRANTS, "filesystem", 0, "host"), "other"),
    ("DirectorySection", "guest"): ((*_GRANTS, "filesystem", 0, "guest"), "/other"),
    ("DirectorySection", "access"): ((*_GRANTS, "filesystem", 0, "access"), "write"),
    ("DirectorySection", "except"): ((*_GRANTS, "filesystem", 1, "except"), ["other"]),
    ("DirectorySection", "hard-links"): ((*_GRANTS, "filesystem", 0, "hard-links"), "refuse"),
    ("StdioSection", "stdin"): ((*_GRANTS, "stdio", "stdin"), "discard"),
    ("StdioSection", "stdout"): ((*_GRANTS, "stdio", "stdout"), "closed"),
    ("StdioSection", "stderr"): ((*_GRANTS, "stdio", "stderr"), "inherit"),
    ("FileStreamSection", "file"): ((*_GRANTS, "stdio", "stderr", "file"), "other.txt"),
    ("EnvironmentSection", "set"): ((*_GRANTS, "environment", "set", "TZ"), "CET"),
    ("EnvironmentSection", "inherit"): ((*_GRANTS, "environment", "inherit", 0), "LC_ALL"),
    ("InheritedVariableSection", "name"): ((*_GRANTS, "environment", "inherit", 1, "name"), "USER"),
    ("InheritedVariableSection", "default"): ((*_GRANTS, "environment", "inherit", 1, "default"), "/root"),
    ("ClocksSection", "wall"): ((*_GRANTS, "clocks", "wall"), "frozen"),
    ("ClocksSection", "monotonic"): ((*_GRANTS, "clocks", "monotonic"), "frozen"),
    ("SeedSection", "seed"): ((*_GRANTS, "random", "seed"), 8),
    ("GrantsSection", "sockets"): (_SOCKETS, {}),
    ("SocketsSection", "tcp"): ((*_SOCKETS, "tcp"), {}),
    ("SocketsSection", "udp"): ((*_SOCKETS, "udp"), {}),
    ("SocketsSection", "dns"): ((*_SOCKETS, "dns"), ["**.a.b"]),
    ("SocketsSection", "deny"): ((*_SOCKETS, "deny"), ["10.9.0.0/16", "*.a.b:1"]),
    ("SocketsSection", "audit"): ((*_SOCKETS, "audit"), "refusals"),
    ("TcpSection", "connect"): ((*_SOCKETS, "tcp", "connect"), ["[2001:db8::/32]:1-2"]),
    ("TcpSection", "listen"): ((*_SOCKETS, "tcp", "listen"), ["127.0.0.2:8081"]),
    ("UdpSection", "send"): ((*_SOCKETS, "udp", "send"), ["10.0.0.1:53"]),
    ("UdpSection", "bind"): ((*_SOCKETS, "udp", "bind"), ["[::1]:53"]),
    ("PeerSection", "to"): ((*_SOCKETS, "tcp", "connect", 1, "to"), "a.b:1"),
    ("PeerSection", "private"): ((*_SOCKETS, "tcp", "connect", 1, "private"), False),
    ("LimitsSection", "memory"): ((*_REPORT, "limits", "memory"), "65MiB"),
    ("LimitsSection", "deadline"): ((*_REPORT, "limits", "deadline"), "6s"),
    ("LimitsSection", "fuel"): ((*_REPORT, "limits", "fuel"), 1),
    ("LimitsSection", "output"): ((*_REPORT, "limits", "output"), 1),
    ("LimitsSection", "handles"): ((*_REPORT, "limits", "handles"), 101),
    ("LimitsSection", "disk"): ((*_REPORT, "limits", "disk"), 1),
    ("LimitsSection", "sockets"): ((*_REPORT, "limits", "sockets"), 9),
    ("LimitsSection", "sent"): ((*_REPORT, "limits", "sent"), 1),
    ("LimitsSection", "received"): ((*_REPORT, "limits", "received"), 1),
    ("LimitsSection", "connect-time"): ((*_REPORT, "limits", "connect-time"), "3s"),
    ("LimitsSection", "lookups"): ((*_REPORT, "limits", "lookups"), 4),
    ("LimitsSection", "lookup-bytes"): ((*_REPORT, "limits", "lookup-bytes"), 1),
    ("LimitsSection", "events"): ((*_REPORT, "limits", "events"), 11),
}
"""For each enforced key: another value for it in ``FULL``, which must make another policy."""

WIRES: dict[tuple[str, str], tuple[tuple[str | int, ...], Any]] = {
    ("ComponentSection", "imports"): (_IMPORTS, {"cyber:payments/ledger@1.0.0": "clock"}),
    ("ImportSection", "component"): ((*_IMPORT, "component"), "auth2"),
    ("ImportSection", "instance"): ((*_IMPORT, "instance"), "shared"),
    ("ImportSection", "only"): ((*_IMPORT, "only"), ["now"]),
}
"""The same for the keys of imports, in ``LINKED``."""

_NO_HTTP = (
    "components.report.grants.http: http is not enforced yet, so this grant is refused rather than ignored: "
    "remove it, and the guest is refused every request"
)

REFUSALS: dict[tuple[str, str], tuple[tuple[str | int, ...], Any, str]] = {
    ("PolicySection", "version"): (
        ("version",),
        2,
        "version: must be 1, the only version of the language, not the number 2",
    ),
    ("GrantsSection", "http"): ((*_GRANTS, "http"), ["GET https://a.example/"], _NO_HTTP),
}
"""For each key that is refused: a valid value, and all that is said about it."""


def sections(annotation: Any, found: dict[str, type[Section]]) -> dict[str, type[Section]]:
    """Every section of the language that can be reached from ``annotation``, by name."""
    for arm in _arms(annotation):
        if get_origin(arm) in (dict, list):
            for part in get_args(arm):
                sections(part, found)
        elif isinstance(arm, type) and issubclass(arm, Section) and arm.__name__ not in found:
            found[arm.__name__] = arm
            for field in _fields(arm).values():
                sections(field, found)
    return found


def changed(route: tuple[str | int, ...], value: Any, data: Any = FULL) -> Any:
    """``data`` with another value at ``route``."""
    data = copy.deepcopy(data)
    place = data
    for part in route[:-1]:
        place = place[part]
    place[route[-1]] = value
    return data


def test_each_key_of_the_language_is_in_one_of_the_tables() -> None:
    """A key that is added to the models must come with a proof that it is enforced or refused."""
    keys = {(name, key) for name, section in sections(PolicySection, {}).items() for key in _fields(section)}
    assert sorted(keys) == sorted({*CHANGES, *WIRES, *REFUSALS})


@pytest.mark.parametrize(("section", "key"), CHANGES)
def test_another_value_makes_another_policy(section: str, key: str) -> None:
    """What is written reaches the frozen policy."""
    assert said(load(changed(*CHANGES[section, key]))) != said(load(FULL))


@pytest.mark.parametrize(("section", "key"), WIRES)
def test_another_value_makes_another_program(section: str, key: str) -> None:
    """What is written of imports reaches the frozen policy, where it is not refused."""
    assert said(linked(changed(*WIRES[section, key], LINKED))) != said(linked(LINKED))


def said(policy: model.Policy) -> model.Policy:
    """``policy`` without what tells of its text."""
    return dataclasses.replace(policy, digest="", places={})


def linked(data: Any) -> model.Policy:
    return load_text(json.dumps(data))


@pytest.mark.parametrize(("section", "key"), REFUSALS)
def test_what_is_not_enforced_is_refused_with_one_sentence(section: str, key: str) -> None:
    """A valid grant that nothing enforces yet is an error, never ignored."""
    route, value, message = REFUSALS[section, key]
    with pytest.raises(PolicyError) as caught:
        load(changed(route, value))
    assert [f"{fault.route}: {fault.message}" for fault in caught.value.faults] == [message]


def test_each_field_of_the_frozen_policy_comes_from_a_key() -> None:
    """Every field of every value in a policy takes more than one value over the changes above."""
    seen: dict[tuple[str, str], set[Any]] = {}
    policies = [load(changed(route, value)) for route, value in CHANGES.values()]
    policies += [linked(changed(route, value, LINKED)) for route, value in WIRES.values()]
    for component in (component for policy in policies for component in policy.components):
        for part in values(component):
            for field in dataclasses.fields(part):
                seen.setdefault((type(part).__name__, field.name), set()).add(getattr(part, field.name))
    kinds = [kind for kind in vars(model).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]
    fields = {(kind.__name__, field.name) for kind in kinds for field in dataclasses.fields(kind)}
    of_the_file = {field for field in fields if field[0] in ("Policy", "Place")}
    assert sorted(field for field, found in seen.items() if len(found) > 1) == sorted(fields - of_the_file)


def values(value: Any) -> Iterator[Any]:
    """Every frozen value below ``value``, itself included."""
    if isinstance(value, tuple):
        for item in value:
            yield from values(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from values(getattr(value, field.name))
