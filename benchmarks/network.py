"""Sockets through the guard, the worker and the broker; timed by the guest itself, so that starting does not count.

Wasmtime's own sockets can no longer be enabled from Python, so the same guest runs on Wasmtime 47, in an environment of
its own, which is made when it is missing. Beside that stands a plain Python client.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any

from benchmarks.bench import HERE, Bench, Cases, UnavailableError
from benchmarks.measure import Row, Skipped, in_turns, interleave, one_processor, process
from benchmarks.start import repeated
from sandbox import Sandbox

AIM = 70.0
GUEST = HERE / "guests" / "net.wasm"
LOOPBACK = "127.0.0.1"
CHUNK = 65536
IDLE = 100
NATIVE_VERSION = "47.0.1"
ANYWHERE: dict[str, Any] = {"tcp": {"connect": [f"{LOOPBACK}:1-65535"]}}
LIMITS = {
    "sockets": 2 * IDLE,
    "handles": 16 * IDLE,
    "sent": "1000TiB",
    "received": "1000TiB",
    "lookups": 10_000,
    "lookup-bytes": "1GiB",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What one row has the guest do: ``times`` is how often, in one run; ``{}`` in ``arguments`` stands for that."""

    what: str
    arguments: str
    """``{NAME}`` is the port of a server of ``peers.py``, ``{port}`` one that is free."""
    times: int
    quick: int = 2
    scale: int = 1
    """What the guest is asked for, over ``times``."""
    grants: dict[str, Any] | None = None
    rate: str = "a second"
    one_processor: bool = True
    """Whether everything stays on one processor: how long another takes to wake up would bury any difference."""
    aim: float | None = AIM


TASKS = {
    "connect": Task(
        what="one TCP connection, made and closed", arguments=f"connects {LOOPBACK} {{accept}} {{}}", times=1000
    ),
    "send-64k": Task(
        what="64 KiB sent, of random bytes on one connection",
        arguments=f"upload {LOOPBACK} {{sink}} {{}} {CHUNK} random",
        times=4096,
        scale=CHUNK,
        rate="MB/s",
        one_processor=False,
    ),
    "receive-64k": Task(
        what="64 KiB received, of random bytes on one connection",
        arguments=f"download {LOOPBACK} {{source}} {{}} {CHUNK}",
        times=4096,
        scale=CHUNK,
        rate="MB/s",
        one_processor=False,
    ),
    "request-1k": Task(
        what="1 KiB sent and echoed, on one connection",
        arguments=f"pingpong {LOOPBACK} {{echo}} {{}} 1024",
        times=5000,
    ),
    "http": Task(what="one GET by HTTP/1.0, a connection each", arguments=f"http {LOOPBACK} {{http}} {{}}", times=1000),
    "accept": Task(
        what="one connection accepted, and 1 KiB echoed",
        arguments=f"accept {LOOPBACK} {{port}} {{}}",
        times=1000,
        grants={"tcp": {"listen": [f"{LOOPBACK}:{{port}}"]}},
    ),
    "poll": Task(
        what=f"one poll over {IDLE} idle connections and one that can be read",
        arguments=f"poll {LOOPBACK} {{echo}} {{}} {IDLE}",
        times=2000,
        aim=None,
    ),
    "lookup": Task(
        what="one name looked up: localhost",
        arguments="lookup localhost {}",
        times=500,
        grants={"dns": ["localhost"]},
        aim=None,
    ),
}


def cases(bench: Bench) -> Cases:
    native = Native(bench)
    found: Cases = {}
    for name, task in TASKS.items():
        found[f"network.{name}"] = partial(_network, bench, native, f"network.{name}", task)
    found["network.allowed"] = partial(_allowed, bench)
    found["start.network"] = partial(_start, bench)
    return found


class Peers:
    """The process with the servers, and the ports that they are at."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self.stdin: IO[str] = child.stdin
        self.ports = dict(pair.split("=") for pair in child.stdout.readline().split())

    def visit(self, port: str, count: int) -> None:
        """Connect to a port ``count`` times, soon, one after the other."""
        self.stdin.write(f"{port} {count}\n")
        self.stdin.flush()


@contextmanager
def peers() -> Iterator[Peers]:
    command = [sys.executable, str(HERE / "peers.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield Peers(child)


class Native:
    """The environment with Wasmtime 47."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.directory = HERE / ".build" / "wasmtime-47"

    @property
    def command(self) -> list[str]:
        """What runs the guest there. Raises ``UnavailableError``."""
        if self._missing is not None:
            raise UnavailableError(self._missing)
        return [str(self.directory / "bin" / "python"), str(HERE / "native.py"), str(GUEST)]

    @cached_property
    def _missing(self) -> str | None:
        """Make the environment where it is missing; why that cannot be done."""
        complete = self.directory / "complete"
        if complete.exists():
            return None
        if self.bench.quick:
            return "Wasmtime 47 is not installed, which takes long"
        try:
            venv.create(self.directory, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no environment for Wasmtime 47 can be made: {error}"
        pip = [str(self.directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries", "1"]
        done = subprocess.run([*pip, f"wasmtime=={NATIVE_VERSION}"], capture_output=True, check=False, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            return f"Wasmtime 47 cannot be installed: {said[-1][-200:]}"
        complete.touch()
        return None


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


def _policy(bench: Bench, name: str, grants: dict[str, Any], **limits: Any) -> Path:
    return bench.policy(name, GUEST, [], stream="capture", sockets=grants, limits={**LIMITS, **limits})


def _network(bench: Bench, native: Native, name: str, task: Task) -> Iterator[Row | Skipped]:
    times = bench.count(task.times, task.quick)
    with one_processor() if task.one_processor else nullcontext(), peers() as servers:
        ports = {**servers.ports, "port": str(free_port())}
        arguments = [part.format(times * task.scale, **ports) for part in task.arguments.split()]
        visited = ports["port"] if "{port}" in task.arguments else None

        def timed(run: Callable[[Sequence[str]], str]) -> Callable[[], float]:
            def measured() -> float:
                if visited is not None:
                    servers.visit(visited, times + 1)
                return microseconds(name, run(arguments)) / times

            return measured

        grants = ANYWHERE
        if task.grants is not None:
            grants = _filled(task.grants, ports)
        policy = _policy(bench, name, grants)
        bench.settle(GUEST)
        sides = {"python": timed(_script([sys.executable, str(HERE / "client.py")]))}
        missing = None
        try:
            sides = {"wasmtime-47": timed(_script(native.command)), **sides}
        except UnavailableError as error:
            missing = Skipped(name=name, reason=str(error))
        with bench.sandbox(policy) as sandbox:
            ours, *theirs = in_turns([timed(_guest(sandbox)), *sides.values()], bench.count(15))
    if missing is not None:
        yield missing
    for side, sample in zip(sides, theirs, strict=True):
        against = "the same guest on Wasmtime 47" if side == "wasmtime-47" else "a plain Python client"
        row = Row(
            name=name,
            what=f"{task.what}; against {against}",
            unit="us",
            ours=ours,
            plain=sample,
            kind="share",
            aim=task.aim,
            note=f"{_rate(task, ours.median)} against {_rate(task, sample.median)} {task.rate}",
        )
        yield row if side == "wasmtime-47" else replace(row, name=f"{name}.python", aim=None)


def _rate(task: Task, microseconds: float) -> str:
    return f"{task.scale / microseconds if task.rate == 'MB/s' else 1e6 / microseconds:,.0f}"


def _filled(value: Any, ports: dict[str, str]) -> Any:
    """``value`` with ports in place of their names, all the way down."""
    if isinstance(value, dict):
        return {name: _filled(inner, ports) for name, inner in value.items()}
    return [text.format(**ports) for text in value]


def _guest(sandbox: Sandbox) -> Callable[[Sequence[str]], str]:
    def run(arguments: Sequence[str]) -> str:
        outcome = sandbox.run(arguments=list(arguments))
        said = (outcome.stdout or b"").decode()
        if outcome.exit_status:
            raise RuntimeError(f"{arguments[0]}: {outcome.how}: {outcome.reason}: {said}")
        return said

    return run


def _script(command: list[str]) -> Callable[[Sequence[str]], str]:
    def run(arguments: Sequence[str]) -> str:
        done = subprocess.run([*command, *arguments], capture_output=True, check=False, text=True)
        if done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    return run


def microseconds(name: str, printed: str) -> float:
    """What a guest or client says that it took. Raises ``RuntimeError`` where it says something else."""
    found = re.fullmatch(r"count=\d+ bytes=\d+ nanoseconds=(\d+)\n", printed)
    if found is None:
        raise RuntimeError(f"{name}: {printed}")
    return int(found[1]) / 1e3


def _allowed(bench: Bench) -> Iterator[Row]:
    times = bench.count(1000, 2)
    told = _policy(bench, "network.allowed", {**ANYWHERE, "audit": "all"}, events=times + 10)
    untold = _policy(bench, "network.untold", {**ANYWHERE, "audit": "refusals"}, events=times + 10)
    bench.settle(GUEST)
    with (
        one_processor(),
        peers() as servers,
        bench.sandbox(told, audit=bench.directory / "network.allowed.jsonl") as telling,
        bench.sandbox(untold, audit=bench.directory / "network.untold.jsonl") as silent,
    ):

        def connects(sandbox: Sandbox) -> Callable[[], float]:
            run, arguments = _guest(sandbox), ["connects", LOOPBACK, servers.ports["accept"], str(times)]
            return lambda: microseconds("network.allowed", run(arguments)) / times

        ours, plain = interleave(connects(telling), connects(silent), bench.count(15))
    yield Row(
        name="network.allowed",
        what="one TCP connection, made and closed: audit: all, trail in a file, beyond that without",
        unit="us",
        ours=ours,
        plain=plain,
        kind="added",
    )


def _start(bench: Bench) -> Iterator[Row]:
    for suffix, source, arguments, what in (
        ("", bench.operations, ["n", "1"], "a guest that imports no sockets"),
        (".imported", GUEST, ["lookup", "localhost", "0"], "a guest that imports sockets and uses none"),
    ):
        name = f"start.network{suffix}"
        granted = bench.policy(name, source, [], stream="inherit", sockets=ANYWHERE)
        nothing = bench.policy(f"{name}.without", source, [], stream="inherit")
        bench.settle(source)
        with_, without = repeated(bench, granted, arguments), repeated(bench, nothing, arguments)
        for processor in (False, True):
            ours, plain = interleave(
                lambda: process(with_, bench.environment, processor=processor),  # noqa: B023 - called at once
                lambda: process(without, bench.environment, processor=processor),  # noqa: B023
                bench.count(11 if processor else 31),
            )
            measured = "processor time" if processor else "whole process, warm cache"
            yield Row(
                name=f"{name}.processor" if processor else name,
                what=f"{what}, {measured}: a policy that grants sockets, beyond one that does not",
                unit="ms",
                ours=ours,
                plain=plain,
                kind="added",
            )
