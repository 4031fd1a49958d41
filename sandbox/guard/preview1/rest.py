"""Everything else: arguments and environment, clocks, waiting, random numbers, exit, sockets."""

from __future__ import annotations

from sandbox.guard.preview1.base import arguments

TEXT = """
  (global $random (mut i64) (i64.const 0))
  (global $scratch (mut i32) (i32.const 0))
  (global $scratch_size (mut i32) (i32.const 0))

  (func $once (param $at i32) (param $site i32)
    (if (i32.load8_u $own (local.get $at)) (then (return)))
    (i32.store8 $own (local.get $at) (i32.const 1))
    (call $host.told (local.get $site)))
  (func $once_clock (param $clock i32) (param $wall_site i32) (param $monotonic_site i32)
    (call $once (select (i32.const {ONCE_MONOTONIC}) (i32.const {ONCE_WALL}) (local.get $clock))
      (select (local.get $monotonic_site) (local.get $wall_site) (local.get $clock))))

  (func $number_at_random (result i64) (local $z i64) {SPLITMIX})

  ;; What a clock shows that is not Wasmtime's own: mode coarse, frozen or denied.
  (func $time (param $clock i32) (param $mode i32) (result i64) (local $now i64)
    (if (i32.ge_u (local.get $mode) (i32.const {FROZEN})) (then
      (return (select (i64.const {FROZEN_MONOTONIC}) (i64.const {FROZEN_TIME}) (local.get $clock)))))
    (if (call $own.clock_time_get (local.get $clock) (i64.const 0) (i32.const {OUT})) (then unreachable))
    (local.set $now (i64.load $own (i32.const {OUT})))
    (i64.sub (local.get $now) (i64.rem_u (local.get $now) (i64.const {RESOLUTION}))))
  (func $mode (param $clock i32) (result i32)
    (i32.load $own (select (i32.const {MONOTONIC}) (i32.const {WALL}) (local.get $clock))))

  ;; Memory for the subscriptions and events of one call, or 0.
  (func $room (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (global.get $scratch_size)) (then
      (global.set $scratch (call $pages (local.get $size)))
      (global.set $scratch_size
        (select (i32.and (i32.add (local.get $size) (i32.const 65535)) (i32.const -65536)) (i32.const 0)
          (global.get $scratch)))))
    (global.get $scratch))
  ;; A subscription to an absolute time of a clock that stands still, as one to a time from now.
  (func $from_now (param $at i32) (local $clock i32) (local $mode i32) (local $now i64) (local $then i64)
    (if (i32.eqz (i32.and (i32.load16_u $own offset=40 (local.get $at)) (i32.const 1))) (then (return)))
    (local.set $clock (i32.load $own offset=16 (local.get $at)))
    (if (i32.gt_u (local.get $clock) (i32.const 1)) (then (return)))
    (local.set $mode (call $mode (local.get $clock)))
    (if (i32.lt_u (local.get $mode) (i32.const {FROZEN})) (then (return)))
    (if (i32.eq (local.get $mode) (i32.const {DENIED})) (then
      (call $once_clock (local.get $clock) (i32.const {site[poll_oneoff.wall]})
        (i32.const {site[poll_oneoff.monotonic]}))))
    (local.set $now (call $time (local.get $clock) (local.get $mode)))
    (local.set $then (i64.load $own offset=24 (local.get $at)))
    (i64.store $own offset=24 (local.get $at) (select (i64.sub (local.get $then) (local.get $now)) (i64.const 0)
      (i64.gt_u (local.get $then) (local.get $now))))
    (i32.store16 $own offset=40 (local.get $at)
      (i32.and (i32.load16_u $own offset=40 (local.get $at)) (i32.const 0xfffe))))
"""


def _granted(name: str, flag: str) -> str:
    """Wasmtime has empty lists where nothing is granted; the first to ask is told of."""
    return f"""(if (i32.eqz (i32.load $own (i32.const {{{flag}}}))) (then
      (call $once (i32.const {{ONCE_{flag}}}) (i32.const {{site[{name}]}}))))
    (call $native.{name} {arguments(name)})"""


def _clock(name: str, out: int, value: str) -> str:
    return f"""(local $mode i32)
    (if (i32.le_u (local.get 0) (i32.const 1)) (then (local.set $mode (call $mode (local.get 0)))))
    (if (i32.eq (local.get $mode) (i32.const {{DENIED}})) (then
      (call $once_clock (local.get 0) (i32.const {{site[{name}.wall]}}) (i32.const {{site[{name}.monotonic]}}))))
    (if (i32.eq (local.get $mode) (i32.const {{REAL}})) (then (return (call $native.{name} {arguments(name)}))))
    (call $aligned (local.get {out}) (i32.const 7))
    (i64.store (local.get {out}) {value})
    (i32.const 0)"""


def _socket(name: str) -> str:
    """There is no socket: Wasmtime says what the descriptor is instead."""
    return f"""(local $errno i32)
    (call $host.told (i32.const {{site[{name}]}}))
    (local.set $errno (call $native.{name} (call $native (local.get 0)) {arguments(name, 1)}))
    (select (local.get $errno) (i32.const {{E_ACCES}}) (local.get $errno))"""


FUNCTIONS = {
    "args_get": _granted("args_get", "ARGUMENTS"),
    "args_sizes_get": _granted("args_sizes_get", "ARGUMENTS"),
    "environ_get": _granted("environ_get", "ENVIRONMENT"),
    "environ_sizes_get": _granted("environ_sizes_get", "ENVIRONMENT"),
    "clock_time_get": _clock("clock_time_get", 2, "(call $time (local.get 0) (local.get $mode))"),
    "clock_res_get": _clock(
        "clock_res_get",
        1,
        "(select (i64.const {RESOLUTION}) (i64.const 1) (i32.eq (local.get $mode) (i32.const {COARSE})))",
    ),
    "random_get": """(local $end i32) (local $number i64)
    (if (i32.eq (i32.load $own (i32.const {RANDOM})) (i32.const {REAL})) (then
      (return (call $native.random_get (local.get 0) (local.get 1)))))
    (if (i32.eq (i32.load $own (i32.const {RANDOM})) (i32.const {DENIED})) (then
      (call $host.told (i32.const {site[random_get]})) unreachable))
    (if (i32.gt_u (local.get 1) (i32.const {MOST_RANDOM})) (then (return (i32.const {E_NOMEM}))))
    (local.set $end (i32.add (local.get 0) (i32.and (local.get 1) (i32.const -8))))
    (block $whole (loop $next
      (br_if $whole (i32.eq (local.get 0) (local.get $end)))
      (i64.store align=1 (local.get 0) (call $number_at_random))
      (local.set 0 (i32.add (local.get 0) (i32.const 8)))
      (br $next)))
    (if (i32.eqz (i32.and (local.get 1) (i32.const 7))) (then (return (i32.const 0))))
    (local.set $number (call $number_at_random))
    (local.set $end (i32.add (local.get 0) (i32.and (local.get 1) (i32.const 7))))
    (loop $next
      (i32.store8 (local.get 0) (i32.wrap_i64 (local.get $number)))
      (local.set $number (i64.shr_u (local.get $number) (i64.const 8)))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $next (i32.ne (local.get 0) (local.get $end))))
    (i32.const 0)""",
    "poll_oneoff": """(local $errno i32) (local $buffer i32) (local $events i32) (local $at i32) (local $count i32)
    (if (i32.eqz (local.get 2)) (then
      (return (call $native.poll_oneoff (local.get 0) (local.get 1) (local.get 2) (local.get 3)))))
    (if (i32.gt_u (local.get 2) (i32.const {MOST_SUBSCRIPTIONS})) (then (return (i32.const {E_NOMEM}))))
    (call $aligned (i32.or (local.get 0) (local.get 1)) (i32.const 7))
    (local.set $buffer (call $room (i32.mul (local.get 2) (i32.const 80))))
    (if (i32.eqz (local.get $buffer)) (then (return (i32.const {E_NOMEM}))))
    (local.set $events (i32.add (local.get $buffer) (i32.mul (local.get 2) (i32.const 48))))
    (memory.copy $own 0 (local.get $buffer) (local.get 0) (i32.mul (local.get 2) (i32.const 48)))
    (local.set $at (local.get $buffer))
    (loop $next
      (if (i32.load8_u $own offset=8 (local.get $at))
        (then (i32.store $own offset=16 (local.get $at) (call $native (i32.load $own offset=16 (local.get $at)))))
        (else (call $from_now (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if $next (i32.ne (local.get $at) (local.get $events))))
    (local.set $errno (call $own.poll_oneoff (local.get $buffer) (local.get $events) (local.get 2) (i32.const {OUT})))
    (if (local.get $errno) (then (return (local.get $errno))))
    (local.set $count (i32.load $own (i32.const {OUT})))
    (call $aligned (local.get 3) (i32.const 3))
    (memory.copy 0 $own (local.get 1) (local.get $events) (i32.mul (local.get $count) (i32.const 32)))
    (i32.store (local.get 3) (local.get $count))
    (i32.const 0)""",
    "proc_exit": "(call $host.exit (local.get 0)) unreachable",
    **{name: _socket(name) for name in ("sock_accept", "sock_recv", "sock_send", "sock_shutdown")},
}
