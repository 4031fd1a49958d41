"""Reading a clock that is granted as it is: a call that costs nearly nothing by itself, so what is around it shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench, Cases
from benchmarks.measure import Row, interleave

WHAT = {"clock.component": "monotonic-clock.now", "clock.module": "clock_time_get of the monotonic clock"}


def cases(bench: Bench) -> Cases:
    return {name: partial(_clock, bench, name) for name in WHAT}


def _clock(bench: Bench, name: str) -> Iterator[Row]:
    source = bench.preview1 if name == "clock.module" else bench.operations
    count = bench.count(200_000, 3)
    policy = bench.policy(name, source, [], stream="capture")
    bench.settle(source)
    with bench.sandbox(policy) as sandbox:
        ours, plain = interleave(
            bench.guest_time(sandbox, "c", count),
            bench.plain_time(bench.plain(source), "c", count, [(bench.empty, "/", False)]),
            bench.count(31),
        )
    yield Row(name=name, what=f"{WHAT[name]}, granted real", unit="us", ours=ours, plain=plain, kind="share")
