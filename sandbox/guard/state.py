"""The guard's state: its memory, the descriptor slots in it, and the destructors of the resources that it owns.

Memory, in bytes: 0 to ``RESULT`` is never written, and holds ``DOT``; then the areas below; the rest of the first page
is the block that arguments and results are allocated from, which is emptied when a call returns. The second page holds
the first slots. Everything larger is whole pages, grown as needed: a bigger block, or more slots.
"""

from __future__ import annotations

from collections.abc import Mapping

DOT = 16
"""The path of a directory from itself, one byte."""
RESULT = 64
"""Where a native function leaves its result, and where the guard's own is read from."""
AUXILIARY = 2048
"""Results of the guard's own questions to Wasmtime and to the host."""
SCRATCH = 2560
"""Core parameters on their way to the host, eight bytes each."""
CLEAR, CLEARS = 3072, 256
"""Numbers of sockets, four bytes each, that can be written to without asking."""
GRANTS = 4096
"""One entry of eight bytes a preopen: flags, and the handle that routed calls go through."""
MAX_GRANTS = 256
ONCE = GRANTS + 8 * MAX_GRANTS
"""One byte a site that speaks only once."""
MAX_SITES = 8192
"""Places in one guard, of all instances of a program together. All of WASI 0.2 takes an instance 90."""
BLOCK = ONCE + MAX_SITES

SLOT_NATIVE, SLOT_GRANT, SLOT_LENGTH, SLOT_PATH = 0, 4, 8, 12
PATH_MAX = 4096
SLOT_SIZE = SLOT_PATH + PATH_MAX
SLOTS_PER_PAGE = 65536 // SLOT_SIZE

TIMER_SIZE = 16
"""Bytes of a timer: the time when it ends, in nanoseconds of Wasmtime's monotonic clock."""

DECOY, ROUTED, HARD_LINKS = 1, 2, 4
"""Flags of a grant."""
OWNER = 3
"""How far the number of the component that it belongs to is shifted in them; the flags of a grant have one byte."""


def state_module(destructors: Mapping[int, str], *, tells_drops: bool) -> str:
    """The text of the core module.

    ``destructors`` gives, for each resource (by number) that the guard owns, what happens to ``$rep``: see the
    functions below. The module imports ``native.drop<n>``, which drops Wasmtime's handle of resource ``n``, where the
    text calls it, and ``host.drop`` if ``tells_drops``; it exports ``drop<n>``.
    """
    imports = ['(import "host" "drop" (func $drop (param i64)))'] if tells_drops else []
    exports = []
    for n, text in destructors.items():
        if f"$native{n} " in text:
            imports.append(f'(import "native" "drop{n}" (func $native{n} (param i32)))')
        exports.append(f'(func (export "drop{n}") (param $rep i32) {text})')

    return f"""(core module $state
  {" ".join(imports)}
  (memory (export "memory") 2)
  (data (i32.const {DOT}) ".")
  (global $start (mut i32) (i32.const {BLOCK}))
  (global $next (mut i32) (i32.const {BLOCK}))
  (global $end (mut i32) (i32.const 65536))
  (global $free (mut i32) (i32.const 0))
  (global $fresh (mut i32) (i32.const 65536))
  (global $carved (mut i32) (i32.const {65536 + SLOTS_PER_PAGE * SLOT_SIZE}))
  (global $open (export "open") (mut i32) (i32.const 0))
  (func $pages (param $bytes i32) (result i32) (local $old i32)
    (local.set $old (memory.grow (i32.shr_u (i32.add (local.get $bytes) (i32.const 65535)) (i32.const 16))))
    (if (i32.eq (local.get $old) (i32.const -1)) (then unreachable))
    (i32.shl (local.get $old) (i32.const 16)))
  (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $room i32)
    (if (i32.gt_u (local.get $size) (i32.const 0x70000000)) (then unreachable))
    ;; Eight is the widest alignment, and a string of the guest's must lie evenly to be passed on to the host.
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (if (i32.gt_u (local.get $size) (i32.sub (global.get $end) (local.get $at))) (then
      (local.set $room (i32.shl (i32.sub (global.get $end) (global.get $start)) (i32.const 1)))
      (if (i32.gt_u (local.get $size) (local.get $room)) (then (local.set $room (local.get $size))))
      (local.set $room (i32.and (i32.add (local.get $room) (i32.const 65535)) (i32.const 0xffff0000)))
      (local.set $at (call $pages (local.get $room)))
      (global.set $start (local.get $at))
      (global.set $end (i32.add (local.get $at) (local.get $room)))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (if (local.get $old) (then (memory.copy (local.get $at) (local.get $old)
      (select (local.get $had) (local.get $size) (i32.lt_u (local.get $had) (local.get $size))))))
    (local.get $at))
  (func $empty (export "post") (global.set $next (global.get $start)))
  (func (export "post-i32") (param i32) (call $empty))
  (func (export "post-i64") (param i64) (call $empty))
  ;; A slot that is free, else one never used: its pages are not touched, and so take no memory, before it is.
  (func (export "slot") (result i32) (local $slot i32)
    (local.set $slot (global.get $free))
    (if (local.get $slot)
      (then (global.set $free (i32.load (local.get $slot))))
      (else
        (if (i32.eq (global.get $fresh) (global.get $carved)) (then
          (global.set $fresh (call $pages (i32.const 65536)))
          (global.set $carved (i32.add (global.get $fresh) (i32.const {SLOTS_PER_PAGE * SLOT_SIZE})))))
        (local.set $slot (global.get $fresh))
        (global.set $fresh (i32.add (local.get $slot) (i32.const {SLOT_SIZE})))))
    (local.get $slot))
  (func (export "mark") (result i32) (global.get $next))
  ;; Give back what was allocated since the mark, for calls that wait in a loop.
  ;; Where the block grew meanwhile, all of the new one was allocated since.
  (func (export "rewind") (param $mark i32)
    (global.set $next (select (local.get $mark) (global.get $start)
      (i32.and (i32.ge_u (local.get $mark) (global.get $start)) (i32.le_u (local.get $mark) (global.get $end))))))
  (global $free_timer (mut i32) (i32.const 0))
  (global $fresh_timer (mut i32) (i32.const 0))
  (global $left_timers (mut i32) (i32.const 0))
  (func (export "timer") (result i32) (local $at i32)
    (local.set $at (global.get $free_timer))
    (if (local.get $at)
      (then (global.set $free_timer (i32.load (local.get $at))))
      (else
        (if (i32.eqz (global.get $left_timers)) (then
          (global.set $fresh_timer (call $pages (i32.const 65536)))
          (global.set $left_timers (i32.const {65536 // TIMER_SIZE}))))
        (local.set $at (global.get $fresh_timer))
        (global.set $fresh_timer (i32.add (local.get $at) (i32.const {TIMER_SIZE})))
        (global.set $left_timers (i32.sub (global.get $left_timers) (i32.const 1)))))
    (local.get $at))
  (func $free_timer (param $at i32)
    (i32.store (local.get $at) (global.get $free_timer))
    (global.set $free_timer (local.get $at)))
  {" ".join(exports)})"""


_CLOSED = "(global.set $open (i32.sub (global.get $open) (i32.const 1)))"


def drops_descriptor(n: int) -> str:
    return (
        f"(call $native{n} (i32.load (local.get $rep))) (i32.store (local.get $rep) (global.get $free))"
        f" (global.set $free (local.get $rep)) {_CLOSED}"
    )


def drops_directory_stream(n: int) -> str:
    return f"(call $native{n} (local.get $rep)) {_CLOSED}"


def drops_tagged(n: int, otherwise: str = "") -> str:
    """Of what may be Wasmtime's or stand for an object of the worker's: see ``builder.TAG``."""
    native = f"(call $native{n} (i32.shr_u (local.get $rep) (i32.const 2)))"
    if not otherwise:
        return native
    return f"(if (i32.and (local.get $rep) (i32.const 2)) (then {otherwise}) (else {native}))"


def drops_pollable(n: int) -> str:
    return f"""
    (if (i32.eqz (i32.and (local.get $rep) (i32.const 3))) (then
      (call $native{n} (i32.shr_u (local.get $rep) (i32.const 2)))))
    (if (i32.and (local.get $rep) (i32.const 1)) (then (call $free_timer (i32.and (local.get $rep) (i32.const -4)))))"""


def tells_drop(rep: str, side: int) -> str:
    return f"(call $drop (i64.or (i64.const {side << 32}) (i64.extend_i32_u {rep})))"
