"""``wasi:clocks``: real clocks are Wasmtime's own; coarse and frozen ones are the guard's, over the same pollables."""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard import waits
from sandbox.guard.builder import Builder
from sandbox.guard.state import RESULT

COARSE = 1_000_000
"""Resolution of a coarse clock, in nanoseconds."""
FROZEN_WALL = 315_532_800
"""What a frozen wall clock shows, in seconds since 1970: 1980-01-01T00:00:00Z, the first time of a ZIP file."""

FROZEN_MONOTONIC = 1_000_000_000
"""What a frozen monotonic clock shows, in nanoseconds. Not 0: Go takes that for a clock that does not work."""

INSTANT = ty.U64
DATETIME = ty.Record((("seconds", ty.U64), ("nanoseconds", ty.U32)))


def emit_monotonic(b: Builder, interface: int) -> None:
    """Guard ``wasi:clocks/monotonic-clock``. A wait takes its real time whatever the clock shows."""
    mode = b.shape.monotonic
    for name, function in b.imports.interfaces[interface].functions:
        types = [t for _, t in function.params]
        if name in ("now", "resolution"):
            known = not types and function.result == INSTANT
        else:
            known = types == [INSTANT] and isinstance(function.result, ty.Own)
        if not known or name not in ("now", "resolution", "subscribe-instant", "subscribe-duration"):
            raise b.unknown(interface, name)
        told = ""
        if mode == "denied" and name != "subscribe-duration":
            told = b.once(b.site(interface, name, "clocks.monotonic"))
        pollable = waits.pollable_of(b, function)
        if pollable is not None:
            when = "(local.get 0)"
            if name != "subscribe-duration" and mode in ("frozen", "denied"):
                when = _from_frozen(b)
            if name == "subscribe-duration" or mode in ("frozen", "denied"):
                when = waits.after(b, pollable, when)
            b.emit(interface, name, function, f"{told} {waits.timer(b, pollable, when)}")
        elif mode == "real" or name == "subscribe-duration" or (mode == "coarse" and name == "subscribe-instant"):
            b.pass_through(interface, name)
        elif name == "subscribe-instant":
            later = b.native(interface, "subscribe-duration", ty.Function((("when", INSTANT),), function.result))
            b.emit(interface, name, function, f"{told} (call {later} {_from_frozen(b)})")
        elif name == "resolution":
            b.emit(interface, name, function, f"{told} (i64.const {COARSE if mode == 'coarse' else 1})")
        elif mode == "coarse":
            now = b.native(interface, name)
            past = f"(i64.rem_u (local.get $now) (i64.const {COARSE}))"
            text = f"(local.set $now (call {now})) (i64.sub (local.get $now) {past})"
            b.emit(interface, name, function, text, ["$now i64"])
        else:
            b.emit(interface, name, function, f"{told} (i64.const {FROZEN_MONOTONIC})")


def _from_frozen(b: Builder) -> str:
    """How long it is from the time that a frozen clock shows to the instant that the guest names."""
    b.helpers["from_frozen"] = f"""
  (func $from_frozen (param $when i64) (result i64)
    (select (i64.sub (local.get $when) (i64.const {FROZEN_MONOTONIC})) (i64.const 0)
      (i64.gt_u (local.get $when) (i64.const {FROZEN_MONOTONIC}))))"""
    return "(call $from_frozen (local.get 0))"


def emit_wall(b: Builder, interface: int) -> None:
    """Guard ``wasi:clocks/wall-clock``."""
    mode = b.shape.wall
    for name, function in b.imports.interfaces[interface].functions:
        if name not in ("now", "resolution") or function.params or function.result != DATETIME:
            raise b.unknown(interface, name)
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
