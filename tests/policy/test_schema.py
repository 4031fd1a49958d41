"""The published JSON Schema: what loads is valid under it, what is plainly wrong is not."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings

from sandbox.policy import model
from sandbox.policy.errors import PolicyError
from sandbox.policy.limits import LimitsSection
from sandbox.policy.quantities import milliseconds_of, size_of
from sandbox.policy.schema import policy_schema
from tests.policy.policies import FULL, LINKED, POLICIES, load

SCHEMA = policy_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema_for_policies() -> None:
    """It is valid itself, says its dialect, has no id that an editor would try to fetch, and describes each key."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in SCHEMA
    for section in (SCHEMA, *SCHEMA["$defs"].values()):
        assert section["additionalProperties"] is False
        assert section["title"]
        assert section["description"]
        for key, field in section["properties"].items():
            assert (field["title"], field["description"] != "") == (key, True)


def test_imports_are_valid_under_the_schema() -> None:
    """In both their forms."""
    VALIDATOR.validate(LINKED)


@given(POLICIES)
@settings(deadline=None)
def test_every_policy_that_loads_is_valid_under_the_schema(data: dict[str, Any]) -> None:
    """An editor shows no error in a policy that the sandbox accepts."""
    load(data)
    VALIDATOR.validate(data)


_IMPORTS = ("components", "report", "imports")


@pytest.mark.parametrize(
    ("route", "value"),
    [
        (("version",), 2),
        (("version",), True),
        (("components",), {}),
        (("components", "Report"), {}),
        (("components", "report", "grants", "filesystem", 0, "access"), "rw"),
        (("components", "report", "grants", "filesystem", 0, "guest"), "in"),
        (("components", "report", "grants", "filesystem", 0, "guest"), "/in/"),
        (("components", "report", "grants", "filesystem", 0, "exclude"), []),
        (("components", "report", "grants", "filesystem", 1, "except", 0), "/a"),
        (("components", "report", "grants", "filesystem", 0, "host"), ""),
        (("components", "report", "grants", "filesystem", 0, "host"), "$HOME"),
        (("components", "report", "grants", "stdio", "stdin"), "capture"),
        (("components", "report", "grants", "stdio", "stdout"), None),
        (("components", "report", "grants", "environment", "set", "TZ"), 1),
        (("components", "report", "grants", "environment", "set", "A-B"), "1"),
        (("components", "report", "grants", "environment", "inherit", 0), "A=1"),
        (("components", "report", "grants", "arguments"), "none"),
        (("components", "report", "grants", "clocks"), "fast"),
        (("components", "report", "grants", "random"), {"seed": -1}),
        (("components", "report", "grants", "random"), {"seed": 2**64}),
        (("components", "report", "limits", "memory"), "64mib"),
        (("components", "report", "limits", "memory"), 1024),
        (("components", "report", "limits", "deadline"), 5),
        (("components", "report", "limits", "handles"), 3),
        (("components", "report", "grants", "sockets", "tcp", "connect", 0), 5432),
        (("components", "report", "grants", "sockets", "tcp", "connect", 1), {"to": "a.b:1", "public": False}),
        (("components", "report", "grants", "sockets", "audit"), "none"),
        (("components", "report", "limits", "connect-time"), 10),
        (("components", "report", "limits", "lookups"), 0),
        (("components", "report", "digest"), "sha256:12"),
        (("run",), "Report"),
        (("run",), None),
        ((*_IMPORTS, "clock"), "auth"),
        ((*_IMPORTS, "wasi:clocks/wall-clock"), "auth"),
        ((*_IMPORTS, "a:b/c@1.0"), "auth"),
        ((*_IMPORTS, "a:b/c@1.00.0"), "auth"),
        ((*_IMPORTS, "a:b/c"), None),
        ((*_IMPORTS, "a:b/c"), {"instance": "own"}),
        ((*_IMPORTS, "a:b/c"), {"component": "auth", "instance": "new"}),
        ((*_IMPORTS, "a:b/c"), {"component": "auth", "only": []}),
        ((*_IMPORTS, "a:b/c"), {"component": "auth", "only": None}),
        ((*_IMPORTS, "a:b/c"), {"component": "auth", "only": ["a", "a"]}),
        ((*_IMPORTS, "a:b/c"), {"component": "auth", "only": ["a_b"]}),
        ((*_IMPORTS, "a:b/c"), {"component": "auth", "except": ["a"]}),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(route: tuple[str | int, ...], value: Any) -> None:
    """An editor shows the common mistakes while they are made."""
    data: Any = copy.deepcopy(FULL)
    place = data
    for part in route[:-1]:
        place = place[part]
    place[route[-1]] = value
    assert not VALIDATOR.is_valid(data)
    with pytest.raises(PolicyError):
        load(data)


def test_numbers_with_underscores_are_valid_in_an_editor() -> None:
    """Editors that follow YAML 1.2 to the letter see ``2_000`` as a string, and must not mark it."""
    data: Any = copy.deepcopy(FULL)
    data["components"]["report"]["limits"] |= {"fuel": "2_000_000", "memory": "67_108_864", "events": "1_000"}
    VALIDATOR.validate(data)


def test_the_defaults_in_the_descriptions_are_the_defaults() -> None:
    """What an editor shows as the default is what a policy without the key gets."""
    told = {key: str(field.description).rpartition("Default: ")[2] for key, field in LimitsSection.model_fields.items()}
    limits = model.Limits()
    assert told.pop("fuel") == "not counted."
    assert limits.fuel is None
    times = {key: milliseconds_of(told.pop(key).rstrip(".")) / 1000 for key in ("deadline", "connect_time")}
    assert times == {key: getattr(limits, key) for key in times}
    sizes = {
        key: size_of(told.pop(key).rstrip("."))
        for key in ("memory", "output", "disk", "sent", "received", "lookup_bytes")
    }
    assert sizes == {key: getattr(limits, key) for key in sizes}
    assert told == {key: f"{getattr(limits, key)}." for key in ("handles", "sockets", "lookups", "events")}
