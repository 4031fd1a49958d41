"""The fields of an event: the published schema, the documented table and the documented example are the real ones."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]

from sandbox.audit import fields as audit_fields
from sandbox.audit.events import Event, Happening
from sandbox.audit.fields import FIELDS, NAME_CHARACTERS, TEXT_CHARACTERS, Form, clean, event_schema
from sandbox.audit.sink import open_path
from sandbox.audit.trail import Trail

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "audit.md").read_text()
SCHEMA_FILE = Path(audit_fields.__file__).with_name("event.schema.json")

FORMS: dict[Form, str] = {
    "name": "name",
    "text": "text",
    "exact": "text",
    "number": "integer",
    "seconds": "integer",
    "time": "time",
    "run": "`[A-Za-z0-9_-]{1,64}`",
    "digest": "`sha256:...`",
    "digest-or-empty": "`sha256:...`",
    "event-name": "name",
}


def test_every_attribute_of_an_event_has_one_field() -> None:
    """Nothing that an event holds is missing from its line, and nothing is there twice."""
    assert sorted(field.attribute for field in FIELDS if field.attribute is not None) == sorted(
        field.name for field in fields(Event)
    )
    assert len({field.key for field in FIELDS}) == len(FIELDS)


def test_the_published_schema_is_the_real_one() -> None:
    """The schema file is what the code says, and is itself a valid schema."""
    Draft202012Validator.check_schema(event_schema())
    assert SCHEMA_FILE.read_text() == json.dumps(event_schema(), indent=2) + "\n"


def test_the_documented_table_is_the_real_one() -> None:
    """The manual lists every field in the order of the line: its form, whether it is always there, its meaning."""
    rows = "\n".join(
        f"| `{field.key}` | {FORMS[field.form]} | {'always' if field.required else ''} | {field.meaning} |"
        for field in FIELDS
    )
    assert f"|---|---|---|---|\n{rows}\n\n" in MANUAL


def test_the_documented_example_is_real(tmp_path: Path) -> None:
    """The lines in the manual are what a run writes."""
    path = tmp_path / "trail.jsonl"
    times = iter([0.000815, 0.000934, 0.001027, 0.034150, 0.034188])
    policy_digest = "sha256:4d9c42c1ba5b9a4d6f1a1e0e5dd1a46dbcb17a2c1f4a7a7ba2cf4a5e3f3d8b1c"
    digest = "sha256:9f2c1d3b0a7e5f648192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8"
    with open_path(str(path)) as sink:
        trail = Trail(
            run="019c138a5c002f4be1d07a93",
            policy="policies/miner.yaml",
            policy_digest=policy_digest,
            digests={"miner": digest},
            limit=1,
            limit_line=9,
            sink=sink,
            clock=lambda: 1769860800 + next(times),
        )
        trail.record(
            Happening(
                name="denied",
                component="miner",
                capability="filesystem.read",
                reason="no grant holds this path",
                interface="wasi:filesystem/types@0.2.3",
                function="[method]descriptor.open-at",
                resource="/home/user/.ssh/id_ed25519",
                line=5,
                grant="filesystem:\n  - {host: /home/user/.ssh, guest: /home/user/.ssh, access: read}\n",
            )
        )
        for _ in range(2):
            trail.record(
                Happening(
                    name="denied",
                    component="miner",
                    capability="sockets.tcp.connect",
                    reason="no grant names this address",
                    interface="wasi:sockets/tcp@0.2.3",
                    function="[method]tcp-socket.start-connect",
                    resource="203.0.113.7:3333",
                    line=5,
                )
            )
        trail.close(
            Happening(name="ended", component="miner", capability="run", reason="the guest returned", exit_status=0)
        )
    assert f"```json\n{path.read_text()}```" in MANUAL


def spelled(text: str) -> str:
    """What a cleaned exact string stands for, by the manual's rule."""
    result, rest = "", text
    while rest:
        if rest[:2] == "\\\\":
            result, rest = result + "\\", rest[2:]
        elif rest[:2] == "\\x":
            result, rest = result + chr(0xDC00 + int(rest[2:4], 16)), rest[4:]
        elif rest[:2] == "\\u":
            result, rest = result + chr(int(rest[2:6], 16)), rest[6:]
        else:
            result, rest = result + rest[0], rest[1:]
    return result


HOSTILE = st.text(st.one_of(st.characters(codec=None), st.characters(categories=["Cs"]), st.sampled_from("\\xud0")))


@given(HOSTILE)
def test_two_names_never_look_the_same(text: str) -> None:
    """A cleaned name can be turned back into exactly what the guest named: no name can pass for another."""
    assert spelled(clean(text, "exact")) == text


@given(HOSTILE, st.integers(1, 300), st.sampled_from(["name", "text", "exact"]))
def test_cleaned_strings_are_bounded_and_valid(text: str, times: int, form: Form) -> None:
    """Any string becomes one within its bound that UTF-8 can hold; one that needs nothing stays as it is."""
    cleaned = clean(text * times, form)
    bound = NAME_CHARACTERS if form == "name" else TEXT_CHARACTERS
    assert len(cleaned) <= bound
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    if len(text * times) <= bound and "\\" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert cleaned == text * times
