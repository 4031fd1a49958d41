"""Reading trails back, honest ones and hostile ones."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]

from sandbox.audit.events import Event
from sandbox.audit.fields import FIELDS, LINE_BYTES, event_schema, record
from sandbox.audit.read import TrailError, lines_of, read_trail

DIGEST = "sha256:" + "0" * 64
DENIED = Event(
    name="denied",
    time="2026-01-31T12:00:00.000000Z",
    run="r",
    sequence=1,
    component="report",
    component_digest=DIGEST,
    policy="policy.yaml",
    policy_digest=DIGEST,
    policy_line=3,
    capability="filesystem.read",
    interface="wasi:filesystem/types@0.2.3",
    function="[method]descriptor.open-at",
    resource="/etc/passwd",
    resolved="/tmp/decoy/etc/passwd",
    reason="no grant holds this path",
    grant="filesystem: []",
)
SCHEMA = Draft202012Validator(event_schema())


def a_line(**changes: object) -> bytes:
    """The line of ``DENIED`` with fields changed, and those that become ``None`` left out."""
    values = {key: value for key, value in {**record(DENIED), **changes}.items() if value is not None}
    return json.dumps(values).encode() + b"\n"


def test_events_are_read_in_their_order() -> None:
    """Lines become events, as bytes or as text; blank lines are nothing."""
    assert list(read_trail([a_line(), b"\n", b"\r\n", a_line(sequence=2).decode()])) == [
        DENIED,
        Event(**{name: getattr(DENIED, name) for name in Event.__slots__} | {"sequence": 2}),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"nonsense\n", "not JSON: Expecting value at column 1"),
        (b"[1]\n", "not a JSON object"),
        (b'{"a":1}{"a":2}\n', "not JSON: Extra data at column 8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"version":1,"version":1}', "a field is there twice"),
        (b'{"version":NaN}', "not an integer: 'NaN'"),
        (b'{"version":1.0}', "not an integer: '1.0'"),
        (b'{"version":"\n"}', "not JSON: Invalid control character at at column 13"),
        ('{"é":1}'.encode(), "not ASCII"),
        ('{"é":1}', "not ASCII"),
        (b"x" * (LINE_BYTES + 1), "longer than 311296 bytes"),
        (a_line(extra="\x1b"), "'extra': no field of this format"),
        (a_line(version=2), "version: not between 1 and 1"),
        (a_line(version=True), "version: not an integer"),
        (a_line(version=None), "version: missing"),
        (a_line(sequence=0), "sequence: not between 1 and 9007199254740991"),
        (a_line(sequence="1"), "sequence: not an integer"),
        (a_line(component=[1]), "component: not a string"),
        (a_line(component="c" * 257), "component: longer than 256 characters"),
        (a_line(component_path=["app"]), "component_path: not a string"),
        (a_line(component_path="c" * 4097), "component_path: longer than 4096 characters"),
        (a_line(resource="\ud800"), "resource: holds a lone surrogate"),
        (a_line(event_name="granted"), "event_name: not of the form denied|allowed|limit|folded|refused|ended"),
        (a_line(event_name="allowed"), "decision: not allow, as it is for allowed"),
        (
            a_line(event_name="allowed", decision="allow", sent_bytes=-1),
            "sent_bytes: not between 0 and 9007199254740991",
        ),
        (a_line(event_name="allowed", decision="allow", sent_bytes=1.5), "not an integer: '1.5'"),
        (
            a_line(event_name="allowed", decision="allow", duration_us=10**15 + 1),
            "duration_us: not between 0 and 1000000000000000",
        ),
        (a_line(sent_bytes=0), "sent_bytes: not absent, as it is for denied"),
        (a_line(event_name="limit", received_bytes=0), "received_bytes: not absent, as it is for limit"),
        (a_line(event_name="folded", duration_us=0), "duration_us: not absent, as it is for folded"),
        (a_line(run_id="a b"), "run_id: not of the form [A-Za-z0-9_-]{1,64}"),
        (a_line(component_digest="sha256:0"), "component_digest: not of the form sha256:[0-9a-f]{64}"),
        (a_line(decision="allow"), "decision: not deny, as it is for denied"),
        (a_line(decision=None), "decision: not deny, as it is for denied"),
        (a_line(event_name="ended"), "decision: not absent, as it is for ended"),
        (a_line(count=2), "count: not 1, as it is for denied"),
        (a_line(**{"process.exit.code": 0}), "process.exit.code: not absent, as it is for denied"),
    ],
)
def test_what_is_no_event(line: bytes | str, message: str) -> None:
    """A line that is not exactly an event is an error with its number and a reason; the events before it are read."""
    events = read_trail([a_line(), b"\n", line])
    assert next(events) == DENIED
    with pytest.raises(TrailError) as caught:
        next(events)
    assert str(caught.value) == f"line 3: {message}"
    assert caught.value.line == 3


def test_a_file_without_an_end_of_line_is_not_read_whole() -> None:
    """One line of a gigabyte costs no more than the longest line that there can be."""

    class Endless(io.RawIOBase):
        served = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            view = memoryview(buffer)  # type: ignore[arg-type]
            view[:] = b"x" * len(view)
            self.served += len(view)
            return len(view)

    endless = Endless()
    with pytest.raises(TrailError, match=r"\Aline 1: longer than 311296 bytes\Z"):
        next(read_trail(lines_of(io.BufferedReader(endless))))
    assert endless.served < 2 * LINE_BYTES


def test_a_path_in_a_composition_is_read_back() -> None:
    """A line may say where its component was; one that does not, as none did before, is of a component alone."""
    composed = replace(DENIED, path="app>ledger>report")
    lines = [json.dumps(record(event)) for event in (composed, DENIED)]
    assert list(read_trail(lines)) == [composed, DENIED]
    values = [json.loads(line) for line in lines]
    assert [SCHEMA.is_valid(value) for value in values] == [True, True]
    assert values[0] == values[1] | {"component_path": "app>ledger>report"}
    assert DENIED.path is None


def test_what_was_allowed_is_read_back() -> None:
    """Bytes and time of an allowed use, and of the sum of several, survive the way through a line."""
    one = replace(DENIED, name="allowed", grant=None, sent=0, received=2**53 - 1, seconds=1.25)
    several = replace(one, sequence=2, count=7, sent=None, seconds=None)
    lines = [json.dumps(record(event)) for event in (one, several)]
    assert list(read_trail(lines)) == [one, several]
    assert [SCHEMA.is_valid(json.loads(line)) for line in lines] == [True, True]
    values = json.loads(lines[0])
    assert [values[key] for key in ("decision", "count", "sent_bytes", "received_bytes", "duration_us")] == [
        "allow",
        1,
        0,
        2**53 - 1,
        1_250_000,
    ]


@given(st.integers(0, 10**15))
def test_a_duration_is_exact(microseconds: int) -> None:
    """Every duration that a line can hold is written back as it was read."""
    line = a_line(event_name="allowed", decision="allow", duration_us=microseconds)
    assert record(next(read_trail([line])))["duration_us"] == microseconds


@given(st.lists(st.one_of(st.binary(), st.text())))
def test_nothing_but_an_error_comes_of_nonsense(lines: list[bytes | str]) -> None:
    """Any bytes and any text are blank lines or an error, never an event and never another exception."""
    try:
        events = list(read_trail(lines))
    except TrailError:
        return
    assert events == []


VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**54),
    st.text(max_size=5),
    st.sampled_from(
        [
            "deny",
            "allow",
            "allowed",
            "ended",
            "folded",
            "limit",
            "",
            DIGEST,
            "2026-13-01T00:00:00.000000Z",
            "x" * 257,
            "x" * 4097,
        ]
    ),
    st.lists(st.integers(), max_size=1),
)


@given(
    st.sampled_from([{}, {"event_name": "allowed", "decision": "allow"}]),
    st.dictionaries(st.sampled_from([field.key for field in FIELDS]), VALUES, max_size=3),
)
def test_what_is_read_is_valid_and_written_back_the_same(base: dict[str, object], changes: dict[str, object]) -> None:
    """Reader and schema agree on events that were tampered with, and what was read is written as it was."""
    line = a_line(**base | changes)
    try:
        event = next(read_trail([line]))
    except TrailError:
        assert not SCHEMA.is_valid(json.loads(line))
        return
    assert SCHEMA.is_valid(json.loads(line))
    assert record(event) == json.loads(line)


@pytest.mark.parametrize("mutate", [bytes.upper, lambda line: line[:-3], lambda line: line.replace(b":", b";")])
def test_mutilated_lines(mutate: Callable[[bytes], bytes]) -> None:
    """A line that lost its end or its form is no event."""
    with pytest.raises(TrailError, match=r"\Aline 1: "):
        next(read_trail([mutate(a_line())]))
