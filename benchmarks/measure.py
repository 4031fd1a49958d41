"""Measuring two things side by side, and the rows that come of it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Literal

Kind = Literal["time", "share", "added", "alone"]
"""How a row compares: sandbox/plain, plain/sandbox in per cent (100 % is no loss), sandbox-plain, or not at all."""


COMPARISONS: dict[str, Callable[[float, float], float]] = {
    "time": lambda ours, plain: ours / plain,
    "share": lambda ours, plain: 100 * plain / ours,
    "added": lambda ours, plain: ours - plain,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Repeated measurements of one thing, a round each."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the report. Values are in ``unit``; lower is better, whatever ``kind`` says."""

    name: str
    what: str
    unit: str
    ours: Sample
    plain: Sample | None = None
    kind: Kind = "time"
    aim: float | None = None
    note: str = ""

    @property
    def figure(self) -> float | None:
        """The median over the rounds of ratio, share or difference; ``None`` where there is nothing to compare with.

        A round's two measurements stand next to each other in time, so a busy spell of the machine slows both.
        """
        if self.plain is None or self.kind == "alone":
            return None
        compare = COMPARISONS[self.kind]
        return statistics.median(compare(o, p) for o, p in zip(self.ours.values, self.plain.values, strict=True))

    @property
    def reached(self) -> bool | None:
        if self.figure is None or self.aim is None:
            return None
        return self.figure >= self.aim if self.kind == "share" else self.figure <= self.aim

    def _figure(self) -> str:
        if self.figure is None:
            return ""
        if self.kind == "added":
            return f"{self.figure:+.1f} {self.unit}"
        if self.kind == "time" and 0 < self.figure < 0.005:
            return f"1/{1 / self.figure:,.0f} x"
        return f"{self.figure:.2f} x" if self.kind == "time" else f"{self.figure:.1f} %"

    def _aim(self) -> str:
        if self.aim is None:
            return ""
        bound = f">= {self.aim:g} %" if self.kind == "share" else f"<= {self.aim:g}"
        return f"{bound} {'reached' if self.reached else 'MISSED'}"

    def text(self) -> str:
        plain = "" if self.plain is None else _spread(self.plain, self.unit)
        line = f"{self.name:<34} {_spread(self.ours, self.unit):<34} {plain:<34} {self._figure():>10}  {self._aim()}"
        return f"{line.rstrip()}\n  {self.what}{'; ' + self.note if self.note else ''}"

    def markdown(self) -> str:
        """The row of a table with the columns of ``TABLE``."""
        plain = "" if self.plain is None else f"{_short(self.plain.median)} {self.unit}"
        ours = f"{_short(self.ours.median)} {self.unit}"
        return f"| `{self.name}` | {ours} | {plain} | {self._figure()} | {self._aim()} |"

    def data(self) -> dict[str, object]:
        return {**asdict(self), "figure": self.figure, "reached": self.reached}


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A row that could not be measured here."""

    name: str
    reason: str

    def text(self) -> str:
        return f"{self.name:<34} skipped: {self.reason}"

    def markdown(self) -> str:
        return f"| `{self.name}` | skipped: {self.reason} | | | |"

    def data(self) -> dict[str, object]:
        return asdict(self)


HEADING = f"{'row':<34} {'sandbox: median (min..max)':<34} {'plain wasmtime-py':<34} {'figure':>10}  aim"

TABLE = "| row | sandbox | plain | figure | aim |\n|---|---|---|---|---|"


def _spread(sample: Sample, unit: str) -> str:
    return f"{_short(sample.median)} ({_short(min(sample.values))}..{_short(max(sample.values))}) {unit}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def interleave(ours: Callable[[], float], plain: Callable[[], float], rounds: int) -> tuple[Sample, Sample]:
    """Measure two things in turns (A B, B A, ...): what slows the machine down meets both. One turn warms up."""
    first, second = in_turns([ours, plain], rounds)
    return first, second


def in_turns(sides: Sequence[Callable[[], float]], rounds: int) -> list[Sample]:
    """The same with any number of things."""
    found: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    forth = list(zip(sides, found, strict=True))
    for number in range(rounds):
        for side, values in forth if number % 2 == 0 else reversed(forth):
            values.append(side())
    return [Sample(tuple(values)) for values in found]


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def each(action: Callable[[], object], times: int, scale: float = 1.0) -> Callable[[], float]:
    """A measurement of the mean time of one ``action`` out of ``times``, in seconds times ``scale``."""

    def measured() -> float:
        start = time.perf_counter()
        for _ in range(times):
            action()
        return (time.perf_counter() - start) / times * scale

    return measured


def process(command: list[str], environment: dict[str, str], *, processor: bool = False) -> float:
    """Milliseconds that a whole process takes, by the clock or (all its children included) of processor time.

    Its standard output is thrown away. Raises ``RuntimeError`` where it fails.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        start = time.perf_counter()
        pid = os.posix_spawn(
            command[0], command, environment, file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)]
        )
        _, status, usage = os.wait4(pid, 0)
        taken = time.perf_counter() - start
    finally:
        os.close(null)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime if processor else taken) * 1e3


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, all its threads and the processes that it starts on one processor.

    Wasmtime does each file operation in another thread. Whether that one sleeps on another processor decides between 13
    and 40 us, by luck and for many seconds, which would bury any difference.
    """
    allowed = os.sched_getaffinity(0)
    _keep_on({max(allowed)})
    try:
        yield
    finally:
        _keep_on(allowed)


def _keep_on(processors: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        try:
            os.sched_setaffinity(int(thread), processors)
        except ProcessLookupError:
            pass  # it ended


def machine() -> str:
    """The machine and the versions, in one line."""
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        pass
    return (
        f"{time.strftime('%Y-%m-%d')}, {model or platform.machine()}, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}, Linux {platform.release()},"
        f" Python {platform.python_version()}, wasmtime-py {version('wasmtime')}"
    )
