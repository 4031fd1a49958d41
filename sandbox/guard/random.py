"""``wasi:random``: the host's secure source is Wasmtime's own; seeded numbers come from SplitMix64 inside the guard."""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard.builder import Builder, same_types
from sandbox.guard.state import RESULT

MAX_BYTES = 1 << 26
"""Bytes that one call may ask a seeded source for; more traps, as it does in Wasmtime."""

BYTES = ty.Function((("len", ty.U64),), ty.List(ty.U8))
NUMBER = ty.Function((), ty.U64)
SEED = ty.Function((), ty.Tuple((ty.U64, ty.U64)))

FUNCTIONS = {
    "get-random-bytes": BYTES,
    "get-random-u64": NUMBER,
    "get-insecure-random-bytes": BYTES,
    "get-insecure-random-u64": NUMBER,
    "insecure-seed": SEED,
}


SPLITMIX = """
    (global.set $random (i64.add (global.get $random) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $z (global.get $random))
    (local.set $z (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 30))))
    (local.set $z (i64.mul (local.get $z) (i64.const 0xbf58476d1ce4e5b9)))
    (local.set $z (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 27))))
    (local.set $z (i64.mul (local.get $z) (i64.const 0x94d049bb133111eb)))
    (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 31)))"""
"""The next number of the generator whose state is the global ``$random``; the local ``$z`` is for it alone."""


def emit(b: Builder, interface: int) -> None:
    """Guard one of the three interfaces of ``wasi:random``.

    Where random numbers are not granted the secure source traps, since silent determinism would betray whoever makes
    keys with it; the insecure ones answer from seed 0.
    """
    for name, function in b.imports.interfaces[interface].functions:
        known = FUNCTIONS.get(name)
        if known is None or not same_types(function, known):
            raise b.unknown(interface, name)
        if b.shape.random == "secure":
            b.pass_through(interface, name)
            continue
        secure = name in ("get-random-bytes", "get-random-u64")
        told = ""
        if b.shape.random == "denied":
            site = b.site(interface, name, "random.secure" if secure else "random.insecure")
            if secure:
                b.emit(interface, name, function, f"{b.tell(site)} unreachable")
                continue
            told = b.once(site)
        number = f"(call {_generator(b)})"
        if known is NUMBER:
            text = f"{told} {number}"
        elif known is SEED:
            text = (
                f"{told} (i64.store (i32.const {RESULT}) {number})"
                f" (i64.store (i32.const {RESULT + 8}) {number}) (i32.const {RESULT})"
            )
        else:
            text = f"""{told}
    (if (i64.gt_u (local.get 0) (i64.const {MAX_BYTES})) (then unreachable))
    (local.set $length (i32.wrap_i64 (local.get 0)))
    (local.set $at
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.add (local.get $length) (i32.const 8))))
    (i32.store (i32.const {RESULT}) (local.get $at)) (i32.store (i32.const {RESULT + 4}) (local.get $length))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (i64.store (local.get $at) {number})
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br $next)))
    (i32.const {RESULT})"""
        b.emit(interface, name, function, text, ["$at i32", "$end i32", "$length i32"])


def _generator(b: Builder) -> str:
    """The core name of the instance's own generator."""
    name = f"$random{b.instance or ''}"
    start = f"(global.set {name} (call {b.host('seed')} (i32.const {b.owner})))" if b.shape.random == "seeded" else ""
    b.globals[name] = f"(global {name} (mut i64) (i64.const 0)) (global {name}_started (mut i32) (i32.const 0))"
    b.helpers[name] = f"""
  (func {name} (result i64) (local $z i64)
    (if (i32.eqz (global.get {name}_started)) (then (global.set {name}_started (i32.const 1)) {start}))
    {SPLITMIX.replace("$random", name)})"""
    return name
