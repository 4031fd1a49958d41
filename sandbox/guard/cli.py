"""``wasi:cli``: environment, arguments, exit status. Standard streams are Wasmtime's, over files of the worker's."""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard.builder import Builder, same_types
from sandbox.guard.state import RESULT

EXITS = {
    "exit": ty.Function((("status", ty.Result(None, None)),), None),
    "exit-with-code": ty.Function((("status-code", ty.U8),), None),
}


def emit_environment(b: Builder, interface: int) -> None:
    """Granted lists are Wasmtime's own, with just what the plan holds; others are empty, and asking is told."""
    granted = {"get-environment": b.shape.environment, "get-arguments": b.shape.arguments, "initial-cwd": True}
    capabilities = {"get-environment": "environment", "get-arguments": "arguments"}
    for name, function in b.imports.interfaces[interface].functions:
        if granted.get(name, True):
            b.pass_through(interface, name)
            continue
        if not isinstance(function.result, ty.List) or function.params:
            raise b.unknown(interface, name)
        told = b.once(b.site(interface, name, capabilities[name]))
        empty = f"(i32.store (i32.const {RESULT}) (i32.const 8)) (i32.store (i32.const {RESULT + 4}) (i32.const 0))"
        b.emit(interface, name, function, f"{told} {empty} (i32.const {RESULT})")


def emit_exit(b: Builder, interface: int) -> None:
    """The guard serves both ways to exit: it tells the host the status and traps, so that all of 0 to 255 arrive."""
    for name, function in b.imports.interfaces[interface].functions:
        known = EXITS.get(name)
        if known is None or not same_types(function, known):
            raise b.unknown(interface, name)
        b.emit(interface, name, function, f"(call {b.host('exit')} (local.get 0)) unreachable")
