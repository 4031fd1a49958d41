"""What one audited refusal adds: opens outside every grant, against opens that fail under plain wasmtime-py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench, Cases
from benchmarks.measure import Row, interleave

AIM = 30.0


def cases(bench: Bench) -> Cases:
    found: Cases = {}
    for group in ("denials", "denials.module"):
        found[f"{group}.memory"] = partial(_denials, bench, f"{group}.memory", audit=False, recorded=True)
        found[f"{group}.file"] = partial(_denials, bench, f"{group}.file", audit=True, recorded=True)
        found[f"{group}.folded"] = partial(_denials, bench, f"{group}.folded", audit=True, recorded=False)
    return found


def _denials(bench: Bench, name: str, *, audit: bool, recorded: bool) -> Iterator[Row]:
    count = bench.count(2000, 5)
    directories = bench.data_directories()
    source = bench.preview1 if name.startswith("denials.module.") else bench.operations
    events = count + 10 if recorded else 1
    policy = bench.policy(name, source, directories, stream="capture", limits={"events": events})
    trail = bench.directory / f"{name}.jsonl" if audit else None
    plain = bench.plain(source)
    bench.settle(source)
    rounds = bench.count(15)
    where = "kept in memory" if not audit else "in a file" if recorded else "folded into counts"
    with bench.sandbox(policy, audit=trail) as sandbox:

        def ours(count: int) -> float:
            outcome = sandbox.run(arguments=["f", str(count)])
            if outcome.exit_status:
                raise RuntimeError(f"{name}: {outcome.how}: {outcome.reason}")
            return outcome.usage.processor_seconds or 0.0

        def theirs(count: int) -> float:
            plain.run(["f", str(count)], directories, bench.directory / "printed", Path(os.devnull))
            return 0.0

        whole, without = interleave(_one(ours, count), _one(theirs, count), rounds)
        yield Row(
            name=name,
            what=f"one refused open, trail {where}: the whole run's time beyond that of a run without",
            unit="us",
            ours=whole,
            plain=without,
            kind="added",
            aim=AIM,
        )
        whole, without = interleave(_processor(ours, count), _processor(theirs, count), rounds)
        yield Row(
            name=f"{name}.processor",
            what=f"one refused open, trail {where}: processor time, worker and supervisor together",
            unit="us",
            ours=whole,
            plain=without,
            kind="added",
        )


def _one(run: Callable[[int], object], count: int) -> Callable[[], float]:
    """Microseconds that one of ``count`` opens takes, start and end of the run taken off."""

    def measured() -> float:
        start = time.perf_counter()
        run(0)
        between = time.perf_counter()
        run(count)
        return ((time.perf_counter() - between) - (between - start)) / count * 1e6

    return measured


def _processor(run: Callable[[int], float], count: int) -> Callable[[], float]:
    """The same in processor time of this process, and what ``run`` says of the worker's."""

    def used(count: int) -> float:
        start = time.process_time()
        elsewhere = run(count)
        return elsewhere + time.process_time() - start

    return lambda: (used(count) - used(0)) / count * 1e6
