"""Clocks, waits, random numbers, environment and streams of a module, by direct calls of preview 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Ran, Runner, policy_data, write_policy
from tests.e2e.preview1 import PREVIEW1, arguments

MODULE = "wasi_snapshot_preview1"
MILLISECONDS = 1_000_000
Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, runner: Runner) -> Run:
    """Runs a program under standard grants and those that are given."""

    def run(program: str, **more: Any) -> Ran:
        return runner.run(write_policy(tmp_path, policy_data(source=PREVIEW1, **more)), *arguments(program))

    return run


def results(ran: Ran) -> list[str]:
    return [line.partition(" -> ")[2] for line in ran.lines]


def told(ran: Ran) -> list[tuple[str, str | None]]:
    """Capability and function of each event but the last, which are all of preview 1."""
    events = ran.outcome.events[:-1]
    assert {e.interface for e in events} <= {MODULE}
    return [(e.capability, e.function) for e in events]


def elapsed(run: Run, program: str, **more: Any) -> tuple[Ran, float]:
    """A run and how many seconds the guest waited, about. Its module is compiled before."""
    run("sched_yield")
    ran = run(program, **more)
    assert ran.outcome.how == "exited", ran.outcome
    return ran, ran.outcome.usage.seconds


EVENT = "[0x1 error=success type=0]"


@pytest.mark.parametrize("clocks", ["real", "coarse", "frozen", None])
@pytest.mark.parametrize("clock", [0, 1])
def test_waits_end(run: Run, clocks: str | None, clock: int) -> None:
    """A wait lasts as long as it says, whatever the clock shows, and no longer than the shortest of several."""
    ran, seconds = elapsed(run, f"poll_oneoff 0:1:{clock}:{40 * MILLISECONDS}:0:0", clocks=clocks)
    assert results(ran) == [f"ok {EVENT} n=1"]
    assert 0.04 <= seconds < 2
    several = f"poll_oneoff 0:1:{clock}:{40 * MILLISECONDS}:0:0|0:2:{1 - clock}:{60_000 * MILLISECONDS}:0:0"
    ran, seconds = elapsed(run, several, clocks=clocks)
    assert results(ran) == [f"ok {EVENT} n=1"]
    assert 0.04 <= seconds < 2


@pytest.mark.parametrize("clocks", ["real", "coarse", "frozen", None])
@pytest.mark.parametrize("clock", [0, 1])
def test_times_that_are_past(run: Run, clocks: str | None, clock: int) -> None:
    """A wait until a time that the clock has passed, or shows, is over at once."""
    ran, seconds = elapsed(run, f"poll_oneoff 0:1:{clock}:0:0:1", clocks=clocks)
    assert results(ran) == [f"ok {EVENT} n=1"]
    assert seconds < 2
    name = "clocks.monotonic" if clock else "clocks.wall"
    assert told(ran) == ([(name, "poll_oneoff")] if clocks is None else [])


@pytest.mark.parametrize("clocks", ["real", "coarse"])
def test_wall_times_to_come(run: Run, clocks: str) -> None:
    """A wait until a time of day ends at that time."""
    run("sched_yield")
    end = time.time_ns() + 300 * MILLISECONDS
    ran = run(f"poll_oneoff 0:1:0:{end}:0:1", clocks=clocks)
    assert results(ran) == [f"ok {EVENT} n=1"]
    assert end - 5 * MILLISECONDS <= time.time_ns() < end + 2000 * MILLISECONDS


def test_frozen_times_to_come(run: Run) -> None:
    """A frozen monotonic clock shows one second: a wait until 60 ms later lasts 60 ms, once more each time."""
    ran, seconds = elapsed(run, "\n".join([f"poll_oneoff 0:1:1:{1060 * MILLISECONDS}:0:1"] * 2), clocks="frozen")
    assert results(ran) == [f"ok {EVENT} n=1"] * 2
    assert 0.12 <= seconds < 2


def test_waits_end_at_the_deadline(run: Run) -> None:
    """A wait for ever ends at the deadline."""
    for wait in ("0:1:1:-1:0:0", "0:1:0:-1:0:1"):
        outcome = run(f"poll_oneoff {wait}", clocks="frozen", limits={"deadline": "300ms"}).outcome
        assert (outcome.how, outcome.exit_status) == ("deadline", 124)


def test_clocks_that_are_not_granted(run: Run) -> None:
    """Each clock is told once, with the function that asked first."""
    ran = run(
        """
        clock_res_get 0
        clock_time_get 0 0
        clock_time_get 1 0
        clock_res_get 1
        poll_oneoff 0:1:0:0:0:1|0:2:1:0:0:1
        clock_time_get 2 0""",
        clocks=None,
    )
    assert results(ran) == [
        "ok u64=1",
        "ok later",
        "ok later",
        "ok u64=1",
        "ok [0x1 error=success type=0] [0x2 error=success type=0] n=2",
        "errno badf",
    ]
    assert told(ran) == [("clocks.wall", "clock_res_get"), ("clocks.monotonic", "clock_time_get")]


def test_environment_that_is_not_granted(run: Run) -> None:
    """It is empty, and told once, with the function that asked first."""
    ran = run("environ_get\nenviron_sizes_get\nenviron_get", environment=None)
    assert results(ran) == ["ok", "ok u32=0 u32=0", "ok"]
    assert told(ran) == [("environment", "environ_get")]


def test_random_numbers_that_are_not_granted(run: Run) -> None:
    """Asking for any traps, also for none."""
    for size in (0, 10):
        ran = run(f"sched_yield\nrandom_get {size}", random=None)
        assert results(ran) == ["ok"]
        assert (ran.outcome.how, ran.outcome.reason) == ("trapped", "secure random numbers are not granted")
        assert told(ran) == [("random.secure", "random_get")]


def test_seeded_random_numbers(run: Run) -> None:
    """Any number of bytes is filled, to the last and not beyond; what does not lie in memory traps."""
    sizes = "\n".join(f"random_get {n}" for n in (0, 1, 7, 8, 9, 64, 65, 100_000))
    ran = run(sizes, random={"seed": 7})
    assert (results(ran), told(ran)) == (["ok"] * 8, [])
    for place in ("@end:1", "@end-7:8", "@end-8:9", "@-1:2"):
        outcome = run(f"random_get {place}", random={"seed": 7}).outcome
        assert outcome.how == "trapped"
        assert (outcome.reason or "").endswith("wasm trap: out of bounds memory access")


def test_streams_that_are_not_granted(run: Run) -> None:
    """They are there all the same: input at its end, output thrown away; each told once."""
    ran = run(
        """
        fd_fdstat_get 0
        poll_oneoff 1:1:0
        fd_read 0 10
        fd_read 0 10
        fd_write 2 x
        fd_write 2 x
        fd_close 2
        fd_write 2 x""",
        stdio={"stdout": "capture"},
    )
    assert results(ran) == [
        "ok type=unknown flags=0 base=0x2 inheriting=0x2",
        "ok [0x1 error=success type=1 bytes=1 flags=0] n=1",
        'ok "" n=0',
        'ok "" n=0',
        "ok n=1",
        "ok n=1",
        "ok",
        "errno badf",
    ]
    assert sorted(told(ran)) == [("stdio.stderr", "fd_write"), ("stdio.stdin", "fd_read")]
