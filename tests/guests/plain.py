"""Runs a component under plain wasmtime-py, without any sandbox: what a guest does when nobody narrows anything.

    python tests/guests/plain.py [--dir HOST::GUEST[::ro]] [--env NAME=VALUE] GUEST [ARGUMENT...]

``GUEST`` is a component, or component text (``.wat``). The exit status is the guest's own where Wasmtime tells it,
0 or 1 from ``wasi:cli/run``, or 134 for a trap, whose message goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from wasmtime import Engine, ExitTrap, Store, WasiConfig, WasmtimeError, wat2wasm
from wasmtime.component import Component, Linker, Variant

TRAPPED = 134


def guest_bytes(path: Path) -> bytes:
    """The component in ``path``, encoded first when it is text."""
    data = path.read_bytes()
    return bytes(wat2wasm(data.decode())) if path.suffix == ".wat" else data


def run(
    guest: Path,
    arguments: Sequence[str] = (),
    *,
    directories: Sequence[tuple[str, str, bool]] = (),
    environment: Sequence[tuple[str, str]] = (),
) -> int:
    """Runs ``wasi:cli/run`` of ``guest`` with inherited streams and returns the exit status.

    ``directories`` are (host path, guest path, writable). Raises ``WasmtimeError`` when the component cannot be
    compiled or linked: an import that Wasmtime does not serve, for one.
    """
    engine = Engine()
    component = Component(engine, guest_bytes(guest))
    run_interfaces = [name for name in component.type.exports(engine) if name.startswith("wasi:cli/run@")]
    if len(run_interfaces) != 1:
        raise SystemExit(f"{guest}: exports no wasi:cli/run")
    linker = Linker(engine)
    linker.add_wasip2()
    config = WasiConfig()
    config.argv = [guest.stem, *arguments]
    config.env = list(environment)
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    for host, name, writable in directories:
        config.preopen_dir(host, name, writable)
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
