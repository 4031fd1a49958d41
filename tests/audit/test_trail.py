"""The trail of one run: numbers, dates, bounds and folds."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.events import Event, EventName, Happening
from sandbox.audit.sink import Sink, SinkError
from sandbox.audit.trail import FOLD_KEYS, REFUSED_EVENTS, Trail, new_run

DIGEST = "sha256:" + "c" * 64
POLICY_DIGEST = "sha256:" + "d" * 64
NOON = 1767268800.0  # 2026-01-01T12:00:00Z


def a_trail(limit: int = 10, sink: Sink | None = None, limit_line: int | None = None) -> Trail:
    return Trail(
        run="run-1",
        policy="policy.yaml",
        policy_digest=POLICY_DIGEST,
        digests={"miner": DIGEST, "report": None},
        limit=limit,
        limit_line=limit_line,
        sink=sink,
        clock=lambda: NOON,
    )


def a_denial(
    resource: str = "/etc/passwd",
    *,
    component: str = "miner",
    path: str | None = None,
    capability: str = "filesystem.read",
    function: str | None = "[method]descriptor.open-at",
    time: float | None = None,
) -> Happening:
    return Happening(
        name="denied",
        component=component,
        path=path,
        capability=capability,
        reason="no grant holds this path",
        interface="wasi:filesystem/types@0.2.3",
        function=function,
        resource=resource,
        line=6,
        time=time,
    )


def the_end(status: int = 0) -> Happening:
    return Happening(name="ended", component="miner", capability="run", reason="it returned", exit_status=status)


def an_event(name: EventName, sequence: int, capability: str, reason: str, **more: object) -> Event:
    known = Event(
        name=name,
        time="2026-01-01T12:00:00.000000Z",
        run="run-1",
        sequence=sequence,
        component="miner",
        component_digest=DIGEST,
        policy="policy.yaml",
        policy_digest=POLICY_DIGEST,
        policy_line=None,
        capability=capability,
        interface=None,
        function=None,
        resource=None,
        resolved=None,
        reason=reason,
        grant=None,
    )
    return replace(known, **more)  # type: ignore[arg-type]


class Memory:
    """A sink that keeps what it is given, and fails from the ``fail_at``-th event on."""

    def __init__(self, fail_at: int = 0) -> None:
        self.events: list[Event] = []
        self.syncs = 0
        self.fail_at = fail_at

    def write(self, event: Event) -> None:
        if self.fail_at and len(self.events) + 1 >= self.fail_at:
            raise SinkError("the disk is full")
        self.events.append(event)

    def sync(self) -> None:
        self.syncs += 1


def test_a_run_without_refusals_has_one_event() -> None:
    """Nothing refused: the trail is the ended event, with the run's exit status."""
    assert a_trail().close(the_end(3)) == (an_event("ended", 1, "run", "it returned", exit_status=3),)


def test_a_denial_is_recorded_whole() -> None:
    """Every part of a happening is in its event, with the run's own facts added, and the sink has it at once."""
    sink = Memory()
    trail = a_trail(sink=sink)
    happening = Happening(
        name="denied",
        component="miner",
        path="app>report>miner",
        capability="filesystem.write",
        reason="the grant is read-only",
        interface="wasi:filesystem/types@0.2.3",
        function="[method]descriptor.unlink-file-at",
        resource="/in/../out/a",
        resolved="/home/me/out/a",
        line=7,
        grant="filesystem:\n  - {host: ./out, guest: /out, access: write}\n",
        time=NOON + 0.25,
        exit_status=9,
    )
    event = trail.record(happening)
    assert event == an_event(
        "denied",
        1,
        "filesystem.write",
        "the grant is read-only",
        time="2026-01-01T12:00:00.250000Z",
        path="app>report>miner",
        policy_line=7,
        interface="wasi:filesystem/types@0.2.3",
        function="[method]descriptor.unlink-file-at",
        resource="/in/../out/a",
        resolved="/home/me/out/a",
        grant="filesystem:\n  - {host: ./out, guest: /out, access: write}\n",
    )
    assert trail.events == (event,)
    assert sink.events == [event]


def test_unknown_digests_are_none() -> None:
    """A component whose digest is not known, and one that the policy does not name, have none."""
    trail = a_trail()
    trail.record(a_denial(component="report"))
    trail.record(a_denial(component="stranger"))
    assert [event.component_digest for event in trail.events] == [None, None]


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_date_that_is_none_is_replaced(time: float) -> None:
    """What a worker sends as a time cannot stop the trail: the supervisor's clock is used instead."""
    trail = a_trail()
    trail.record(a_denial(time=time))
    assert trail.events[0].time == "2026-01-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1767268800.000001, "2026-01-01T12:00:00.000001Z"),
        (1709164799.999999, "2024-02-28T23:59:59.999999Z"),
        (253402300798.5, "9999-12-31T23:59:58.500000Z"),
    ],
)
def test_dates(time: float, text: str) -> None:
    """Dates are UTC with microseconds, from the epoch to the year 9999."""
    trail = a_trail()
    trail.record(a_denial(time=time))
    assert trail.events[0].time == text


def test_beyond_the_bound_denials_are_counted() -> None:
    """The bound's first excess is an event at once; what is beyond it is counted and written when the run ends."""
    sink = Memory()
    trail = a_trail(limit=2, sink=sink, limit_line=12)
    recorded = [trail.record(a_denial(f"/{n}")) for n in range(5)]
    trail.record(a_denial(capability="dns.resolve", function="resolve-addresses"))
    assert [event is not None for event in recorded] == [True, True, False, False, False]
    assert [event.capability for event in trail.events] == ["filesystem.read", "filesystem.read", "limits.events"]
    events = trail.close(the_end())
    assert events[2:] == (
        an_event(
            "limit",
            3,
            "limits.events",
            "refused calls beyond the first 2 are counted, not recorded one by one",
            policy_line=12,
        ),
        an_event(
            "folded",
            4,
            "filesystem.read",
            "3 further calls were refused, beyond what is recorded one by one",
            policy_line=6,
            interface="wasi:filesystem/types@0.2.3",
            function="[method]descriptor.open-at",
            count=3,
        ),
        an_event(
            "folded",
            5,
            "dns.resolve",
            "1 further call was refused, beyond what is recorded one by one",
            policy_line=6,
            interface="wasi:filesystem/types@0.2.3",
            function="resolve-addresses",
            count=1,
        ),
        an_event("ended", 6, "run", "it returned", exit_status=0),
    )
    assert tuple(sink.events) == events
    assert sink.syncs == 1


def test_exactly_the_bound_is_no_excess() -> None:
    """As many denials as the bound allows are all there, and no bound was reached."""
    trail = a_trail(limit=2)
    trail.record(a_denial("/a"))
    trail.record(a_denial("/b"))
    assert [event.name for event in trail.close(the_end())] == ["denied", "denied", "ended"]


def test_bounds_and_refusals_are_not_folded_away() -> None:
    """With no room for denials, a bound that was reached and a reason to refuse the run are events all the same."""
    trail = a_trail(limit=0)
    limit = Happening(name="limit", component="miner", capability="limits.memory", reason="over 64 MiB")
    refused = Happening(name="refused", component="miner", capability="sockets", reason="not enforced yet")
    assert trail.record(limit) == an_event("limit", 1, "limits.memory", "over 64 MiB")
    assert trail.record(refused) == an_event("refused", 2, "sockets", "not enforced yet")


def test_a_bound_reached_over_and_over_is_folded() -> None:
    """A guest cannot grow the trail by running into the same bound: the first time is an event, later ones a count."""
    trail = a_trail(limit=0)
    handles = Happening(name="limit", component="miner", capability="limits.handles", reason="256 are open")
    memory = Happening(name="limit", component="miner", capability="limits.memory", reason="over 64 MiB")
    assert [trail.record(happening) is not None for happening in (handles, handles, handles, memory)] == [
        True,
        False,
        False,
        True,
    ]
    events = trail.close(the_end())
    assert [(event.name, event.capability, event.count) for event in events] == [
        ("limit", "limits.handles", 1),
        ("limit", "limits.events", 1),
        ("limit", "limits.memory", 1),
        ("folded", "limits.handles", 2),
        ("ended", "run", 1),
    ]
    assert events[3].reason == "the bound was reached 2 more times, beyond what is recorded one by one"


def test_each_place_of_a_composition_counts_apart() -> None:
    """Two instances of one component, and the same component alone, never stand for one another; the digest is theirs
    all the same."""
    trail = a_trail(limit=0)
    for path in ("app>miner", "app>report>miner", None, "app>report>miner"):
        trail.record(a_denial(path=path))
        trail.record(replace(a_use(), path=path))
    events = trail.close(the_end())
    assert [(e.name, e.component, e.path, e.component_digest, e.capability, e.count) for e in events] == [
        ("limit", "miner", "app>miner", DIGEST, "limits.events", 1),
        ("allowed", "miner", "app>miner", DIGEST, "sockets.tcp.connect", 1),
        ("allowed", "miner", "app>report>miner", DIGEST, "sockets.tcp.connect", 2),
        ("allowed", "miner", None, DIGEST, "sockets.tcp.connect", 1),
        ("folded", "miner", "app>miner", DIGEST, "filesystem.read", 1),
        ("folded", "miner", "app>report>miner", DIGEST, "filesystem.read", 2),
        ("folded", "miner", None, DIGEST, "filesystem.read", 1),
        ("ended", "miner", None, DIGEST, "run", 1),
    ]


def test_a_bound_is_reached_once_at_each_place() -> None:
    """Another instance that runs into the same bound is told of; the same one again is a count, under its path."""
    trail = a_trail(limit=0)
    for path in ("app>miner", "app>report>miner", "app>report>miner"):
        trail.record(
            Happening(name="limit", component="miner", path=path, capability="limits.handles", reason="256 are open")
        )
    assert [(event.name, event.path, event.capability, event.count) for event in trail.close(the_end())] == [
        ("limit", "app>miner", "limits.handles", 1),
        ("limit", "app>report>miner", "limits.handles", 1),
        ("limit", "app>report>miner", "limits.events", 1),
        ("folded", "app>report>miner", "limits.handles", 1),
        ("ended", None, "run", 1),
    ]


def test_reasons_to_refuse_are_bounded() -> None:
    """A component with endless faults cannot grow the trail either."""
    trail = a_trail(limit=0)
    refused = Happening(name="refused", component="miner", capability="imports", reason="no such interface")
    for _ in range(REFUSED_EVENTS + 7):
        trail.record(refused)
    names = Counter(event.name for event in trail.close(the_end()))
    assert names == {"refused": REFUSED_EVENTS, "limit": 1, "folded": 1, "ended": 1}
    assert trail.events[-2].count == 7


def test_counts_have_a_bounded_number_of_keys() -> None:
    """However many functions and capabilities are named, the counts are few; the rest is one count, of no place."""
    trail = a_trail(limit=0)
    for n in range(FOLD_KEYS + 50):
        trail.record(a_denial(function=f"function-{n}", path="app>miner"))
    trail.record(a_denial(function="function-3", path="app>miner"))
    events = trail.close(the_end())
    folded = [event for event in events if event.name == "folded"]
    assert len(folded) == FOLD_KEYS + 1
    assert (folded[3].path, folded[3].count) == ("app>miner", 2)
    assert folded[-1] == an_event(
        "folded",
        len(events) - 1,
        "*",
        "50 further calls were refused, beyond what is recorded one by one",
        component="*",
        component_digest=None,
        count=50,
    )


@given(
    st.integers(0, 8),
    st.lists(
        st.tuples(
            st.sampled_from(["denied", "allowed", "limit", "refused"]),
            st.sampled_from(["miner", "report"]),
            st.sampled_from(["filesystem.read", "dns.resolve"]),
        ),
        max_size=40,
    ),
)
def test_folding_loses_nothing(limit: int, seen: list[tuple[EventName, str, str]]) -> None:
    """Recorded or folded, the counts add up to what was seen; sequence numbers have no gap; ended is last."""
    trail = a_trail(limit)
    for name, component, capability in seen:
        trail.record(Happening(name=name, component=component, capability=capability, reason="because"))
    events = trail.close(the_end())
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.name for event in events].index("ended") == len(events) - 1
    counts: Counter[tuple[str, str]] = Counter()
    for event in events[:-1]:
        if event.capability != "limits.events":
            counts[event.component, event.capability] += event.count
    assert counts == Counter((component, capability) for _, component, capability in seen)
    assert sum(event.name == "denied" for event in events) <= limit
    refused = sum(event.count for event in events if event.name in ("denied", "folded"))
    assert refused >= sum(name == "denied" for name, _, _ in seen)
    allowed = sum(event.count for event in events if event.name == "allowed")
    assert allowed == sum(name == "allowed" for name, _, _ in seen)


def a_use(resource: str = "10.0.0.1:443", **more: object) -> Happening:
    known = Happening(
        name="allowed",
        component="miner",
        capability="sockets.tcp.connect",
        reason="granted by 10.0.0.0/8",
        interface="wasi:sockets/tcp@0.2.3",
        function="[method]tcp-socket.start-connect",
        resource=resource,
        line=9,
        sent=10,
        received=200,
        seconds=0.5,
    )
    return replace(known, **more)  # type: ignore[arg-type]


def test_what_was_allowed_is_recorded_whole() -> None:
    """An allowed use has its bytes and its time, in whole microseconds."""
    trail = a_trail()
    assert trail.record(a_use(resolved="10.0.0.1:443 (db)", seconds=0.12345678)) == an_event(
        "allowed",
        1,
        "sockets.tcp.connect",
        "granted by 10.0.0.0/8",
        interface="wasi:sockets/tcp@0.2.3",
        function="[method]tcp-socket.start-connect",
        resource="10.0.0.1:443",
        resolved="10.0.0.1:443 (db)",
        policy_line=9,
        sent=10,
        received=200,
        seconds=0.123457,
    )


def test_what_is_allowed_takes_no_refusals_place() -> None:
    """A flood of allowed uses is summed up at the end with its bytes, and no bound is said to be reached by it."""
    trail = a_trail(limit=2)
    recorded = [trail.record(a_use(f"10.0.0.{n}:443", sent=None if n == 4 else n)) for n in range(6)]
    trail.record(a_use(capability="sockets.udp.send", function=None, sent=None, received=None))
    trail.record(a_denial("/a"))
    trail.record(a_denial("/b"))
    trail.record(a_use())
    assert [event is not None for event in recorded] == [True, True, False, False, False, False]
    events = trail.close(the_end())
    assert [(event.name, event.resource) for event in events[:4]] == [
        ("allowed", "10.0.0.0:443"),
        ("allowed", "10.0.0.1:443"),
        ("denied", "/a"),
        ("denied", "/b"),
    ]
    assert events[4:] == (
        an_event(
            "allowed",
            5,
            "sockets.tcp.connect",
            "5 further uses were allowed, beyond what is recorded one by one",
            interface="wasi:sockets/tcp@0.2.3",
            function="[method]tcp-socket.start-connect",
            policy_line=9,
            count=5,
            sent=2 + 3 + 5 + 10,
            received=1000,
        ),
        an_event(
            "allowed",
            6,
            "sockets.udp.send",
            "1 further use was allowed, beyond what is recorded one by one",
            interface="wasi:sockets/tcp@0.2.3",
            policy_line=9,
        ),
        an_event("ended", 7, "run", "it returned", exit_status=0),
    )


def test_refusals_take_no_place_of_what_is_allowed() -> None:
    """The two bounds are apart in the other direction too, and each has its own sum."""
    trail = a_trail(limit=1)
    for _ in range(3):
        trail.record(a_denial())
    trail.record(a_use())
    trail.record(a_use())
    assert [(event.name, event.capability, event.count) for event in trail.close(the_end())] == [
        ("denied", "filesystem.read", 1),
        ("limit", "limits.events", 1),
        ("allowed", "sockets.tcp.connect", 1),
        ("allowed", "sockets.tcp.connect", 1),
        ("folded", "filesystem.read", 2),
        ("ended", "run", 1),
    ]


def test_sums_of_what_was_allowed_have_a_bounded_number_of_keys() -> None:
    """However many functions there are, the sums are few; the rest is one, of no component and capability."""
    trail = a_trail(limit=0)
    for n in range(FOLD_KEYS + 50):
        trail.record(a_use(function=f"function-{n}"))
    sums = [event for event in trail.close(the_end()) if event.name == "allowed"]
    assert len(sums) == FOLD_KEYS + 1
    assert sums[-1] == an_event(
        "allowed",
        FOLD_KEYS + 1,
        "*",
        "50 further uses were allowed, beyond what is recorded one by one",
        component="*",
        component_digest=None,
        count=50,
        sent=500,
        received=10_000,
    )


@pytest.mark.parametrize("number", [-1, 2**53])
def test_bytes_that_no_event_can_hold_are_left_out(number: int) -> None:
    """What a worker counted out of range is unknown; a sum stays within what every reader keeps exactly."""
    trail = a_trail(limit=1)
    trail.record(a_use(sent=number, received=number, seconds=float(number) * 10**9))
    for _ in range(2):
        trail.record(a_use(sent=number, received=2**53 - 1))
    assert [(event.sent, event.received, event.seconds) for event in trail.close(the_end())] == [
        (None, None, None),
        (None, 2**53 - 1, None),
        (None, None, None),
    ]


def test_bytes_and_times_belong_to_what_was_allowed() -> None:
    """A refusal moved nothing: what a happening says of bytes and time is not in its event."""
    trail = a_trail()
    event = trail.record(replace(a_denial(), sent=1, received=1, seconds=1.0))
    assert event is not None
    assert (event.sent, event.received, event.seconds) == (None, None, None)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.5])
def test_a_time_that_is_none_is_left_out(seconds: float) -> None:
    """An allowed use without a proper duration is recorded all the same."""
    event = a_trail().record(a_use(seconds=seconds))
    assert event is not None
    assert event.seconds is None


def test_what_a_guest_names_is_bounded() -> None:
    """A string that is too long keeps its start and its end, and says how long it was; the event stays small."""
    trail = a_trail()
    event = trail.record(
        replace(
            a_denial("/" + "x" * 500_000 + "/etc/shadow", function="f" * 1000, capability="c" * 1000),
            reason="r" * 10_000,
            grant="g" * 4097,
            path="p" * 5000,
        )
    )
    assert event is not None
    assert event.path is not None
    assert event.resource is not None
    assert event.function is not None
    assert event.resource == "/" + "x" * 2029 + "...[cut, 500012 characters in all]..." + "x" * 2018 + "/etc/shadow"
    assert event.function == "f" * 111 + "...[cut, 1000 characters in all]..." + "f" * 110
    assert len(event.resource) == len(event.path) == 4096
    assert len(event.function) == len(event.capability) == 256
    assert len(event.reason) == 4096
    assert event.grant is None  # half a grant would be another grant


def test_bytes_that_are_no_text_stay_readable() -> None:
    """A byte that is no UTF-8 is written as such, and a name that spells the same is told apart from it."""
    trail = a_trail()

    def recorded(name: str) -> str | None:
        event = trail.record(a_denial(name))
        return None if event is None else event.resource

    names = ["/a\udcffb", "/a\\xffb", "/a\\\\xffb", "/a\ud800b", "/a\\b", "/a\\\udcff"]
    assert [recorded(name) for name in names] == [
        r"/a\xffb",
        r"/a\\xffb",
        r"/a\\\\xffb",
        r"/a\ud800b",
        r"/a\b",
        r"/a\\\xff",
    ]


def test_numbers_that_no_event_can_hold_are_left_out() -> None:
    """A worker that sends a line or a status out of range gets an event without it, not a broken trail."""
    trail = a_trail()
    trail.record(replace(a_denial(), line=0))
    trail.record(replace(a_denial(), line=2**70))
    trail.close(the_end(-1))
    assert [(event.policy_line, event.exit_status) for event in trail.events] == [(None, None)] * 3


def test_a_failing_sink_surfaces_and_stops_nothing() -> None:
    """When the sink fails the trail says so and goes on in memory; nothing is written after the hole."""
    sink = Memory(fail_at=2)
    trail = a_trail(sink=sink)
    failures = [trail.failed]
    for resource in ("/a", "/b"):
        trail.record(a_denial(resource))
        failures.append(trail.failed)
    assert failures == [None, None, "the disk is full"]
    sink.fail_at = 0
    events = trail.close(the_end())
    assert [event.resource for event in events] == ["/a", "/b", None]
    assert [event.resource for event in sink.events] == ["/a"]
    assert sink.syncs == 0


def test_a_sink_that_fails_at_the_end_surfaces() -> None:
    """A disk that turns out to be full when the file is synchronised fails the trail."""

    class Late(Memory):
        def sync(self) -> None:
            raise OSError(28, "No space left on device")

    trail = a_trail(sink=Late())
    trail.close(the_end())
    assert trail.failed == "[Errno 28] No space left on device"


def test_the_trail_is_closed_once() -> None:
    """After the end nothing can be recorded, and there is no second end: both would be lost."""
    trail = a_trail()
    trail.close(the_end())
    with pytest.raises(RuntimeError, match=r"\Athe trail is closed\Z"):
        trail.record(a_denial())
    with pytest.raises(RuntimeError, match=r"\Athe trail is closed\Z"):
        trail.close(the_end())


def test_ended_and_folded_are_the_trails_own() -> None:
    """Only close writes them, and close writes no other end."""
    trail = a_trail()
    with pytest.raises(ValueError, match=r"\Aended events are written by close\(\)\Z"):
        trail.record(the_end())
    with pytest.raises(ValueError, match=r"\Afolded events are written by close\(\)\Z"):
        trail.record(replace(a_denial(), name="folded"))
    with pytest.raises(ValueError, match=r"\Aa run ends with an ended event, not with denied\Z"):
        trail.close(a_denial())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"run": "two words"}, "not a run identifier: 'two words'"),
        ({"run": ""}, "not a run identifier: ''"),
        ({"run": "x" * 65}, f"not a run identifier: '{'x' * 65}'"),
        ({"policy_digest": "sha256:"}, "not a digest: 'sha256:'"),
        ({"digests": {"a": "md5"}}, "not a digest: 'md5'"),
        ({"limit": -1}, "not a number of events: -1"),
    ],
)
def test_a_run_must_be_named_properly(wrong: dict[str, object], message: str) -> None:
    """What would make lines that no reader accepts is refused before the run."""
    arguments = {"run": "r", "policy": "p", "policy_digest": "", "digests": {}, "limit": 1} | wrong
    with pytest.raises(ValueError, match=rf"\A{re.escape(message)}\Z"):
        Trail(**arguments)  # type: ignore[arg-type]


def test_run_identifiers_are_new_and_in_order() -> None:
    """Each run has an identifier of its own, and later milliseconds sort later."""
    first = new_run()
    assert re.fullmatch("[0-9a-f]{24}", first)
    assert len({new_run() for _ in range(100)}) == 100
    assert first[:12] <= new_run()[:12]


def test_threads_share_one_sequence() -> None:
    """Denials of several threads are all there, numbered without a gap, in the sink in the order of their numbers."""
    sink = Memory()
    trail = a_trail(limit=500, sink=sink)

    def deny(thread: int) -> None:
        for n in range(200):
            trail.record(a_denial(f"/{thread}/{n}"))

    threads = [threading.Thread(target=deny, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = trail.close(the_end())
    assert [event.sequence for event in events] == list(range(1, 504))
    assert tuple(sink.events) == events
    assert sum(event.count for event in events if event.name in ("denied", "folded")) == 800
