"""``pollable`` as the guard's own, where sockets are granted: one ``poll`` may wait for sockets, timers and Wasmtime's.

A pollable of Wasmtime's is waited for by Wasmtime, one of a socket by the worker, and neither can wait for the other's.
So timers are the guard's, and end the worker's wait in time; where pollables of Wasmtime's stand beside sockets, the
worker's wait is cut into short ones, and Wasmtime is asked in between.
"""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard.builder import BROKERED, TAG, TIMER, Builder, Kind
from sandbox.guard.reflect import Unsupported
from sandbox.guard.state import AUXILIARY, RESULT, SCRATCH

READY = 3 << 2 | BROKERED
"""The representation of a pollable that is always ready."""
STATE, READABLE, WRITABLE = 0, 1, 2
"""Sides of an object of the worker's that may be waited for; 3 is always ready."""
FOR_EVER = -1
FIRST_SLICE, LONGEST_SLICE = 100_000, 10_000_000
"""How long the worker waits before Wasmtime is asked again, in nanoseconds: at first, and at most."""
MAX_POLLABLES = 1 << 20
UNSENT = "(global $unsent (mut i32) (i32.const 0))"
"""Whether the worker holds something that the network had no room for: then it is not left out of any wait, since it is
in these that it sends it."""

NOW = ty.Function((), ty.U64)


def emit(b: Builder, interface: int) -> None:
    """Guard ``wasi:io/poll``."""
    for name, function in b.imports.interfaces[interface].functions:
        types = [t for _, t in function.params]
        match name, types, function.result:
            case "poll", [ty.List(ty.Borrow(r))], ty.List(ty.Scalar("u32")) if b.kinds[r] is Kind.POLLABLE:
                waits_for(b, r)
                text = f"""
    (i32.store (i32.const {RESULT + 4}) (call $await (local.get 0) (local.get 1)))
    (i32.store (i32.const {RESULT}) (global.get $awaited))
    (i32.const {RESULT})"""
                b.emit(interface, name, function, text)
            case "[method]pollable.block", [ty.Borrow(r)], None if b.kinds[r] is Kind.POLLABLE:
                waits_for(b, r)
                text = f"(i32.store (i32.const {SCRATCH}) (local.get 0))"
                b.emit(interface, name, function, f"{text} (drop (call $await (i32.const {SCRATCH}) (i32.const 1)))")
            case "[method]pollable.ready", [ty.Borrow(r)], ty.Scalar("bool") if b.kinds[r] is Kind.POLLABLE:
                waits_for(b, r)
                b.emit(interface, name, function, "(call $ready (local.get 0))")
            case _:
                raise b.unknown(interface, name)


def timer(b: Builder, pollable: int, deadline: str) -> str:
    """Text that leaves a new pollable which is ready from ``deadline`` on, by Wasmtime's monotonic clock."""
    b.helpers.setdefault(
        "timer",
        f"""
  (func $timer (param $deadline i64) (result i32) (local $at i32)
    (local.set $at (call $timer_slot))
    (i64.store (local.get $at) (local.get $deadline))
    (call {b.new(pollable)} (i32.or (local.get $at) (i32.const {TIMER}))))""",
    )
    return f"(call $timer {deadline})"


def after(b: Builder, pollable: int, duration: str) -> str:
    """Text that leaves the time after ``duration``, or the last there is."""
    now = _clock(b, pollable, "now")
    b.helpers.setdefault(
        "after",
        f"""
  (func $after (param $duration i64) (result i64) (local $then i64)
    (local.set $then (i64.add (call {now}) (local.get $duration)))
    (select (i64.const -1) (local.get $then) (i64.lt_u (local.get $then) (local.get $duration))))""",
    )
    return f"(call $after {duration})"


def pollable_of(b: Builder, function: ty.Function) -> int | None:
    """The pollable that a function hands out, where it is the guard's."""
    result = function.result
    if isinstance(result, ty.Own) and b.kinds[result.resource] is Kind.POLLABLE:
        return result.resource
    return None


def subscribe(b: Builder, pollable: int, number: str, side: int) -> str:
    """Text that leaves a new pollable for one side of an object of the worker's."""
    word = f"(i32.or (i32.shl {number} (i32.const 4)) (i32.const {side << 2 | BROKERED}))"
    return f"(call {b.new(pollable)} {word})"


def _clock(b: Builder, pollable: int, name: str) -> str:
    expected = NOW if name == "now" else ty.Function((("when", ty.U64),), ty.Own(pollable))
    return b.native(b.companion("wasi:clocks/monotonic-clock", pollable), name, expected)


def waits_for(b: Builder, pollable: int) -> None:
    """Have ``$await`` and ``$ready`` at hand."""
    if "await" in b.helpers:
        return
    if len([n for n, kind in b.kinds.items() if kind is Kind.POLLABLE]) != 1:
        raise Unsupported("it imports several types of pollables, where WASI 0.2 has one")
    io = b.companion("wasi:io/poll", pollable)
    poll = b.native(io, "poll", ty.Function((("in", ty.List(ty.Borrow(pollable))),), ty.List(ty.U32)))
    ready = b.native(io, "[method]pollable.ready", ty.Function((("self", ty.Borrow(pollable)),), ty.BOOL))
    now, wait = _clock(b, pollable, "now"), b.host("wait")
    later, drop = _clock(b, pollable, "subscribe-duration"), b.drop(pollable)
    index = "(i32.shl (local.get $i) (i32.const 2))"
    b.globals["unsent"] = UNSENT
    b.globals["awaited"] = "(global $awaited (mut i32) (i32.const 0))"
    b.helpers["await"] = f"""
  (func $wait (param $what i32) (param $count i32) (param $time i64) (result i32)
    (call {wait} (local.get $what) (i32.shl (local.get $count) (i32.const 2)) (local.get $time) (i32.const {AUXILIARY}))
    (if (i32.ne (i32.load (i32.const {AUXILIARY + 4})) (i32.add (local.get $count) (i32.const 1))) (then unreachable))
    (local.set $what (i32.load (i32.const {AUXILIARY})))
    (global.set $unsent (i32.load8_u (i32.add (local.get $what) (local.get $count))))
    (local.get $what))
  (func $ready (param $rep i32) (result i32)
    (if (i32.eqz (i32.and (local.get $rep) (i32.const {TAG}))) (then
      (return (call {ready} (i32.shr_u (local.get $rep) (i32.const 2))))))
    (if (i32.and (local.get $rep) (i32.const {TIMER})) (then
      (return (i64.le_u (i64.load (i32.and (local.get $rep) (i32.const -4))) (call {now})))))
    (i32.store (i32.const {SCRATCH}) (i32.shr_u (local.get $rep) (i32.const 2)))
    (i32.load8_u (call $wait (i32.const {SCRATCH}) (i32.const 1) (i64.const 0))))
  ;; How many of the list are ready, once one is; $awaited is then where their places in it are.
  (func $await (param $list i32) (param $count i32) (result i32)
    (local $i i32) (local $rep i32) (local $k i32) (local $what i32) (local $what_at i32) (local $native i32)
    (local $native_at i32) (local $flags i32) (local $whats i32) (local $natives i32) (local $found i32)
    (local $soonest i64) (local $now i64) (local $left i64) (local $slice i64) (local $mark i32) (local $timer i32)
    (local $answer i32)
    ;; An empty list would wait for ever: WASI says that it traps.
    (if (i32.gt_u (i32.sub (local.get $count) (i32.const 1)) (i32.const {MAX_POLLABLES - 1})) (then unreachable))
    (local.set $i (i32.shl (local.get $count) (i32.const 2)))
    (global.set $awaited (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.add (i32.mul (local.get $count) (i32.const 21)) (i32.const 16))))
    (local.set $what (i32.add (global.get $awaited) (local.get $i)))
    (local.set $what_at (i32.add (local.get $what) (local.get $i)))
    (local.set $native_at (i32.add (local.get $what_at) (local.get $i)))
    (local.set $native (i32.add (local.get $native_at) (local.get $i)))
    (local.set $flags (i32.add (i32.add (local.get $native) (local.get $i)) (i32.const 4)))
    (local.set $slice (i64.const {FIRST_SLICE}))
    (local.set $mark (call $mark))
    (loop $again (result i32)
      (call $rewind (local.get $mark))
      (memory.fill (local.get $flags) (i32.const 0) (local.get $count))
      (local.set $whats (i32.const 0)) (local.set $natives (i32.const 0)) (local.set $found (i32.const 0))
      (local.set $soonest (i64.const {FOR_EVER}))
      (local.set $now (call {now}))
      (local.set $i (i32.const 0))
      (block $sorted (loop $next
        (br_if $sorted (i32.ge_u (local.get $i) (local.get $count)))
        (local.set $rep (i32.load (i32.add (local.get $list) {index})))
        (if (i32.and (local.get $rep) (i32.const {TIMER}))
          (then
            (local.set $left (i64.load (i32.and (local.get $rep) (i32.const -4))))
            (if (i64.le_u (local.get $left) (local.get $now))
              (then
                (i32.store8 (i32.add (local.get $flags) (local.get $i)) (i32.const 1))
                (local.set $found (i32.const 1)))
              (else
                (local.set $left (i64.sub (local.get $left) (local.get $now)))
                (if (i64.lt_u (local.get $left) (local.get $soonest)) (then
                  (local.set $soonest (local.get $left)))))))
          (else
            (if (i32.and (local.get $rep) (i32.const {BROKERED}))
              (then
                (local.set $k (i32.shl (local.get $whats) (i32.const 2)))
                (i32.store (i32.add (local.get $what) (local.get $k)) (i32.shr_u (local.get $rep) (i32.const 2)))
                (i32.store (i32.add (local.get $what_at) (local.get $k)) (local.get $i))
                (local.set $whats (i32.add (local.get $whats) (i32.const 1))))
              (else
                (local.set $k (i32.shl (local.get $natives) (i32.const 2)))
                (i32.store (i32.add (local.get $native) (local.get $k)) (i32.shr_u (local.get $rep) (i32.const 2)))
                (i32.store (i32.add (local.get $native_at) (local.get $k)) (local.get $i))
                (local.set $natives (i32.add (local.get $natives) (i32.const 1)))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
      (if (i32.or (local.get $whats) (global.get $unsent))
        (then
          (local.set $i (i32.const 0))
          (block $asked (loop $next
            (br_if $asked (i32.ge_u (local.get $i) (local.get $natives)))
            (if (call {ready} (i32.load (i32.add (local.get $native) {index}))) (then
              (i32.store8
                (i32.add (local.get $flags) (i32.load (i32.add (local.get $native_at) {index}))) (i32.const 1))
              (local.set $found (i32.const 1))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
          (if (i32.and (i32.ne (local.get $natives) (i32.const 0)) (i64.lt_u (local.get $slice) (local.get $soonest)))
            (then (local.set $soonest (local.get $slice))))
          (if (local.get $found) (then (local.set $soonest (i64.const 0))))
          (local.set $answer (call $wait (local.get $what) (local.get $whats) (local.get $soonest)))
          (local.set $i (i32.const 0))
          (block $told (loop $next
            (br_if $told (i32.ge_u (local.get $i) (local.get $whats)))
            (if (i32.load8_u (i32.add (local.get $answer) (local.get $i))) (then
              (i32.store8
                (i32.add (local.get $flags) (i32.load (i32.add (local.get $what_at) {index}))) (i32.const 1))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
          (local.set $slice (i64.shl (local.get $slice) (i64.const 1)))
          (if (i64.gt_u (local.get $slice) (i64.const {LONGEST_SLICE})) (then
            (local.set $slice (i64.const {LONGEST_SLICE})))))
        (else
          (local.set $timer (i32.const 0))
          (if (local.get $found) (then (local.set $soonest (i64.const 0))))
          (if (i64.ne (local.get $soonest) (i64.const {FOR_EVER})) (then
            (local.set $timer (call {later} (local.get $soonest)))
            (i32.store (i32.add (local.get $native) (i32.shl (local.get $natives) (i32.const 2))) (local.get $timer))
            (local.set $k (i32.const 1)))
            (else (local.set $k (i32.const 0))))
          (call {poll} (local.get $native) (i32.add (local.get $natives) (local.get $k)) (i32.const {AUXILIARY}))
          (if (local.get $k) (then (call {drop} (local.get $timer))))
          (local.set $answer (i32.load (i32.const {AUXILIARY})))
          (local.set $i (i32.const 0))
          (block $told (loop $next
            (br_if $told (i32.ge_u (local.get $i) (i32.load (i32.const {AUXILIARY + 4}))))
            (local.set $k (i32.load (i32.add (local.get $answer) {index})))
            (if (i32.lt_u (local.get $k) (local.get $natives)) (then
              (i32.store8 (i32.add (local.get $flags)
                (i32.load (i32.add (local.get $native_at) (i32.shl (local.get $k) (i32.const 2))))) (i32.const 1))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))))
      (local.set $found (i32.const 0))
      (local.set $i (i32.const 0))
      (block $counted (loop $next
        (br_if $counted (i32.ge_u (local.get $i) (local.get $count)))
        (if (i32.load8_u (i32.add (local.get $flags) (local.get $i))) (then
          (i32.store (i32.add (global.get $awaited) (i32.shl (local.get $found) (i32.const 2))) (local.get $i))
          (local.set $found (i32.add (local.get $found) (i32.const 1)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
      (br_if $again (i32.eqz (local.get $found)))
      (local.get $found)))"""
