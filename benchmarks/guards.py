"""What a guard costs apart from running: making it, compiling it, instantiating it; and reading a component's facts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wasmtime import Engine
from wasmtime.component import Component

from benchmarks.bench import Bench, Cases
from benchmarks.measure import Row, Sample, each, interleave, seconds
from sandbox.component import read_component
from sandbox.guard.build import guard
from sandbox.runtime.engine import shape_of

COMPONENTS = {"c": "samples/report.c", "python": "samples/report-python"}


def cases(bench: Bench) -> Cases:
    found: Cases = {}
    for which in COMPONENTS:
        found[f"guards.instantiate.{which}"] = partial(_instantiate, bench, which)
        found[f"guards.make.{which}"] = partial(_make, bench, which)
        found[f"guards.compile.{which}"] = partial(_compile, bench, which)
        found[f"guards.inspect.{which}"] = partial(_inspect, bench, which)
    return found


def _source(bench: Bench, which: str) -> Path:
    return bench.report if which == "c" else bench.report_python


def _policy(bench: Bench, which: str) -> Path:
    return bench.policy(f"guards-{which}", _source(bench, which), bench.report_directories())


def _instantiate(bench: Bench, which: str) -> Iterator[Row]:
    plain = bench.plain(_source(bench, which))
    guarded = bench.guarded(_policy(bench, which))
    times = bench.count(300 if which == "c" else 100)
    ours, theirs = interleave(
        each(guarded.instantiate, times, 1e6), each(plain.instantiate, times, 1e6), bench.count(15)
    )
    yield Row(
        name=f"guards.instantiate.{which}",
        what=f"{COMPONENTS[which]}: store, instance and drop",
        unit="us",
        ours=ours,
        plain=theirs,
    )


def _make(bench: Bench, which: str) -> Iterator[Row]:
    plan = bench.plan(_policy(bench, which))
    data = Path(plan.source).read_bytes()

    def make() -> float:
        return seconds(lambda: guard(bench.engine, data, shape_of(plan))) * 1e3

    make()
    yield Row(
        name=f"guards.make.{which}",
        what=f"{COMPONENTS[which]}: the guard's text from the component's imports, and its encoding",
        unit="ms",
        ours=Sample(tuple(make() for _ in range(bench.count(9)))),
        kind="alone",
    )


def _compile(bench: Bench, which: str) -> Iterator[Row]:
    plan = bench.plan(_policy(bench, which))
    data = Path(plan.source).read_bytes()
    guarded = guard(bench.engine, data, shape_of(plan)).wasm
    ours, theirs = interleave(
        lambda: seconds(lambda: Component(Engine(), guarded)) * 1e3,
        lambda: seconds(lambda: Component(Engine(), data)) * 1e3,
        bench.count(9 if which == "c" else 2),
    )
    yield Row(
        name=f"guards.compile.{which}",
        what=f"{COMPONENTS[which]}: compiling it, with and without its guard",
        unit="ms",
        ours=ours,
        plain=theirs,
    )


def _inspect(bench: Bench, which: str) -> Iterator[Row]:
    source = str(_source(bench, which))

    def inspect() -> float:
        return seconds(lambda: read_component(source)) * 1e3

    inspect()
    yield Row(
        name=f"guards.inspect.{which}",
        what=f"{COMPONENTS[which]}, {Path(source).stat().st_size / 1e6:.1f} MB: its digest, imports and exports",
        unit="ms",
        ours=Sample(tuple(inspect() for _ in range(bench.count(9)))),
        kind="alone",
    )
