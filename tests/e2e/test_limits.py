"""Every bound ends what it bounds: the outcome names it, the trail is whole, and the host goes on."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from sandbox.runtime import worker as worker_module
from sandbox.runtime.cache import Cache
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import cached_policy, execute, plan_of
from tests.e2e.harness import GUESTS, Ran, Runner, directory, policy_data, probe_arguments, write_policy
from tests.guests.compile_bomb import component as compile_bomb

ROOT = Path(__file__).resolve().parent.parent.parent
Event = tuple[str, str, str | None, str, int, int | None]
Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, runner: Runner) -> Run:
    """``run("spin", limits={...})`` runs the probe, ``run(guest="start-loop")`` component text from tests/guests."""

    def run(
        *commands: str | list[str],
        guest: str | None = None,
        limits: dict[str, object] | None = None,
        filesystem: list[dict[str, object]] | None = None,
        **grants: Any,
    ) -> Ran:
        if guest is not None:
            grants["source"] = component(tmp_path, guest)
        path = write_policy(tmp_path, policy_data(filesystem or [], limits=limits, **grants))
        return runner.run(path, *probe_arguments(*commands))

    return run


def component(folder: Path, guest: str, **replace: str) -> Path:
    """The component of the text ``guest``, with each key of ``replace`` in it replaced."""
    text = (GUESTS / f"{guest}.wat").read_text(encoding="utf-8")
    for old, new in replace.items():
        text = text.replace(f"i32.const {old.removeprefix('_')}", f"i32.const {new}")
    path = folder / f"{guest}.wasm"
    path.write_bytes(wat2wasm(text))
    return path


def trail(outcome: Outcome) -> list[Event]:
    """Name, capability, resource, reason, count and exit status of each event, which are numbered without gaps."""
    assert [e.sequence for e in outcome.events] == list(range(1, len(outcome.events) + 1))
    return [(e.name, e.capability, e.resource, e.reason, e.count, e.exit_status) for e in outcome.events]


def limited(bound: str, reason: str, status: int) -> list[Event]:
    """The trail of a run of which nothing but its bound is to be told."""
    return [("limit", bound, None, reason, 1, None), ("ended", "run", None, reason, 1, status)]


def summary(outcome: Outcome) -> tuple[str, int, str | None, tuple[str, ...], str | None]:
    return outcome.how, outcome.exit_status, outcome.bound, outcome.bounds, outcome.reason


DEADLINE = "the deadline of 1 s passed while the component was running"


@pytest.mark.parametrize("guest", ["start-loop", "poll-hour", "probe spin"])
def test_deadline_ends_a_guest_wherever_it_is(run: Run, guest: str) -> None:
    """A loop in ``start``, a wait of an hour in one host call, and a loop in ``run`` end at the deadline."""
    limits: dict[str, object] = {"deadline": "1s"}
    begun = time.monotonic()
    ran = run("spin", limits=limits) if guest == "probe spin" else run(guest=guest, limits=limits)
    assert 0.9 < time.monotonic() - begun < 6
    expected = ("deadline", 124, "limits.deadline", ("limits.deadline",), DEADLINE)
    assert summary(ran.outcome) == expected
    assert trail(ran.outcome) == limited("limits.deadline", DEADLINE, 124)


@pytest.mark.usefixtures("guest")
def test_deadline_counts_from_the_beginning_of_a_wait(run: Run) -> None:
    """A wait that is shorter than the deadline is no matter; the output that came before the deadline is kept."""
    run("exit 0")  # compiling counts as well
    ran = run("stdout before", "sleep 5000", limits={"deadline": "400ms"})
    assert (ran.outcome.how, ran.outcome.stdout) == ("deadline", b"beforestdout before -> ok written=6\n")
    assert run("sleep 20", limits={"deadline": "5s"}).lines == ["sleep 20 -> ok"]


def test_deadline_ends_compiling(tmp_path: Path, run: Run) -> None:
    """A component that takes long to compile is stopped in the middle of it."""
    bomb = tmp_path / "bomb.wasm"
    bomb.write_bytes(compile_bomb(3000, 8))
    begun = time.monotonic()
    ran = run(source=bomb, limits={"deadline": "1s"})
    assert time.monotonic() - begun < 6
    reason = "the deadline of 1 s passed while the component was compiling"
    assert summary(ran.outcome) == ("deadline", 124, "limits.deadline", ("limits.deadline",), reason)
    assert trail(ran.outcome) == limited("limits.deadline", reason, 124)


def test_memory_of_compiling_is_bounded(tmp_path: Path, cache: Path) -> None:
    """Compiling beyond its bound ends the worker, never the host; the bound is 4 GiB, made smaller here.

    In a process of its own, as the command is: a copy of one that has compiled before, as this one may have, cannot.
    """
    assert worker_module.COMPILE_MEMORY == 4 << 30
    bomb = tmp_path / "bomb.wasm"
    bomb.write_bytes(compile_bomb(3000, 2))
    policy = write_policy(tmp_path, policy_data(source=bomb, arguments=None))
    code = (
        "import sys, sandbox.runtime.worker as worker; from sandbox.cli.main import main;"
        " worker.COMPILE_MEMORY = 96 << 20; main(['run', '--json', sys.argv[1]])"
    )
    line = [sys.executable, "-c", code, str(policy)]
    done = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, timeout=90)
    report = json.loads(done.stderr)
    reason = "the worker ran out of memory while compiling"
    assert (done.returncode, report["how"], report["bound"], report["reason"]) == (
        123,
        "limit",
        "limits.memory",
        reason,
    )
    told = [(e["event_name"], e["capability"], e["reason"]) for e in report["events"]]
    assert told == [("limit", "limits.memory", reason), ("ended", "run", reason)]


def test_forty_memories_share_one_bound(tmp_path: Path, cache: Path) -> None:
    """Forty memories of up to 64 MiB each hold little more than 64 MiB together, as does the process they are in."""
    source = component(tmp_path, "memories")
    policy = write_policy(tmp_path, policy_data(source=source, arguments=None, limits={"memory": "64MiB"}))
    kept = Cache(cache)
    loaded = cached_policy(policy, kept)
    worker = WorkerProcess.spawn()
    try:
        outcome, _ = execute(plan_of(loaded, loaded.components[0], kept), worker, kept, stdin=b"")
        resident = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii")
    finally:
        worker.kill()
        worker.close()
    assert (outcome.how, outcome.exit_status, outcome.bound) == ("exited", 0, None)
    grown = (outcome.stdout or b"").decode()
    assert grown.startswith("memories -> ok mebibytes=")
    assert 32 <= int(grown.split("=")[1].split()[0]) <= 64 + worker_module.HOST_MEMORY // (1 << 20)
    high = next(int(line.split()[1]) for line in resident.splitlines() if line.startswith("VmHWM:"))
    assert high < 300 * 1024  # KiB, Python, Wasmtime and its compiler included


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        ("huge-table", ("exited", 0, None, (), None)),
        (
            "huge-table-declared",
            (
                "limit",
                123,
                "limits.memory",
                ("limits.memory",),
                "table minimum size of 100000000 elements exceeds table limits",
            ),
        ),
    ],
)
def test_tables_are_bounded(run: Run, guest: str, expected: object) -> None:
    """A table grows no further than the memory bound has room for its elements; one declared larger is not made."""
    ran = run(guest=guest, limits={"memory": "64MiB"})
    assert summary(ran.outcome) == expected
    assert ran.lines == (["huge-table -> ok elements=4000000"] if guest == "huge-table" else [])


@pytest.mark.usefixtures("guest")
def test_memory_bound_is_told_to_the_guest(run: Run) -> None:
    """``memory.grow`` answers -1 at the bound; a guest that goes on is not ended, one that gives up names the bound."""
    limits = {"memory": "32MiB"}
    ran = run("grow 200", limits=limits)
    assert ran.lines == ["grow 200 -> errno ENOMEM mebibytes=31"]
    assert summary(ran.outcome) == ("exited", 0, None, (), None)
    ran = run("grow 200", "abort", limits=limits)
    reason = "the component trapped with its memory used up (wasm trap: wasm `unreachable` instruction executed)"
    assert summary(ran.outcome) == ("limit", 123, "limits.memory", ("limits.memory",), reason)
    assert trail(ran.outcome) == limited("limits.memory", reason, 123)


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("memory", ["2MiB", "16MiB"])
def test_a_trap_with_memory_left_is_a_trap(tmp_path: Path, cache: Path, memory: str) -> None:
    """What the worker itself needs on its first run is not taken for the guest's memory, however small its bound."""
    policy = write_policy(tmp_path, policy_data(limits={"memory": memory}, arguments=["stdin", "--", "abort"]))
    kept = Cache(cache)
    loaded = cached_policy(policy, kept)
    worker = WorkerProcess.spawn()
    try:
        outcome, _ = execute(plan_of(loaded, loaded.components[0], kept), worker, kept, stdin=b"")
    finally:
        worker.kill()
        worker.close()
    reason = "wasm trap: wasm `unreachable` instruction executed"
    assert summary(outcome) == ("trapped", 122, None, (), reason)


@pytest.mark.usefixtures("guest")
def test_traps(run: Run) -> None:
    """``abort`` and a recursion without end trap; the reason is Wasmtime's, the status 122."""
    ran = run("abort")
    reason = "wasm trap: wasm `unreachable` instruction executed"
    assert summary(ran.outcome) == ("trapped", 122, None, (), reason)
    assert trail(ran.outcome) == [("ended", "run", None, f"the component trapped: {reason}", 1, 122)]
    ran = run("recurse")
    assert (ran.outcome.how, ran.outcome.exit_status) == ("trapped", 122)
    assert "out of bounds memory access" in (ran.outcome.reason or "")


@pytest.mark.usefixtures("guest")
def test_fuel(run: Run) -> None:
    """A guest that counts its steps ends when they are used up; what a run used is told."""
    ran = run("spin", limits={"fuel": 10_000_000})
    reason = "the fuel that the policy grants is used up"
    assert summary(ran.outcome) == ("limit", 123, "limits.fuel", ("limits.fuel",), reason)
    assert trail(ran.outcome) == limited("limits.fuel", reason, 123)
    assert ran.outcome.usage.fuel == 10_000_000
    used = run("args", limits={"fuel": 10_000_000}).outcome.usage.fuel
    assert used is not None
    assert 1000 < used < 1_000_000


def test_handles(tmp_path: Path, run: Run) -> None:
    """A guest that opens a million handles gets the interface's own error at the bound, and goes on."""
    (tmp_path / "d").mkdir()
    filesystem = [directory(tmp_path / "d", "/d")]
    ran = run(guest="many-handles", filesystem=filesystem, limits={"handles": 20})
    assert ran.lines == ["many-handles -> error quota opened=18"]
    assert summary(ran.outcome) == ("exited", 0, None, ("limits.handles",), None)
    assert trail(ran.outcome) == [
        ("limit", "limits.handles", "/d/.", "20 handles are open, which is all that the policy allows", 1, None),
        ("ended", "run", None, "the component ended", 1, 0),
    ]


def test_disk(tmp_path: Path, run: Run) -> None:
    """Bytes written are bounded over all files; the guest is told by errors, and what was written stays."""
    (tmp_path / "d").mkdir()
    filesystem = [directory(tmp_path / "d", "/d", "write")]
    ran = run("write-loop /d/f 1000000", "write /d/g x", "read /d/g", filesystem=filesystem, limits={"disk": "128KiB"})
    assert ran.lines == [
        "write-loop /d/f 1000000 -> errno EIO written=65536",
        "write /d/g x -> errno ENOSPC",
        "read /d/g -> errno ENOENT",
    ]
    assert summary(ran.outcome) == ("exited", 0, None, ("limits.disk",), None)
    full = "the bytes that may be written to files are used up (131,072 bytes)"
    assert trail(ran.outcome) == [
        ("limit", "limits.disk", None, full, 1, None),
        ("denied", "limits.disk", "/d/g", full, 1, None),
        ("ended", "run", None, "the component ended", 1, 0),
    ]
    assert {p.name: p.stat().st_size for p in (tmp_path / "d").iterdir()} == {"f": 126976}


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("mode", ["capture", "discard", "closed", "file"])
def test_output_flood(tmp_path: Path, run: Run, stream: str, mode: str) -> None:
    """A flood ends at the bound, wherever it goes; what was within the bound arrives."""
    target: object = {"file": str(tmp_path / "out")} if mode == "file" else mode
    stdio = {"stdin": "discard", "stdout": "discard", "stderr": "discard", stream: target}
    command = "flood 100000000" if stream == "stdout" else "flood-stderr 100000000"
    outcome = run(command, stdio=stdio, limits={"output": "100KiB", "deadline": "20s"}).outcome
    reason = "more than 102,400 bytes of output"
    assert summary(outcome) == ("limit", 123, "limits.output", ("limits.output",), reason)
    name = {"stdout": "output", "stderr": "error"}[stream]
    told: list[Event] = []
    if mode == "closed":
        ungranted = f"standard {name} is not granted; what is written is thrown away"
        told = [("denied", f"stdio.{stream}", None, ungranted, 1, None)]
    assert trail(outcome) == told + limited("limits.output", reason, 123)
    assert outcome.usage.output == 102_400
    flood = (b"f" * 63 + b"\n") * 1600
    captured = {"stdout": outcome.stdout, "stderr": outcome.stderr}
    assert captured[stream] == (flood if mode == "capture" else None)
    if mode == "file":
        assert (tmp_path / "out").read_bytes() == flood


@pytest.mark.usefixtures("guest")
def test_output_within_the_bound(run: Run) -> None:
    """Output of exactly the bound's size is no flood."""
    ran = run("stdout 0123456789", limits={"output": 42})
    assert ran.stdout == "0123456789stdout 0123456789 -> ok written=10\n"[:42]
    assert (ran.outcome.how, ran.outcome.bound) == ("limit", "limits.output")
    ran = run("stdout 0123456789", limits={"output": 45})
    assert (len(ran.stdout), ran.outcome.how, ran.outcome.usage.output) == (45, "exited", 45)


@pytest.mark.usefixtures("guest")
def test_denials_are_folded(run: Run) -> None:
    """Refusals beyond the bound are counted, and every one is in exactly one event's count."""
    ran = run("flood-denied /x/y 3000", "flood-denied /x/z 7", limits={"events": 3})
    assert ran.lines == [
        "flood-denied /x/y 3000 -> errno EACCES denied=3000 opened=0",
        "flood-denied /x/z 7 -> errno EACCES denied=7 opened=0",
    ]
    denied: Event = ("denied", "filesystem.read", "/x/y", "no granted directory covers this path", 1, None)
    over = "refused calls beyond the first 3 are counted, not recorded one by one"
    folded = "3004 further calls were refused, beyond what is recorded one by one"
    assert trail(ran.outcome) == [
        denied,
        denied,
        denied,
        ("limit", "limits.events", None, over, 1, None),
        ("folded", "filesystem.read", None, folded, 3004, None),
        ("ended", "run", None, "the component ended", 1, 0),
    ]


@pytest.mark.parametrize("status", [0, 1, 2, 126, 127, 255])
def test_exit_statuses_of_the_guest(tmp_path: Path, runner: Runner, status: int) -> None:
    """``exit-with-code`` gives each status from 0 to 255; none of them is taken for the sandbox's own."""
    source = component(tmp_path, "exit-with-code", _42=str(status))
    outcome = runner.run(write_policy(tmp_path, policy_data(source=source))).outcome
    assert summary(outcome) == ("exited", status, None, (), None)
    assert trail(outcome) == [("ended", "run", None, "the component ended", 1, status)]


def test_run_that_fails_exits_with_1(run: Run) -> None:
    """A ``run`` that returns its error case, and an exit through the preview 1 adapter, are status 1."""
    assert summary(run(guest="run-fails").outcome) == ("exited", 1, None, (), None)
    assert summary(run("exit 7").outcome) == ("exited", 1, None, (), None)


def test_worker_killed_from_outside(tmp_path: Path, cache: Path) -> None:
    """A worker that somebody kills fails the run, keeps the denials that were decided, and leaves the host alone."""
    policy = write_policy(tmp_path, policy_data(arguments=["open-read", "/etc/passwd", "--", "spin"]))
    kept = Cache(cache)
    loaded = cached_policy(policy, kept)
    worker = WorkerProcess.spawn()
    killer = threading.Timer(0.5, os.kill, (worker.pid, signal.SIGKILL))
    killer.start()
    try:
        outcome, reusable = execute(plan_of(loaded, loaded.components[0], kept), worker, kept, stdin=b"")
    finally:
        killer.join()
        worker.kill()
        worker.close()
    reason = (
        "the worker ended unexpectedly (SIGKILL) while running: somebody killed it, or the machine ran out of memory"
    )
    assert summary(outcome) == ("failed", 125, None, (), reason)
    assert not reusable
    assert trail(outcome) == [
        ("denied", "filesystem.read", "/etc/passwd", "no granted directory covers this path", 1, None),
        ("ended", "run", None, f"the sandbox failed: {reason}", 1, 125),
    ]


# The command line: its own streams, and signals.


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts ``sandbox run`` of the probe under ``inherit`` streams; ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *arguments: str, limits: dict[str, object], options: tuple[str, ...] = (), **streams: Any
    ) -> subprocess.Popen[bytes]:
        stdio = {"stdin": "inherit", "stdout": "inherit", "stderr": "inherit"}
        path = write_policy(tmp_path, policy_data(stdio=stdio, limits=limits))
        line = [sys.executable, "-m", "sandbox", "run", *options, str(path), "--", *arguments]
        started.append(subprocess.Popen(line, cwd=ROOT, **streams))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


Command = Callable[..., "subprocess.Popen[bytes]"]


def test_deadline_while_reading_a_pipe(command: Command) -> None:
    """A guest that reads standard input that nobody writes is ended at the deadline."""
    process = command("stdin", limits={"deadline": "700ms"}, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.wait(10) == 124


def test_deadline_while_reading_a_terminal(command: Command) -> None:
    """A guest that waits for a line at a terminal is ended at the deadline."""
    outer, inner = pty.openpty()
    try:
        process = command(
            "stdin", limits={"deadline": "700ms"}, stdin=inner, stderr=subprocess.PIPE, start_new_session=True
        )
        assert process.wait(10) == 124
    finally:
        os.close(outer)
        os.close(inner)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_deadline_with_a_stopped_reader(command: Command, kind: str) -> None:
    """A reader that takes nothing holds up the guest, and not the deadline."""
    outer, inner = pty.openpty() if kind == "terminal" else os.pipe()
    try:
        process = command(
            "flood",
            "50000000",
            limits={"deadline": "700ms"},
            stdin=subprocess.DEVNULL,
            stdout=inner,
            stderr=subprocess.DEVNULL,
        )
        begun = time.monotonic()
        assert process.wait(20) == 124
        assert time.monotonic() - begun < 12
    finally:
        os.close(outer)
        os.close(inner)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_a_run_in_order(tmp_path: Path, command: Command, number: signal.Signals, status: int) -> None:
    """An interrupt ends the worker and completes the trail; the exit status is 128 and the signal's number."""
    from sandbox.audit.read import lines_of, read_trail

    audit = tmp_path / "trail.jsonl"
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    guest = ("open-read", "/etc/passwd", "--", "spin")
    process = command(*guest, limits={"deadline": "20s"}, options=("--audit", str(audit)), **pipes)
    until = time.monotonic() + 10
    while (not audit.exists() or not audit.read_bytes()) and time.monotonic() < until:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    process.send_signal(number)
    assert process.wait(10) == status
    with open(audit, "rb") as file:
        events = list(read_trail(lines_of(file)))
    name = "KeyboardInterrupt" if number == signal.SIGINT else "SystemExit"
    assert [(e.name, e.resource, e.reason, e.exit_status) for e in events] == [
        ("denied", "/etc/passwd", "no granted directory covers this path", None),
        ("ended", None, f"the run was interrupted ({name})", status),
    ]
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()


def test_killed_supervisor_takes_its_worker_along(command: Command) -> None:
    """Where the supervisor itself is killed, no worker runs on."""
    process = command(
        "stdout", "up", "--", "spin", limits={"deadline": "20s"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.read(2) == b"up"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1
    process.kill()
    process.wait()
    until = time.monotonic() + 5
    while _runs(children[0]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(children[0])


def _runs(pid: str) -> bool:
    """Whether a process is there and no zombie that waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
