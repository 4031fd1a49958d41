"""Where trails are written: one line an event, whatever the strings, the processes and the disk."""

from __future__ import annotations

import json
import os
import resource
import socket
import stat
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]

from sandbox.audit import sink as sinks
from sandbox.audit.events import Event, Happening
from sandbox.audit.fields import LINE_BYTES, event_schema
from sandbox.audit.read import lines_of, read_trail
from sandbox.audit.sink import LineSink, SinkError, open_descriptor, open_path, open_stderr
from sandbox.audit.trail import Trail

DIGEST = "sha256:" + "c" * 64
SCHEMA = Draft202012Validator(event_schema())


def a_trail(sink: LineSink, run: str = "run-1", policy: str = "policy.yaml") -> Trail:
    return Trail(
        run=run,
        policy=policy,
        policy_digest=DIGEST,
        digests={"miner": DIGEST},
        limit=10_000,
        sink=sink,
        clock=lambda: 0.0,
    )


def a_denial(path: str) -> Happening:
    return Happening(
        name="denied", component="miner", capability="filesystem.read", reason="not granted", resource=path
    )


THE_END = Happening(name="ended", component="miner", capability="run", reason="it returned", exit_status=0)


def read_back(path: Path) -> tuple[Event, ...]:
    with path.open("rb") as file:
        return tuple(read_trail(lines_of(file)))


def test_the_line_of_an_event(tmp_path: Path) -> None:
    """A line is an ASCII JSON object, the version first, what is not known left out, nothing in it that acts."""
    path = tmp_path / "trail.jsonl"
    with open_path(str(path)) as sink:
        a_trail(sink).record(a_denial("/a\n\x1b[2J\x7f\x9b\u202e\u2028é😀\udcff"))
    assert path.read_bytes() == (
        b'{"version":1,"timestamp":"1970-01-01T00:00:00.000000Z","run_id":"run-1","sequence":1,"event_name":"denied",'
        b'"decision":"deny","component":"miner","component_digest":"' + DIGEST.encode() + b'",'
        b'"policy_file":"policy.yaml","policy_digest":"' + DIGEST.encode() + b'","capability":"filesystem.read",'
        b'"resource":"/a\\n\\u001b[2J\\u007f\\u009b\\u202e\\u2028\\u00e9\\ud83d\\ude00\\\\xff",'
        b'"reason":"not granted","count":1}\n'
    )


ANY_TEXT = st.text(
    st.one_of(
        st.characters(codec=None), st.characters(categories=["Cs", "Cc", "Cf"]), st.sampled_from('\\"\n\r\x7fxu')
    ),
    max_size=30,
)
LONG_TEXT = st.builds(lambda text, times: text * times, ANY_TEXT, st.sampled_from([1, 1, 1, 400]))


@settings(deadline=None)
@given(
    st.sampled_from(["denied", "limit", "refused"]),
    st.lists(LONG_TEXT, min_size=5, max_size=5),
    st.lists(st.none() | LONG_TEXT, min_size=5, max_size=5),
)
def test_any_strings_make_exactly_one_line(name: str, texts: list[str], maybe: list[str | None]) -> None:
    """Whatever stands in whichever field: one line, valid by the schema, and read back as the same event."""
    reader, writer = os.pipe()
    with open_descriptor(writer) as sink:
        os.close(writer)
        os.set_blocking(reader, True)
        chunks: list[bytes] = []
        thread = threading.Thread(target=lambda: chunks.extend(iter(lambda: os.read(reader, 65536), b"")))
        thread.start()
        component, capability, reason, resource_, policy = texts
        event = a_trail(sink, policy=policy).record(
            Happening(
                name=name,  # type: ignore[arg-type]
                component=component,
                capability=capability,
                reason=reason,
                resource=resource_,
                interface=maybe[0],
                function=maybe[1],
                resolved=maybe[2],
                grant=maybe[3],
                path=maybe[4],
            )
        )
    thread.join()
    os.close(reader)
    data = b"".join(chunks)
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert data[:-1].decode("ascii").isprintable()
    assert len(data) <= LINE_BYTES
    SCHEMA.validate(json.loads(data))
    assert tuple(read_trail([data])) == (event,)


def test_the_longest_line_is_within_its_bound(tmp_path: Path) -> None:
    """Every string as long and as costly to escape as can be: the line is still shorter than the documented bound."""
    path = tmp_path / "trail.jsonl"
    worst = "😀" * 10_000
    digests = {("😀" * 256): DIGEST}
    with open_path(str(path)) as sink:
        trail = Trail(run="r" * 64, policy=worst, policy_digest=DIGEST, digests=digests, limit=1, sink=sink)
        trail.record(
            Happening(
                name="denied",
                component="😀" * 256,
                path=worst,
                capability=worst,
                reason=worst,
                interface=worst,
                function=worst,
                resource=worst,
                resolved=worst,
                line=2**53 - 1,
                grant="😀" * 4096,
            )
        )
    longest = path.read_bytes()
    assert LINE_BYTES * 0.97 < len(longest) < LINE_BYTES
    assert tuple(read_trail([longest])) == trail.events


def test_a_file_is_made_private_and_appended_to(tmp_path: Path) -> None:
    """A new file has mode 0600 whatever the umask; a second run's events come after the first's."""
    path = tmp_path / "trail.jsonl"
    umask = os.umask(0)
    try:
        for run in ("one", "two"):
            with open_path(str(path)) as sink:
                a_trail(sink, run).close(THE_END)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [(event.run, event.sequence, event.name) for event in read_back(path)] == [
        ("one", 1, "ended"),
        ("two", 1, "ended"),
    ]


def test_each_event_is_in_the_file_before_record_returns(tmp_path: Path) -> None:
    """A supervisor that dies loses no event that was decided: nothing waits in a buffer."""
    path = tmp_path / "trail.jsonl"
    with open_path(str(path)) as sink:
        trail = a_trail(sink)
        for name in ("/a", "/b"):
            event = trail.record(a_denial(name))
            assert read_back(path)[-1] == event


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    """After a run that was cut off within a line, the next run's events stand on lines of their own."""
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b'{"version":1,"timest')
    with open_path(str(path)) as sink:
        trail = a_trail(sink)
        trail.close(THE_END)
    torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"version":1,"timest'
    assert tuple(read_trail([whole])) == trail.events


def test_a_file_that_may_only_be_written(tmp_path: Path) -> None:
    """A file that its owner may not read can hold a trail (root may read anything, which is no fault either)."""
    path = tmp_path / "trail.jsonl"
    path.touch(0o200)
    with open_path(str(path)) as sink:
        a_trail(sink).close(THE_END)
    path.chmod(0o600)
    assert [event.name for event in read_back(path)] == ["ended"]


def refusal(path: Path) -> str:
    with pytest.raises(SinkError) as caught:
        open_path(str(path))
    return str(caught.value).replace(ascii(str(path)), "PATH")


def test_paths_that_are_refused(tmp_path: Path) -> None:
    """What is no regular file, or cannot be opened, is refused before the run, saying why; a FIFO does not block."""
    target = tmp_path / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    directory = tmp_path / "directory"
    directory.mkdir()
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(tmp_path / "s"))
    assert [refusal(path) for path in (link, fifo, directory, Path("/dev/null"), tmp_path / "s")] == [
        "cannot write the audit trail to PATH: it is a symbolic link; name its target",
        "cannot write the audit trail to PATH: it is no regular file; pass a descriptor instead",
        "cannot write the audit trail to PATH: it is a directory",
        "cannot write the audit trail to PATH: it is no regular file; pass a descriptor instead",
        "cannot write the audit trail to PATH: it is no regular file; pass a descriptor instead",
    ]
    assert refusal(tmp_path / "none" / "x") == "cannot write the audit trail to PATH: No such file or directory"
    assert refusal(tmp_path / "nul\0") == "cannot write the audit trail to PATH: embedded null byte"
    assert not target.exists()
    os.close(held)
    local.close()


def test_descriptors_that_are_refused(tmp_path: Path) -> None:
    """A descriptor that is not open, or open for reading only, is refused before the run."""
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(SinkError) as closed:
        open_descriptor(writer)
    with pytest.raises(SinkError) as read_only:
        open_descriptor(reader)
    with pytest.raises(SinkError) as huge:
        open_descriptor(2**80)
    os.close(reader)
    assert str(closed.value) == f"cannot write the audit trail to descriptor {writer}: Bad file descriptor"
    assert str(read_only.value) == f"cannot write the audit trail to descriptor {reader}: it is open for reading only"
    assert str(huge.value).startswith(f"cannot write the audit trail to descriptor {2**80}: ")


def test_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """The trail can go to standard error, which stays open afterwards."""
    with open_stderr() as sink:
        trail = a_trail(sink)
        trail.close(THE_END)
    os.write(2, b"still here\n")
    line, rest = capfd.readouterr().err.splitlines()
    assert tuple(read_trail([line])) == trail.events
    assert rest == "still here"


def test_a_terminal(tmp_path: Path) -> None:
    """A terminal is a place to write to like any other."""
    leader, follower = os.openpty()
    settings = termios.tcgetattr(follower)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(follower, termios.TCSANOW, settings)
    with open_descriptor(follower) as sink:
        trail = a_trail(sink)
        trail.close(THE_END)
        assert tuple(read_trail([os.read(leader, 4096)])) == trail.events
    os.close(leader)
    os.close(follower)


def failure_of(number: int, path: str = "/a") -> str | None:
    with open_descriptor(number) as sink:
        trail = a_trail(sink)
        trail.record(a_denial(path))
        assert len(trail.close(THE_END)) == 2
        return trail.failed


def test_a_full_disk_fails_the_trail() -> None:
    """A disk without room surfaces in the trail; the run goes on."""
    full = os.open("/dev/full", os.O_WRONLY)
    assert failure_of(full) == f"cannot write the audit trail to descriptor {full}: No space left on device"
    os.close(full)


def test_a_file_that_may_not_grow_fails_the_trail(tmp_path: Path) -> None:
    """Half a line is the most that a bound on the file's size lets through, and the trail says that it failed."""
    path = tmp_path / "trail.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_path(str(path)) as sink:
        trail = a_trail(sink)
        trail.record(a_denial("/a"))
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        try:
            trail.record(a_denial("/b"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        other = a_trail(sink, "another")
        other.close(THE_END)
    assert trail.failed == f"cannot write the audit trail to {str(path)!a}: File too large"
    assert other.failed is None
    first, torn, last = path.read_bytes().splitlines()
    assert len(torn) == 100
    assert tuple(read_trail([first, last])) == (trail.events[0], *other.events)


def test_a_reader_that_is_gone_fails_the_trail() -> None:
    """A pipe nobody reads from any more surfaces in the trail, and no signal ends the supervisor."""
    reader, writer = os.pipe()
    os.close(reader)
    assert failure_of(writer) == f"cannot write the audit trail to descriptor {writer}: Broken pipe"
    os.close(writer)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_has_stopped_fails_the_trail(blocking: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pipe is waited for, but not for ever: the supervisor has a deadline to keep."""
    monkeypatch.setattr(sinks, "PATIENCE", 0.05)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, blocking)
    assert failure_of(writer) == (
        f"cannot write the audit trail to descriptor {writer}: nobody has read from it for 0.05 s"
    )
    os.close(reader)
    os.close(writer)


def test_a_slow_reader_gets_every_line() -> None:
    """Lines far longer than a pipe holds arrive whole when somebody reads."""
    reader, writer = os.pipe()
    received = bytearray()

    def read_all() -> None:
        while data := os.read(reader, 1000):
            received.extend(data)

    thread = threading.Thread(target=read_all)
    with open_descriptor(writer) as sink:
        os.close(writer)
        thread.start()
        trail = a_trail(sink)
        for n in range(20):
            trail.record(a_denial("😀" * 4000 + str(n)))
        events = trail.close(THE_END)
    thread.join()
    os.close(reader)
    assert tuple(read_trail(bytes(received).splitlines(keepends=True))) == events


def test_a_sink_is_closed_once(tmp_path: Path) -> None:
    """Closing twice is no fault; a trail that goes on writing to a closed sink fails, and never writes elsewhere."""
    sink = open_path(str(tmp_path / "trail.jsonl"))
    sink.close()
    sink.close()
    trail = a_trail(sink)
    trail.record(a_denial("/a"))
    assert trail.failed == (f"cannot write the audit trail to {str(tmp_path / 'trail.jsonl')!a}: Bad file descriptor")


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    """No program that the supervisor starts, a worker least of all, holds the trail's descriptor."""
    with open_path(str(tmp_path / "trail.jsonl")) as one, open_descriptor(2) as two:
        descriptors = [sink._descriptor for sink in (one, two)]
        assert [os.get_inheritable(descriptor) for descriptor in descriptors] == [False, False]


WRITER = """
import sys
from sandbox.audit.events import Happening
from sandbox.audit.sink import open_path
from sandbox.audit.trail import Trail
run, path = sys.argv[1:]
with open_path(path, durable=False) as sink:
    sink.prepare()
    print("ready", flush=True)
    sys.stdin.readline()
    trail = Trail(run=run, policy="p", policy_digest="", digests={}, limit=1000, sink=sink)
    for n in range(400):
        trail.record(Happening(name="denied", component="c", capability="x", reason="r", resource=run * (n * 7 % 4000)))
    trail.close(Happening(name="ended", component="c", capability="run", reason="r"))
sys.exit(trail.failed)
"""


def test_processes_append_to_one_file(tmp_path: Path) -> None:
    """Runs at the same time share a file: every line is whole, and each run's events are all there in their order."""
    path = tmp_path / "trail.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, run, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for run in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    events = read_back(path)
    for run in ("a", "b"):
        assert [event.sequence for event in events if event.run == run] == list(range(1, 402))


IMPORTS = """
import os, sys
from sandbox.audit.events import Happening
from sandbox.audit.sink import open_descriptor
from sandbox.audit.trail import Trail
sink = open_descriptor(os.open(os.devnull, os.O_WRONLY))
trail = Trail(run="r", policy="p", policy_digest="", digests={}, limit=1, sink=sink)
heavy = ("structlog", "pydantic", "yaml", "wasmtime", "json", "logging", "asyncio", "datetime", "tempfile")
print([name for name in heavy if name in sys.modules])
trail.record(Happening(name="denied", component="c", capability="x", reason="r"))
print("structlog" in sys.modules)
"""


def test_structlog_is_loaded_by_the_first_event() -> None:
    """Opening a trail costs no start-up time: what is slow to import waits for the first event."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\n"
