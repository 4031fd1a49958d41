"""Runs a guest under plain wasmtime-py, without any sandbox: what it does when nobody narrows anything.

    python tests/guests/plain.py [--dir HOST::GUEST[::ro]] [--env NAME=VALUE] GUEST [ARGUMENT...]

``GUEST`` is a component, a module for preview 1, or the text (``.wat``) of either. The exit status is the guest's own
where Wasmtime tells it, 0 or 1 from ``wasi:cli/run``, or 134 for a trap, whose message goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import wasmtime
from wasmtime import Engine, ExitTrap, Func, Store, Trap, WasiConfig, WasmtimeError, wat2wasm
from wasmtime.component import Component, Linker, Variant

TRAPPED = 134
MODULE = b"\0asm\1\0\0\0"
"""What a core module begins with."""


class Ended(NamedTuple):
    """How a guest ended: its exit status, or ``TRAPPED`` and what Wasmtime says."""

    status: int
    error: str | None = None


class Streams(NamedTuple):
    """Files for the standard streams; ``None``: this process's own."""

    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None


INHERITED = Streams()


def guest_bytes(path: Path) -> bytes:
    """The guest in ``path``, encoded first when it is text."""
    data = path.read_bytes()
    return bytes(wat2wasm(data.decode())) if path.suffix == ".wat" else data


def configuration(
    arguments: Sequence[str],
    directories: Sequence[tuple[str, str, bool]],
    environment: Sequence[tuple[str, str]],
    streams: Streams = INHERITED,
) -> WasiConfig:
    """Just these; the first of ``arguments`` is argument 0. ``directories`` are (host path, guest path, writable)."""
    config = WasiConfig()
    config.argv = list(arguments)
    config.env = list(environment)
    if streams.stdin is None:
        config.inherit_stdin()
    else:
        config.stdin_file = streams.stdin
    if streams.stdout is None:
        config.inherit_stdout()
    else:
        config.stdout_file = streams.stdout
    if streams.stderr is None:
        config.inherit_stderr()
    else:
        config.stderr_file = streams.stderr
    for host, name, writable in directories:
        config.preopen_dir(host, name, writable)
    return config


def run_module(module: wasmtime.Module, config: WasiConfig, engine: Engine) -> Ended:
    """Runs ``_start`` of a module for preview 1. Raises ``WasmtimeError`` when it cannot be linked."""
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = Store(engine)
    store.set_wasi(config)
    try:
        start = linker.instantiate(store, module).exports(store)["_start"]
        if not isinstance(start, Func):
            raise SystemExit("the module exports no function _start")
        start(store)
    except ExitTrap as exit_trap:
        return Ended(exit_trap.code)
    except (Trap, WasmtimeError) as error:
        return Ended(TRAPPED, str(error))
    return Ended(0)


def run(
    guest: Path,
    arguments: Sequence[str] = (),
    *,
    directories: Sequence[tuple[str, str, bool]] = (),
    environment: Sequence[tuple[str, str]] = (),
) -> int:
    """Runs ``_start`` or ``wasi:cli/run`` of ``guest`` with inherited streams and returns the exit status.

    ``directories`` are (host path, guest path, writable). Raises ``WasmtimeError`` when the guest cannot be compiled or
    linked: an import that Wasmtime does not serve, for one.
    """
    engine = Engine()
    config = configuration([guest.stem, *arguments], directories, environment)
    data = guest_bytes(guest)
    if data.startswith(MODULE):
        ended = run_module(wasmtime.Module(engine, data), config, engine)
        if ended.error is not None:
            print(ended.error, file=sys.stderr)
        return ended.status
    component = Component(engine, data)
    run_interfaces = [name for name in component.type.exports(engine) if name.startswith("wasi:cli/run@")]
    if len(run_interfaces) != 1:
        raise SystemExit(f"{guest}: exports no wasi:cli/run")
    linker = Linker(engine)
    linker.add_wasip2()
    store = Store(engine)
    store.set_wasi(config)
    try:
        instance = linker.instantiate(store, component)
        interface = instance.get_export_index(store, run_interfaces[0])
        function = instance.get_func(store, instance.get_export_index(store, "run", interface) or "run")
        if function is None:
            raise SystemExit(f"{guest}: exports no run")
        result = function(store)
    except ExitTrap as exit_trap:
        return exit_trap.code
    except WasmtimeError as error:
        print(error, file=sys.stderr)
        return TRAPPED
    return 1 if isinstance(result, Variant) and result.tag == "err" else 0


def directory(text: str) -> tuple[str, str, bool]:
    """``HOST::GUEST`` or ``HOST::GUEST::ro``."""
    host, guest, *mode = text.split("::")
    return host, guest, mode != ["ro"]


def variable(text: str) -> tuple[str, str]:
    """``NAME=VALUE``."""
    name, _, value = text.partition("=")
    return name, value


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a component under plain wasmtime-py.")
    parser.add_argument("--dir", dest="directories", metavar="HOST::GUEST[::ro]", type=directory, action="append")
    parser.add_argument("--env", dest="environment", metavar="NAME=VALUE", type=variable, action="append")
    parser.add_argument("guest", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    return run(
        options.guest,
        options.arguments,
        directories=options.directories or (),
        environment=options.environment or (),
    )


if __name__ == "__main__":
    sys.exit(main())
