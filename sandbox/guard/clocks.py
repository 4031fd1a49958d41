"""``wasi:clocks``: real clocks are Wasmtime's own; coarse and frozen ones are the guard's, over the same pollables."""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard.builder import Builder
from sandbox.guard.reflect import Unsupported
from sandbox.guard.state import RESULT

COARSE = 1_000_000
"""Resolution of a coarse clock, in nanoseconds."""
FROZEN_WALL = 315_532_800
"""What a frozen wall clock shows, in seconds since 1970: 1980-01-01T00:00:00Z, the first time that a ZIP file can hold."""

INSTANT = ty.U64


def emit_monotonic(b: Builder, interface: int) -> None:
    """Guard ``wasi:clocks/monotonic-clock``. A wait takes its real time whatever the clock shows."""
    mode = b.shape.monotonic
    for name, function in b.imports.interfaces[interface].functions:
        known = {"now": 0, "resolution": 0, "subscribe-instant": 1, "subscribe-duration": 1}
        if len(function.params) != known.get(name, -1):
            raise Unsupported(f"it imports {name} of {b.interfaces[interface].name}, which is not WASI 0.2's")
        if mode == "real" or name == "subscribe-duration" or (mode == "coarse" and name == "subscribe-instant"):
            b.pass_through(interface, name)
            continue
        told = ""
        if mode == "denied":
            told = b.once(b.site(interface, name, "clocks.monotonic"))
        if name == "subscribe-instant":
            waits = b.native(interface, "subscribe-duration", ty.Function((("when", INSTANT),), function.result))
            b.emit(interface, name, function, f"{told} (call {waits} (local.get 0))")
        elif name == "resolution":
            b.emit(interface, name, function, f"{told} (i64.const {COARSE if mode == 'coarse' else 1})")
        elif mode == "coarse":
            now = b.native(interface, name)
            text = f"(local.set $now (call {now})) (i64.sub (local.get $now) (i64.rem_u (local.get $now) (i64.const {COARSE})))"
            b.emit(interface, name, function, text, ["$now i64"])
        else:
            b.emit(interface, name, function, f"{told} (i64.const 0)")


def emit_wall(b: Builder, interface: int) -> None:
    """Guard ``wasi:clocks/wall-clock``."""
    mode = b.shape.wall
    for name, function in b.imports.interfaces[interface].functions:
        if name not in ("now", "resolution") or function.params:
            raise Unsupported(f"it imports {name} of {b.interfaces[interface].name}, which is not WASI 0.2's")
        if mode == "real":
            b.pass_through(interface, name)
            continue
        told = ""
        if mode == "denied":
            told = b.once(b.site(interface, name, "clocks.wall"))
        if mode == "coarse" and name == "now":
            call, result = b.call(interface, name, function)
            at = f"(i32.load (i32.const {RESULT + 8}))"
            text = (
                f"{call} (i32.store (i32.const {RESULT + 8}) (i32.sub {at}"
                f" (i32.rem_u {at} (i32.const {COARSE})))) {result}"
            )
        else:
            seconds, nanoseconds = (FROZEN_WALL, 0) if name == "now" else (0, COARSE if mode == "coarse" else 1)
            text = (
                f"{told} (i64.store (i32.const {RESULT}) (i64.const {seconds}))"
                f" (i32.store (i32.const {RESULT + 8}) (i32.const {nanoseconds})) (i32.const {RESULT})"
            )
        b.emit(interface, name, function, text)
