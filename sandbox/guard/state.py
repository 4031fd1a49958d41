"""The guard's state: its memory, the descriptor slots in it, and the destructors of the resources that it owns.

Memory, in bytes: 0 to ``RESULT`` is never written; then the areas below; the rest of the first page is the block that
arguments and results are allocated from, which is emptied when a call returns. The second page holds the first slots.
Everything larger is whole pages, grown as needed: a bigger block, or more slots.
"""

from __future__ import annotations

from collections.abc import Iterable

RESULT = 64
"""Where a native function leaves its result, and where the guard's own is read from."""
AUXILIARY = 2048
"""Results of the guard's own questions to Wasmtime and to the host."""
SCRATCH = 2560
"""Core parameters on their way to the host, eight bytes each."""
GRANTS = 4096
"""One entry of eight bytes a preopen: flags, and the handle that routed calls go through."""
MAX_GRANTS = 256
ONCE = GRANTS + 8 * MAX_GRANTS
"""One byte a site that speaks only once."""
MAX_SITES = 2048
BLOCK = ONCE + MAX_SITES

SLOT_NATIVE, SLOT_GRANT, SLOT_LENGTH, SLOT_PATH = 0, 4, 8, 12
PATH_MAX = 4096
SLOT_SIZE = SLOT_PATH + PATH_MAX
SLOTS_PER_PAGE = 65536 // SLOT_SIZE

DECOY, ROUTED, HARD_LINKS = 1, 2, 4
"""Flags of a grant."""


def state_module(descriptors: Iterable[int], directory_streams: Iterable[int], output_streams: Iterable[int]) -> str:
    """The text of the core module, for the resources (by number) that the guard owns.

    It imports ``native.drop<n>``, which drops Wasmtime's handle of resource ``n``, and exports ``drop<n>``, the
    destructor of the guard's.
    """
    imports, destructors = [], []

    def destructor(resource: int, body: str) -> None:
        imports.append(f'(import "native" "drop{resource}" (func $native{resource} (param i32)))')
        destructors.append(f'(func (export "drop{resource}") (param $rep i32) {body})')

    closed = "(global.set $open (i32.sub (global.get $open) (i32.const 1)))"
    for n in descriptors:
        destructor(
            n,
            f"(call $native{n} (i32.load (local.get $rep))) (i32.store (local.get $rep) (global.get $free))"
            f" (global.set $free (local.get $rep)) {closed}",
        )
    for n in directory_streams:
        destructor(n, f"(call $native{n} (local.get $rep)) {closed}")
    for n in output_streams:
        destructor(n, f"(call $native{n} (i32.shr_u (local.get $rep) (i32.const 1)))")

    return f"""(core module $state
  {" ".join(imports)}
  (memory (export "memory") 2)
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
  {" ".join(destructors)})"""
