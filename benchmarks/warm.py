"""Runs in one warm worker, one after the other, against a plain loop in process; and where the difference goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Cases, Directory
from benchmarks.measure import Row, each, interleave

AIM = 90.0


def cases(bench: Bench) -> Cases:
    sample, data = bench.report_directories(), [(bench.data, "/data", False)]
    nothing, some, many = bench.count(300, 2), bench.count(200, 2), bench.count(20, 2)
    work = ["s", str(bench.count(330, 3))]
    return {
        "warm.c": lambda: _warm(bench, "warm.c", bench.report, sample, some),
        "warm.python": lambda: _warm(bench, "warm.python", bench.report_python, sample, many),
        "warm.nothing": lambda: _warm(bench, "warm.nothing", bench.operations, [], nothing, ["n", "1"]),
        "warm.5ms": lambda: _warm(bench, "warm.5ms", bench.operations, data, many, work),
        "warm.module.c": lambda: _warm(bench, "warm.module.c", bench.report_module, sample, some),
        "warm.module.python": lambda: _warm_python(bench, many),
        "warm.module.nothing": lambda: _warm(bench, "warm.module.nothing", bench.preview1, [], nothing, ["n", "1"]),
        "warm.module.5ms": lambda: _warm(bench, "warm.module.5ms", bench.preview1, data, many, work),
    }


WHAT = {
    "warm.c": "samples/report.c",
    "warm.python": "samples/report-python",
    "warm.nothing": "a guest that only prints a number",
    "warm.5ms": "a guest that works for about 5 ms",
    "warm.module.c": "samples/report.c as a module",
    "warm.module.python": "CPython as a module, one line of arithmetic",
    "warm.module.nothing": "a module that only prints a number",
    "warm.module.5ms": "a module that works for about 5 ms",
}


def _warm_python(bench: Bench, times: int) -> Iterator[Row]:
    source, directories, arguments, clocks = bench.python
    return _warm(bench, "warm.module.python", source, directories, times, arguments, clocks=clocks)


def _warm(
    bench: Bench,
    name: str,
    source: Path,
    directories: list[Directory],
    times: int,
    arguments: Sequence[str] = (),
    **more: Any,
) -> Iterator[Row]:
    null = Path(os.devnull)
    everything = bench.with_root(directories)
    plain = bench.plain(source)
    policy = bench.policy(name, source, directories, **more)
    bench.settle(source)
    rounds = bench.count(9)

    def run_plain() -> None:
        plain.run(arguments, everything, null, null)

    with bench.sandbox(policy) as sandbox:

        def run_sandbox() -> None:
            outcome = sandbox.run(arguments=arguments)
            if outcome.exit_status:
                raise RuntimeError(f"{name}: {outcome.how}: {outcome.reason}")

        ours, theirs = interleave(each(run_sandbox, times, 1e6), each(run_plain, times, 1e6), rounds)
    yield Row(
        name=name,
        what=f"{WHAT[name]}, time of one run (share: runs a second)",
        unit="us",
        ours=ours,
        plain=theirs,
        kind="share",
        aim=AIM,
        note=f"{1e6 / ours.median:,.0f} against {1e6 / theirs.median:,.0f} a second",
    )

    guarded = bench.guarded(policy)

    def run_guarded() -> None:
        guarded.run(arguments, everything, null, null)

    ours, theirs = interleave(each(run_guarded, times, 1e6), each(run_plain, times, 1e6), rounds)
    yield Row(
        name=f"{name}.guard",
        what=f"{WHAT[name]}, the guard alone: same process, no worker",
        unit="us",
        ours=ours,
        plain=theirs,
        kind="share",
    )
