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
    """Granted lists are Wasmtime's own, with just what the plan holds; others are empty, and asking is told.

    Wasmtime has one environment for all components of a program, so there the host is asked for this one's.
    """
    granted = {"get-environment": b.shape.environment, "get-arguments": b.shape.arguments, "initial-cwd": True}
    capabilities = {"get-environment": "environment", "get-arguments": "arguments"}
    for name, function in b.imports.interfaces[interface].functions:
        listed = name in capabilities
        if granted.get(name, True) and not (b.shape.program and listed):
            b.pass_through(interface, name)
            continue
        if not isinstance(function.result, ty.List) or function.params:
            raise b.unknown(interface, name)
        if granted[name]:
            _words(b, interface, name, function)
            continue
        told = b.once(b.site(interface, name, capabilities[name]))
        empty = f"(i32.store (i32.const {RESULT}) (i32.const 8)) (i32.store (i32.const {RESULT + 4}) (i32.const 0))"
        b.emit(interface, name, function, f"{told} {empty} (i32.const {RESULT})")


WORDS = {
    "get-environment": (1, ty.List(ty.Tuple((ty.STRING, ty.STRING)))),
    "get-arguments": (0, ty.List(ty.STRING)),
}


def _words(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """A list of strings, or of pairs of strings, that the host has."""
    which, result = WORDS[name]
    if function.result != result:
        raise b.unknown(interface, name)
    b.helpers["words"] = f"""
  ;; The host's strings as an array of addresses and lengths at RESULT: how many there are.
  (func $words (param $what i32) (result i32) (local $at i32) (local $count i32) (local $i i32) (local $list i32)
    (call {b.host("words")} (local.get $what) (i32.const {RESULT}))
    (local.set $at (i32.load (i32.const {RESULT})))
    (local.set $count (i32.load (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 4)))
    (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.shl (local.get $count) (i32.const 3))))
    (i32.store (i32.const {RESULT}) (local.get $list))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
      (i32.store (local.get $list) (i32.add (local.get $at) (i32.const 4)))
      (i32.store offset=4 (local.get $list) (i32.load (local.get $at)))
      (local.set $at (i32.add (i32.add (local.get $at) (i32.const 4)) (i32.load (local.get $at))))
      (local.set $list (i32.add (local.get $list) (i32.const 8)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (local.get $count))"""
    count = f"(call $words (i32.const {2 * b.owner + which}))"
    if which:
        count = f"(i32.shr_u {count} (i32.const 1))"
    b.emit(interface, name, function, f"(i32.store (i32.const {RESULT + 4}) {count}) (i32.const {RESULT})")


def emit_exit(b: Builder, interface: int) -> None:
    """The guard serves both ways to exit: it tells the host the status and traps, so that all of 0 to 255 arrive."""
    for name, function in b.imports.interfaces[interface].functions:
        known = EXITS.get(name)
        if known is None or not same_types(function, known):
            raise b.unknown(interface, name)
        site = b.site(interface, name, "exit")
        status = f"(i32.or (i32.const {site + 1 << 8}) (i32.and (local.get 0) (i32.const 255)))"
        b.emit(interface, name, function, f"(call {b.host('exit')} {status}) unreachable")
