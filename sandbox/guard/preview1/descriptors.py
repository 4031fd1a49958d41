"""Descriptors: which of Wasmtime's stands behind each of the guest's, what was opened there, and what is done to it."""

from __future__ import annotations

from sandbox.guard.preview1.base import arguments
from sandbox.guard.preview1.layout import READS, WRITES

TEXT = """
  (global $entries (mut i32) (i32.const {ENTRIES}))
  (global $capacity (mut i32) (i32.const {FIRST_ENTRIES}))
  (global $top (mut i32) (i32.const 0)) ;; one more than the highest number that was ever given
  (global $freed (mut i32) (i32.const 0)) ;; how many numbers below it are free
  (global $open (mut i32) (i32.const 0))
  (global $handles (mut i32) (i32.const 0))
  (global $disk_limit (mut i64) (i64.const 0))
  (global $disk_used (mut i64) (i64.const 0))
  (global $counts_writes (mut i32) (i32.const 0))
  (global $free_slot (mut i32) (i32.const 0))
  (global $fresh_slot (mut i32) (i32.const 0))
  (global $left_slots (mut i32) (i32.const 0))

  (func $begin (local $i i32) (local $count i32) (local $slot i32)
    (i32.store8 $own (i32.const {DOT}) (i32.const 46))
    (global.set $handles (i32.load $own (i32.const {HANDLES})))
    (global.set $disk_limit (i64.load $own (i32.const {DISK})))
    (global.set $counts_writes (i32.load $own (i32.const {COUNTS_WRITES})))
    (local.set $count (i32.load $own (i32.const {COUNT})))
    (if (i32.gt_u (local.get $count) (i32.const {MAX_GRANTS})) (then unreachable))
    (global.set $random (i64.load $own (i32.const {SEED})))
    (global.set $open (local.get $count))
    (global.set $top (i32.add (local.get $count) (i32.const 3)))
    (loop $next
      (call $enter (local.get $i) (local.get $i) (i32.const 0))
      (if (i32.ge_u (local.get $i) (i32.const 3)) (then
        (local.set $slot (call $new_slot))
        (if (i32.eqz (local.get $slot)) (then unreachable))
        (i32.store $own offset={SLOT_GRANT} (local.get $slot) (i32.sub (local.get $i) (i32.const 3)))
        (i32.store $own offset={SLOT_LENGTH} (local.get $slot) (i32.const 0))
        (i32.store $own offset={SLOT_KIND} (local.get $slot) (i32.const {ROOT}))
        (call $enter (local.get $i) (local.get $i) (local.get $slot))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (global.get $top)))))

  ;; An entry has eight bytes: Wasmtime's descriptor, or -1 where there is none, and the slot, or 0.
  (func $entry (param $fd i32) (result i32) (i32.add (global.get $entries) (i32.shl (local.get $fd) (i32.const 3))))
  (func $enter (param $fd i32) (param $native i32) (param $slot i32)
    (i32.store $own (call $entry (local.get $fd)) (local.get $native))
    (i32.store $own offset=4 (call $entry (local.get $fd)) (local.get $slot)))
  (func $native (param $fd i32) (result i32)
    (if (i32.ge_u (local.get $fd) (global.get $top)) (then (return (i32.const -1))))
    (i32.load $own (call $entry (local.get $fd))))
  (func $slot (param $fd i32) (result i32)
    (if (i32.ge_u (local.get $fd) (global.get $top)) (then (return (i32.const 0))))
    (i32.load $own offset=4 (call $entry (local.get $fd))))

  ;; The number that Wasmtime would give: the highest that was given back, else one never given. -1: no memory.
  (func $number (result i32) (local $fd i32) (local $at i32)
    (local.set $fd (global.get $top))
    (if (global.get $freed) (then
      (loop $next
        (local.set $fd (i32.sub (local.get $fd) (i32.const 1)))
        (br_if $next (i32.ne (i32.load $own (call $entry (local.get $fd))) (i32.const -1))))
      (global.set $freed (i32.sub (global.get $freed) (i32.const 1)))
      (return (local.get $fd))))
    (if (i32.eq (global.get $top) (global.get $capacity)) (then
      (local.set $at (call $pages (i32.shl (global.get $capacity) (i32.const 4))))
      (if (i32.eqz (local.get $at)) (then (return (i32.const -1))))
      (memory.copy $own $own (local.get $at) (global.get $entries) (i32.shl (global.get $capacity) (i32.const 3)))
      (global.set $entries (local.get $at))
      (global.set $capacity (i32.shl (global.get $capacity) (i32.const 1)))))
    (global.set $top (i32.add (global.get $top) (i32.const 1)))
    (local.get $fd))
  ;; Fresh memory of at least so many bytes, or 0.
  (func $pages (param $bytes i32) (result i32) (local $old i32)
    (local.set $old
      (memory.grow $own (i32.shr_u (i32.add (local.get $bytes) (i32.const 65535)) (i32.const 16))))
    (if (result i32) (i32.eq (local.get $old) (i32.const -1))
      (then (i32.const 0))
      (else (i32.shl (local.get $old) (i32.const 16)))))
  (func $new_slot (result i32) (local $slot i32)
    (local.set $slot (global.get $free_slot))
    (if (local.get $slot) (then
      (global.set $free_slot (i32.load $own (local.get $slot)))
      (return (local.get $slot))))
    (if (i32.eqz (global.get $left_slots)) (then
      (global.set $fresh_slot (call $pages (i32.const 65536)))
      (if (i32.eqz (global.get $fresh_slot)) (then (return (i32.const 0))))
      (global.set $left_slots (i32.const {SLOTS_PER_PAGE}))))
    (local.set $slot (global.get $fresh_slot))
    (global.set $fresh_slot (i32.add (local.get $slot) (i32.const {SLOT_SIZE})))
    (global.set $left_slots (i32.sub (global.get $left_slots) (i32.const 1)))
    (local.get $slot))

  (func $aligned (param $at i32) (param $mask i32)
    (if (i32.eqz (i32.and (local.get $at) (local.get $mask))) (then (return)))
    (call $host.misaligned (local.get $at) (i32.add (local.get $mask) (i32.const 1)))
    unreachable)
  (func $denial (param $errno i32) (result i32)
    (i32.or
      (i32.or (i32.eq (local.get $errno) (i32.const {E_ACCES})) (i32.eq (local.get $errno) (i32.const {E_PERM})))
      (i32.or (i32.eq (local.get $errno) (i32.const {E_ROFS})) (i32.eq (local.get $errno) (i32.const {E_NOTCAPABLE})))))
  (func $deny (param $site i32) (param $reason i32) (param $slot i32) (param $path i32) (param $length i32)
    (call $host.denied (local.get $site) (local.get $reason) (i32.load $own offset={SLOT_GRANT} (local.get $slot))
      (i32.add (local.get $slot) (i32.const {SLOT_PATH})) (i32.load $own offset={SLOT_LENGTH} (local.get $slot))
      (local.get $path) (local.get $length)))
  ;; Tell of a refusal of Wasmtime's on an open file or directory; what the guest gets.
  (func $seen (param $site i32) (param $writes i32) (param $fd i32) (param $errno i32) (result i32) (local $slot i32)
    (if (local.get $errno) (then (if (call $denial (local.get $errno)) (then
      (local.set $slot (call $slot (local.get $fd)))
      (if (local.get $slot) (then
        (call $deny (local.get $site) (local.get $writes) (local.get $slot) (i32.const {PATH}) (i32.const 0))))))))
    (local.get $errno))
  (func $charge (param $bytes i64) (result i32)
    (if (i64.gt_u (local.get $bytes) (i64.sub (global.get $disk_limit) (global.get $disk_used))) (then
      (return (i32.const 0))))
    (global.set $disk_used (i64.add (global.get $disk_used) (local.get $bytes)))
    (i32.const 1))

  ;; Close what stands behind a descriptor; the entry is the caller's to change. A granted directory stays open.
  (func $release (param $fd i32) (result i32) (local $slot i32) (local $errno i32)
    (local.set $slot (call $slot (local.get $fd)))
    (if (local.get $slot) (then
      (if (i32.ne (i32.load $own offset={SLOT_KIND} (local.get $slot)) (i32.const {ROOT})) (then
        (local.set $errno (call $own.fd_close (call $native (local.get $fd))))
        (if (local.get $errno) (then (return (local.get $errno))))))
      (i32.store $own (local.get $slot) (global.get $free_slot))
      (global.set $free_slot (local.get $slot))
      (global.set $open (i32.sub (global.get $open) (i32.const 1)))
      (return (i32.const 0))))
    (call $own.fd_close (call $native (local.get $fd))))
  (func $vacate (param $fd i32)
    (call $enter (local.get $fd) (i32.const -1) (i32.const 0))
    (global.set $freed (i32.add (global.get $freed) (i32.const 1))))

  ;; The length of the first buffer that is not empty: the one that Wasmtime writes.
  (func $first (param $vector i32) (param $count i32) (result i64)
    (call $aligned (local.get $vector) (i32.const 3))
    (block $none (loop $next
      (br_if $none (i32.eqz (local.get $count)))
      (if (i32.load offset=4 (local.get $vector)) (then
        (return (i64.extend_i32_u (i32.load offset=4 (local.get $vector))))))
      (local.set $vector (i32.add (local.get $vector) (i32.const 8)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (i64.const 0))
  ;; Charge a write to a file before it is made; 0 where the policy's bytes are used up.
  (func $may_write (param $site i32) (param $fd i32) (param $amount i64) (result i32) (local $slot i32)
    (if (call $charge (local.get $amount)) (then (return (i32.const 1))))
    (local.set $slot (call $slot (local.get $fd)))
    (call $deny (local.get $site) (i32.const {DISK_REASON}) (local.get $slot) (i32.const {PATH}) (i32.const 0))
    (i32.const 0))
  ;; Charge what was written beyond what it was charged for.
  (func $written (param $amount i64) (param $result i32) (local $more i64)
    (local.set $more (i64.sub (i64.load32_u (local.get $result)) (local.get $amount)))
    (if (i64.gt_s (local.get $more) (i64.const 0)) (then
      (if (i32.eqz (call $charge (local.get $more))) (then
        (global.set $disk_used (global.get $disk_limit)))))))
"""


def functions() -> dict[str, str]:
    """The body of each function that takes a descriptor and no path."""
    out = {}
    for name in (*READS, *WRITES):
        if name.startswith("fd_"):
            out[name] = _seen(name)
    for name in ("fd_prestat_get", "fd_prestat_dir_name"):
        out[name] = _native(name)
    for name in ("fd_write", "fd_pwrite"):
        result = 3 if name == "fd_write" else 4
        out[name] = f"""(local $amount i64) (local $errno i32)
    (if (i32.or (i32.eqz (call $slot (local.get 0))) (i32.eqz (global.get $counts_writes))) (then
      (return {_seen(name)})))
    (local.set $amount (call $first (local.get 1) (local.get 2)))
    (if (i32.eqz (call $may_write (i32.const {{site[{name}]}}) (local.get 0) (local.get $amount))) (then
      (return (i32.const {{E_NOSPC}}))))
    (local.set $errno {_seen(name)})
    (if (i32.eqz (local.get $errno)) (then (call $written (local.get $amount) (local.get {result}))))
    (local.get $errno)"""
    out["fd_filestat_set_size"] = f"""
    (if (i32.and (i32.ne (call $slot (local.get 0)) (i32.const 0)) (global.get $counts_writes)) (then
      (if (i64.gt_u (local.get 1) (global.get $disk_limit)) (then
        (call $deny (i32.const {{site[fd_filestat_set_size]}}) (i32.const {{DISK_REASON}})
          (call $slot (local.get 0)) (i32.const {{PATH}}) (i32.const 0))
        (return (i32.const {{E_NOSPC}}))))))
    {_seen("fd_filestat_set_size")}"""
    out["fd_close"] = """(local $errno i32)
    (if (i32.eq (call $native (local.get 0)) (i32.const -1)) (then (return (i32.const {E_BADF}))))
    (local.set $errno (call $release (local.get 0)))
    (if (i32.eqz (local.get $errno)) (then (call $vacate (local.get 0))))
    (local.get $errno)"""
    # Wasmtime would keep open what the number stood for; and the root of a grant is not the guest's to replace.
    out["fd_renumber"] = """(local $errno i32)
    (if (i32.eq (call $native (local.get 0)) (i32.const -1)) (then (return (i32.const {E_BADF}))))
    (if (i32.eq (call $native (local.get 1)) (i32.const -1)) (then (return (i32.const {E_BADF}))))
    (if (i32.eq (local.get 0) (local.get 1)) (then (return (i32.const 0))))
    (local.set $errno (call $release (local.get 1)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (call $enter (local.get 1) (call $native (local.get 0)) (call $slot (local.get 0)))
    (call $vacate (local.get 0))
    (i32.const 0)"""
    return out


def _native(name: str) -> str:
    return f"(call $native.{name} (call $native (local.get 0)) {arguments(name, 1)})"


def _seen(name: str) -> str:
    writes = "{R_WRITES}" if name in WRITES else "0"
    return f"(call $seen (i32.const {{site[{name}]}}) (i32.const {writes}) (local.get 0) {_native(name)})"
