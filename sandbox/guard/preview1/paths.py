"""Functions that take paths. What one call is about is kept in globals: no call begins before another is over."""

from __future__ import annotations

from sandbox.guard.preview1.base import arguments

TEXT = """
  (global $at (mut i32) (i32.const 0)) ;; the slot that the path is relative to
  (global $flags (mut i32) (i32.const 0)) ;; of the grant that decides
  (global $dir (mut i32) (i32.const 0)) ;; Wasmtime's descriptor, and the path from there, that the call goes to
  (global $path (mut i32) (i32.const 0))
  (global $length (mut i32) (i32.const 0))
  (global $grant (mut i32) (i32.const 0)) ;; of a routed path: the grant and the whole path from its root
  (global $whole (mut i32) (i32.const 0))
  (global $whole_length (mut i32) (i32.const 0))
  (global $told (mut i32) (i32.const 0)) ;; bytes of the path as the guest gave it
  (global $follows (mut i32) (i32.const 0)) ;; whether a routed call would have followed a link at the end
  (global $walked_to (mut i32) (i32.const -1)) ;; directories that were opened on the way, or -1
  (global $other_walked_to (mut i32) (i32.const -1))
  (global $walked (mut i32) (i32.const 0))
  (global $other_at (mut i32) (i32.const 0))
  (global $other_dir (mut i32) (i32.const 0))
  (global $other_path (mut i32) (i32.const 0))
  (global $other_length (mut i32) (i32.const 0))
  (global $other_told (mut i32) (i32.const 0))

  (func $flags_of (param $grant i32) (result i32)
    (if (i32.ge_u (local.get $grant) (i32.load $own (i32.const {COUNT}))) (then unreachable))
    (i32.load8_u $own (i32.add (i32.const {GRANTS}) (local.get $grant))))
  ;; The directories that are granted are Wasmtime's first descriptors after the standard streams.
  (func $root (param $grant i32) (result i32)
    (if (i32.ge_u (local.get $grant) (i32.load $own (i32.const {COUNT}))) (then unreachable))
    (i32.add (local.get $grant) (i32.const 3)))
  (func $is_root (param $path i32) (param $length i32) (result i32)
    (if (i32.eqz (local.get $length)) (then (return (i32.const 1))))
    (i32.and (i32.eq (local.get $length) (i32.const 1))
      (i32.eq (i32.load8_u $own (local.get $path)) (i32.const 46))))

  ;; Copy a path of the guest's, or of one that is too long to be told the end, which tells more; how much was copied.
  (func $take (param $to i32) (param $path i32) (param $length i32) (result i32) (local $cap i32)
    (if (i64.gt_u (i64.add (i64.extend_i32_u (local.get $path)) (i64.extend_i32_u (local.get $length)))
      (i64.shl (i64.extend_i32_u (memory.size 0)) (i64.const 16))) (then
      (call $host.outside (local.get $path) (local.get $length)) unreachable))
    (local.set $cap (select (local.get $length) (i32.const {PATH_MAX})
      (i32.lt_u (local.get $length) (i32.const {PATH_MAX}))))
    (memory.copy $own 0 (local.get $to)
      (i32.add (local.get $path) (i32.sub (local.get $length) (local.get $cap))) (local.get $cap))
    (local.get $cap))
  (func $base (param $slot i32) (result i32) (i32.add (local.get $slot) (i32.const {SLOT_PATH})))
  (func $grant_of (param $slot i32) (result i32) (i32.load $own offset={SLOT_GRANT} (local.get $slot)))
  (func $length_of (param $slot i32) (result i32) (i32.load $own offset={SLOT_LENGTH} (local.get $slot)))

  (func $deny_path (param $site i32) (param $reason i32)
    (call $deny (local.get $site) (local.get $reason) (global.get $at) (i32.const {PATH}) (global.get $told)))
  (func $deny_pair (param $site i32) (param $reason i32)
    (call $host.denied_pair (local.get $site) (local.get $reason)
      (call $grant_of (global.get $at)) (call $base (global.get $at)) (call $length_of (global.get $at))
      (i32.const {PATH}) (global.get $told)
      (call $grant_of (global.get $other_at)) (call $base (global.get $other_at))
      (call $length_of (global.get $other_at)) (i32.const {OTHER_PATH}) (global.get $other_told)))

  ;; Close the directories that were opened on the way.
  (func $leave
    (if (i32.ne (global.get $walked_to) (i32.const -1)) (then
      (drop (call $own.fd_close (global.get $walked_to)))
      (global.set $walked_to (i32.const -1))))
    (if (i32.ne (global.get $other_walked_to) (i32.const -1)) (then
      (drop (call $own.fd_close (global.get $other_walked_to)))
      (global.set $other_walked_to (i32.const -1)))))

  ;; Open the directory that a routed path ends in, one name at a time and through no link: between the host's judgement
  ;; and the call, another run may have put a link in the way. $walked_to is that directory, or -1 if it is the root
  ;; itself; $walked is how much of the path is behind it. A slash at the end belongs to the last name; if $all, that
  ;; name too is a directory to be opened, since a slash after it would have a link followed. 0, or the error.
  (func $walk (param $root i32) (param $path i32) (param $length i32) (param $all i32) (result i32)
    (local $here i32) (local $i i32) (local $errno i32)
    (local.set $here (local.get $root))
    (global.set $walked (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $length)))
      (if (i32.eq (i32.load8_u $own (i32.add (local.get $path) (local.get $i))) (i32.const 47)) (then
        (br_if $done (i32.and (i32.eqz (local.get $all))
          (i32.ge_u (i32.add (local.get $i) (i32.const 1)) (local.get $length))))
        (local.set $errno (call $own.path_open (local.get $here) (i32.const 0)
          (i32.add (local.get $path) (global.get $walked)) (i32.sub (local.get $i) (global.get $walked))
          (i32.const {DIRECTORY}) (i64.const {RIGHT_READ}) (i64.const 0) (i32.const 0) (i32.const {OUT})))
        (if (i32.ne (local.get $here) (local.get $root)) (then (drop (call $own.fd_close (local.get $here)))))
        (if (local.get $errno) (then (return (local.get $errno))))
        (local.set $here (i32.load $own (i32.const {OUT})))
        (global.set $walked (i32.add (local.get $i) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (global.set $walked_to (select (i32.const -1) (local.get $here) (i32.eq (local.get $here) (local.get $root))))
    (i32.const 0))
  ;; Tell of an error that a walk ended with; it is what the guest gets.
  (func $astray_pair (param $site i32) (param $errno i32) (result i32)
    (call $leave)
    (if (call $denial (local.get $errno)) (then (call $deny_pair (local.get $site) (i32.const {R_WRITES}))))
    (if (i32.eq (local.get $errno) (i32.const {E_LOOP})) (then
      (call $deny_pair (local.get $site) (i32.const {SYMBOLIC_LINK_REASON}))))
    (local.get $errno))
  (func $astray (param $site i32) (param $writes i32) (param $errno i32) (result i32)
    (call $leave)
    (if (call $denial (local.get $errno)) (then (call $deny_path (local.get $site) (local.get $writes))))
    (if (i32.eq (local.get $errno) (i32.const {E_LOOP})) (then
      (call $deny_path (local.get $site) (i32.or (i32.const {R_SYMBOLIC_LINK}) (local.get $writes)))))
    (local.get $errno))

  ;; Find the directory and the path that a call goes to, or refuse: 0, or the error. $reaches: a slash after the last
  ;; name has the call reach what a link there leads to, whatever its flags.
  (func $place (param $site i32) (param $fd i32) (param $path i32) (param $length i32)
    (param $intent i32) (param $writes i32) (param $reaches i32) (result i32) (local $code i32)
    (global.set $at (call $slot (local.get $fd)))
    (global.set $told (call $take (i32.const {PATH}) (local.get $path) (local.get $length)))
    (global.set $dir (call $native (local.get $fd)))
    (global.set $path (i32.const {PATH}))
    (global.set $length (local.get $length))
    (global.set $follows (i32.const 0))
    (global.set $flags (call $flags_of (call $grant_of (global.get $at))))
    (if (i32.and (global.get $flags) (i32.const {DECOY})) (then
      (if (i32.eqz (call $is_root (i32.const {PATH}) (local.get $length))) (then
        (call $deny_path (local.get $site) (i32.or (i32.const {R_UNGRANTED}) (local.get $writes)))
        (return (i32.const {E_ACCES}))))))
    (if (i32.ge_u (local.get $length) (i32.const {PATH_MAX})) (then (return (i32.const {E_NAMETOOLONG}))))
    (if (i32.eqz (i32.and (global.get $flags) (i32.const {ROUTED_GRANT}))) (then (return (i32.const 0))))
    (local.set $code (call $host.route (local.get $site) (local.get $intent) (call $grant_of (global.get $at))
      (call $base (global.get $at)) (call $length_of (global.get $at))
      (i32.const {PATH}) (local.get $length) (i32.const {ROUTED})))
    (if (i32.lt_s (local.get $code) (i32.const 0)) (then (return (i32.sub (i32.const 0) (local.get $code)))))
    (global.set $grant (local.get $code))
    (global.set $dir (call $root (local.get $code)))
    (global.set $flags (i32.or (call $flags_of (local.get $code)) (i32.const {ROUTED_GRANT})))
    (global.set $path (i32.const {ROUTED_TEXT}))
    (global.set $length (i32.load $own (i32.const {ROUTED})))
    (global.set $whole (global.get $path))
    (global.set $whole_length (global.get $length))
    (global.set $follows (i32.and (local.get $intent) (i32.const {FOLLOWS})))
    (local.set $code (call $walk (global.get $dir) (global.get $path) (global.get $length) (local.get $reaches)))
    (if (local.get $code) (then (return (call $astray (local.get $site) (local.get $writes) (local.get $code)))))
    (if (i32.ne (global.get $walked_to) (i32.const -1)) (then (global.set $dir (global.get $walked_to))))
    (global.set $path (i32.add (global.get $path) (global.get $walked)))
    (global.set $length (i32.sub (global.get $length) (global.get $walked)))
    (if (i32.eqz (global.get $length)) (then
      (global.set $path (i32.const {DOT}))
      (global.set $length (i32.const 1))))
    (i32.const 0))
  ;; What a routed call says of links: none is followed, since the host has refused those that there were.
  (func $lookup (param $lookup i32) (result i32)
    (if (result i32) (i32.and (global.get $flags) (i32.const {ROUTED_GRANT}))
      (then (i32.and (local.get $lookup) (i32.const -2)))
      (else (local.get $lookup))))
  ;; The end of a call: tell of a refusal of Wasmtime's, which is what the guest gets.
  (func $after (param $site i32) (param $writes i32) (param $errno i32) (result i32)
    (call $leave)
    (if (local.get $errno) (then
      (if (call $denial (local.get $errno)) (then (call $deny_path (local.get $site) (local.get $writes))))
      (if (i32.and (global.get $follows) (i32.eq (local.get $errno) (i32.const {E_LOOP}))) (then
        (call $deny_path (local.get $site) (i32.or (i32.const {R_SYMBOLIC_LINK}) (local.get $writes)))))))
    (local.get $errno))
  ;; Refuse what was found: tell, and the error that the guest gets.
  (func $refuse (param $site i32) (param $reason i32) (param $errno i32) (result i32)
    (call $leave)
    (call $deny_path (local.get $site) (local.get $reason))
    (local.get $errno))

  ;; Why the file that OUT describes may not be opened or changed: a reason, or 0.
  (func $ordinary (result i32) (local $type i32)
    (local.set $type (i32.load8_u $own offset=16 (i32.const {OUT})))
    (if (i32.or (i32.eq (local.get $type) (i32.const {TYPE_DIRECTORY}))
      (i32.eq (local.get $type) (i32.const {TYPE_LINK}))) (then (return (i32.const 0))))
    (if (i32.ne (local.get $type) (i32.const {TYPE_FILE})) (then (return (i32.const {R_SPECIAL_FILE}))))
    (if (i32.and (global.get $flags) (i32.const {HARD_LINKS})) (then (return (i32.const 0))))
    (select (i32.const {R_HARD_LINK}) (i32.const 0)
      (i64.gt_u (i64.load $own offset=24 (i32.const {OUT})) (i64.const 1))))
  ;; Ask what is at the path, into OUT: 0, or the error.
  (func $ask (param $lookup i32) (result i32)
    (call $own.path_filestat_get (global.get $dir) (call $lookup (local.get $lookup))
      (global.get $path) (global.get $length) (i32.const {OUT})))
  ;; The same for what is about to be opened, of which only the type and the number of names are needed. The host tells
  ;; them sooner, relative to a granted directory: of any other it knows a path alone, which may be out of date.
  (func $look (param $lookup i32) (result i32) (local $found i32)
    (if (i32.eqz (i32.and (global.get $flags) (i32.const {ROUTED_GRANT}))) (then
      (if (i32.eq (i32.load $own offset={SLOT_KIND} (global.get $at)) (i32.const {ROOT})) (then
        (local.set $found (call $host.look (call $grant_of (global.get $at)) (i32.const {PATH}) (global.get $told)
          (i32.and (local.get $lookup) (i32.const {FOLLOWS})) (i32.const {OUT})))
        (if (i32.ne (local.get $found) (i32.const {UNKNOWN})) (then (return (local.get $found))))))))
    (call $ask (local.get $lookup)))

  ;; Keep where a new descriptor leads: from the root of its grant, or from the directory that it was opened in.
  (func $keep (param $slot i32) (local $had i32) (local $to i32)
    (local.set $to (call $base (local.get $slot)))
    (if (i32.and (global.get $flags) (i32.const {ROUTED_GRANT})) (then
      (if (call $is_root (global.get $whole) (global.get $whole_length)) (then
        (global.set $whole_length (i32.const 0))))
      (i32.store $own offset={SLOT_GRANT} (local.get $slot) (global.get $grant))
      (i32.store $own offset={SLOT_LENGTH} (local.get $slot) (global.get $whole_length))
      (memory.copy $own $own (local.get $to) (global.get $whole) (global.get $whole_length))
      (return)))
    (local.set $had (call $length_of (global.get $at)))
    (i32.store $own offset={SLOT_GRANT} (local.get $slot) (call $grant_of (global.get $at)))
    (memory.copy $own $own (local.get $to) (call $base (global.get $at)) (local.get $had))
    (if (i32.eqz (call $is_root (i32.const {PATH}) (global.get $told))) (then
      (if (local.get $had) (then
        (i32.store8 $own (i32.add (local.get $to) (local.get $had)) (i32.const 47))
        (local.set $had (i32.add (local.get $had) (i32.const 1)))))
      (memory.copy $own $own (i32.add (local.get $to) (local.get $had)) (i32.const {PATH}) (global.get $told))
      (local.set $had (i32.add (local.get $had) (global.get $told)))))
    (i32.store $own offset={SLOT_LENGTH} (local.get $slot) (local.get $had)))

  ;; Find both ends of a rename or a hard link, or refuse: 0, or the error.
  (func $place_pair (param $site i32) (param $fd i32) (param $path i32) (param $length i32)
    (param $other_fd i32) (param $other_path i32) (param $other_length i32) (param $intent i32) (param $links i32)
    (result i32) (local $code i32)
    (global.set $at (call $slot (local.get $fd)))
    (global.set $other_at (call $slot (local.get $other_fd)))
    (global.set $told (call $take (i32.const {PATH}) (local.get $path) (local.get $length)))
    (global.set $other_told (call $take (i32.const {OTHER_PATH}) (local.get $other_path) (local.get $other_length)))
    (global.set $follows (i32.const 0))
    (global.set $flags (call $flags_of (call $grant_of (global.get $at))))
    (if (i32.and (i32.or (global.get $flags) (call $flags_of (call $grant_of (global.get $other_at))))
      (i32.const {DECOY})) (then
      (call $deny_pair (local.get $site) (i32.const {UNGRANTED_REASON}))
      (return (i32.const {E_ACCES}))))
    (if (i32.or (i32.ge_u (local.get $length) (i32.const {PATH_MAX}))
      (i32.ge_u (local.get $other_length) (i32.const {PATH_MAX}))) (then (return (i32.const {E_NAMETOOLONG}))))
    (if (i32.ne (call $grant_of (global.get $at)) (call $grant_of (global.get $other_at))) (then
      (call $deny_pair (local.get $site) (i32.const {ACROSS_REASON}))
      (return (i32.const {E_XDEV}))))
    (if (local.get $links) (then
      (if (i32.eqz (i32.and (global.get $flags) (i32.const {HARD_LINKS}))) (then
        (call $deny_pair (local.get $site) (i32.const {LINK_REASON}))
        (return (i32.const {E_ACCES}))))
      (if (global.get $counts_writes) (then
        (if (i32.eqz (call $charge (i64.const {METADATA_COST}))) (then
          (call $deny_pair (local.get $site) (i32.const {DISK_REASON}))
          (return (i32.const {E_NOSPC}))))))))
    (global.set $dir (call $native (local.get $fd)))
    (global.set $other_dir (call $native (local.get $other_fd)))
    (global.set $path (i32.const {PATH}))
    (global.set $length (local.get $length))
    (global.set $other_path (i32.const {OTHER_PATH}))
    (global.set $other_length (local.get $other_length))
    (if (i32.eqz (i32.and (global.get $flags) (i32.const {ROUTED_GRANT}))) (then (return (i32.const 0))))
    (local.set $code (call $host.route_pair (local.get $site) (local.get $intent)
      (call $grant_of (global.get $at)) (call $base (global.get $at)) (call $length_of (global.get $at))
      (i32.const {PATH}) (local.get $length)
      (call $grant_of (global.get $other_at)) (call $base (global.get $other_at))
      (call $length_of (global.get $other_at)) (i32.const {OTHER_PATH}) (local.get $other_length)
      (i32.const {ROUTED}) (i32.const {OTHER_ROUTED})))
    (if (i32.lt_s (local.get $code) (i32.const 0)) (then (return (i32.sub (i32.const 0) (local.get $code)))))
    (global.set $dir (call $root (local.get $code)))
    (global.set $other_dir (global.get $dir))
    (global.set $path (i32.const {OTHER_ROUTED_TEXT}))
    (global.set $length (i32.load $own (i32.const {OTHER_ROUTED})))
    (local.set $code (call $walk (global.get $dir) (global.get $path) (global.get $length) (i32.const 0)))
    (if (local.get $code) (then
      (return (call $astray_pair (local.get $site) (local.get $code)))))
    (global.set $other_path (i32.add (global.get $path) (global.get $walked)))
    (global.set $other_length (i32.sub (global.get $length) (global.get $walked)))
    (global.set $other_walked_to (global.get $walked_to))
    (if (i32.ne (global.get $walked_to) (i32.const -1)) (then (global.set $other_dir (global.get $walked_to))))
    (global.set $walked_to (i32.const -1))
    (global.set $path (i32.const {ROUTED_TEXT}))
    (global.set $length (i32.load $own (i32.const {ROUTED})))
    (local.set $code (call $walk (global.get $dir) (global.get $path) (global.get $length) (i32.const 0)))
    (if (local.get $code) (then
      (return (call $astray_pair (local.get $site) (local.get $code)))))
    (if (i32.ne (global.get $walked_to) (i32.const -1)) (then (global.set $dir (global.get $walked_to))))
    (global.set $path (i32.add (global.get $path) (global.get $walked)))
    (global.set $length (i32.sub (global.get $length) (global.get $walked)))
    (i32.const 0))
  (func $after_pair (param $site i32) (param $errno i32) (result i32)
    (call $leave)
    (if (local.get $errno) (then
      (if (call $denial (local.get $errno)) (then (call $deny_pair (local.get $site) (i32.const {R_WRITES}))))))
    (local.get $errno))
"""


def _nowhere(name: str, *descriptors: int) -> str:
    """Let Wasmtime answer where a descriptor is none of a file or directory: it never does anything then.

    A file is no directory, whatever is at its path by now.
    """
    none = [f"(i32.eqz (call $slot (local.get {n})))" for n in descriptors]
    condition = none[0] if len(none) == 1 else f"(i32.or {none[0]} {none[1]})"
    given = [
        f"(call $native {text})" if n in descriptors else text
        for n, text in enumerate(f"(local.get {n})" for n in range(arguments(name).count("local.get")))
    ]
    files = " ".join(
        f"""(if (i32.eq (i32.load $own offset={{SLOT_KIND}} (call $slot (local.get {n}))) (i32.const {{FILE}})) (then
      (return (i32.const {{{"E_NOTDIR" if name == "path_open" else "E_BADF"}}}))))"""
        for n in descriptors
    )
    return f"(if {condition} (then (return (call $native.{name} {' '.join(given)})))) {files}"


REACHES = {
    "path_filestat_get": "(i32.const 1)",
    "path_filestat_set_times": "(i32.const 1)",
    "path_open": "(i32.eqz (i32.and (local.get 4) (i32.const {CREATE_OR_TRUNCATE})))",
}
"""For ``$place``. What would create or truncate a directory fails."""


def _place(name: str, fd: int, path: int, intent: str, writes: str) -> str:
    return f"""(local.set $errno (call $place (i32.const {{site[{name}]}}) (local.get {fd})
      (local.get {path}) (local.get {path + 1}) {intent} {writes} {REACHES.get(name, "(i32.const 0)")}))
    (if (local.get $errno) (then (return (local.get $errno))))"""


def _simple(name: str, charged: bool = False) -> str:
    """A change that takes a directory and a path, and nothing else."""
    charge = _charge(name) if charged else ""
    return f"""(local $errno i32)
    {_nowhere(name, 0)}
    {_place(name, 0, 1, "(i32.const {MUTATES})", "(i32.const {R_WRITES})")}
    {charge}
    (call $after (i32.const {{site[{name}]}}) (i32.const {{R_WRITES}})
      (call $own.{name} (global.get $dir) (global.get $path) (global.get $length)))"""


def _charge(name: str) -> str:
    return f"""(if (global.get $counts_writes) (then
      (if (i32.eqz (call $charge (i64.const {{METADATA_COST}}))) (then
        (return (call $refuse (i32.const {{site[{name}]}}) (i32.const {{DISK_REASON}}) (i32.const {{E_NOSPC}})))))))"""


FUNCTIONS = {
    "path_create_directory": _simple("path_create_directory", charged=True),
    "path_remove_directory": _simple("path_remove_directory"),
    "path_unlink_file": _simple("path_unlink_file"),
    "path_filestat_get": f"""(local $errno i32)
    {_nowhere("path_filestat_get", 0)}
    {_place("path_filestat_get", 0, 2, "(i32.and (local.get 1) (i32.const {FOLLOWS}))", "(i32.const 0)")}
    (local.set $errno (call $after (i32.const {{site[path_filestat_get]}}) (i32.const 0)
      (call $ask (local.get 1))))
    (if (local.get $errno) (then (return (local.get $errno))))
    (call $aligned (local.get 4) (i32.const 7))
    (memory.copy 0 $own (local.get 4) (i32.const {{OUT}}) (i32.const 64))
    (i32.const 0)""",
    "path_filestat_set_times": f"""(local $errno i32) (local $reason i32)
    {_nowhere("path_filestat_set_times", 0)}
    {
        _place(
            "path_filestat_set_times",
            0,
            2,
            "(i32.or (i32.and (local.get 1) (i32.const {FOLLOWS})) (i32.const {MUTATES}))",
            "(i32.const {R_WRITES})",
        )
    }
    ;; what cannot be looked at is not changed either
    (local.set $errno (call $ask (local.get 1)))
    (if (local.get $errno) (then
      (return (call $after (i32.const {{site[path_filestat_set_times]}}) (i32.const {{R_WRITES}}) (local.get $errno)))))
    (local.set $reason (call $ordinary))
    (if (local.get $reason) (then
      (return (call $refuse (i32.const {{site[path_filestat_set_times]}})
        (i32.or (local.get $reason) (i32.const {{R_WRITES}})) (i32.const {{E_ACCES}})))))
    (call $after (i32.const {{site[path_filestat_set_times]}}) (i32.const {{R_WRITES}})
      (call $own.path_filestat_set_times (global.get $dir) (call $lookup (local.get 1))
        (global.get $path) (global.get $length) (local.get 4) (local.get 5) (local.get 6)))""",
    "path_readlink": f"""(local $errno i32) (local $size i32)
    {_nowhere("path_readlink", 0)}
    {_place("path_readlink", 0, 1, "(i32.const 0)", "(i32.const 0)")}
    (local.set $errno (call $after (i32.const {{site[path_readlink]}}) (i32.const 0)
      (call $own.path_readlink (global.get $dir) (global.get $path) (global.get $length) (i32.const {{LINK}})
        (select (local.get 4) (i32.const {{PATH_MAX}}) (i32.lt_u (local.get 4) (i32.const {{PATH_MAX}})))
        (i32.const {{OUT}}))))
    (if (local.get $errno) (then (return (local.get $errno))))
    (local.set $size (i32.load $own (i32.const {{OUT}})))
    (call $aligned (local.get 5) (i32.const 3))
    (memory.copy 0 $own (local.get 3) (i32.const {{LINK}}) (local.get $size))
    (i32.store (local.get 5) (local.get $size))
    (i32.const 0)""",
    # The host judges what a new link would point to; only then, whether it may be made here at all.
    "path_symlink": f"""(local $errno i32)
    {_nowhere("path_symlink", 2)}
    (global.set $at (call $slot (local.get 2)))
    (if (i32.or (i32.ge_u (local.get 4) (i32.const {{PATH_MAX}}))
      (i32.ge_u (local.get 1) (i32.const {{PATH_MAX}}))) (then (return (i32.const {{E_NAMETOOLONG}}))))
    (global.set $other_told (call $take (i32.const {{OTHER_PATH}}) (local.get 0) (local.get 1)))
    (if (i32.eqz (i32.and (call $flags_of (call $grant_of (global.get $at))) (i32.const {{DECOY}}))) (then
      (global.set $told (call $take (i32.const {{PATH}}) (local.get 3) (local.get 4)))
      (local.set $errno (call $host.link (i32.const {{site[path_symlink]}}) (call $grant_of (global.get $at))
        (call $base (global.get $at)) (call $length_of (global.get $at)) (i32.const {{PATH}}) (global.get $told)
        (i32.const {{OTHER_PATH}}) (global.get $other_told)))
      (if (local.get $errno) (then (return (local.get $errno))))))
    {_place("path_symlink", 2, 3, "(i32.const {MUTATES})", "(i32.const {R_WRITES})")}
    {_charge("path_symlink")}
    (call $after (i32.const {{site[path_symlink]}}) (i32.const {{R_WRITES}})
      (call $own.path_symlink (i32.const {{OTHER_PATH}}) (global.get $other_told)
        (global.get $dir) (global.get $path) (global.get $length)))""",
    "path_rename": f"""(local $errno i32)
    {_nowhere("path_rename", 0, 3)}
    (local.set $errno (call $place_pair (i32.const {{site[path_rename]}}) (local.get 0) (local.get 1) (local.get 2)
      (local.get 3) (local.get 4) (local.get 5) (i32.const {{MUTATES}}) (i32.const 0)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (call $after_pair (i32.const {{site[path_rename]}})
      (call $own.path_rename (global.get $dir) (global.get $path) (global.get $length)
        (global.get $other_dir) (global.get $other_path) (global.get $other_length)))""",
    "path_link": f"""(local $errno i32)
    {_nowhere("path_link", 0, 4)}
    (local.set $errno (call $place_pair (i32.const {{site[path_link]}}) (local.get 0) (local.get 2) (local.get 3)
      (local.get 4) (local.get 5) (local.get 6)
      (i32.or (i32.and (local.get 1) (i32.const {{FOLLOWS}})) (i32.const {{MUTATES}})) (i32.const 1)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (call $after_pair (i32.const {{site[path_link]}})
      (call $own.path_link (global.get $dir) (call $lookup (local.get 1)) (global.get $path) (global.get $length)
        (global.get $other_dir) (global.get $other_path) (global.get $other_length)))""",
    "path_open": f"""(local $errno i32) (local $writes i32) (local $reason i32) (local $cut i32) (local $new i32)
    (local $slot i32) (local $fd i32) (local $kind i32)
    {_nowhere("path_open", 0)}
    ;; a directory is not created, nor emptied, by opening it
    (if (i32.and (i32.ne (i32.and (local.get 4) (i32.const {{DIRECTORY}})) (i32.const 0))
      (i32.ne (i32.and (local.get 4) (i32.const {{NOT_FOR_DIRECTORIES}})) (i32.const 0))) (then
      (return (i32.const {{E_INVAL}}))))
    (local.set $writes (select (i32.const {{R_WRITES}}) (i32.const 0) (i32.or
      (i64.ne (i64.and (local.get 5) (i64.const {{RIGHT_WRITE}})) (i64.const 0))
      (i32.ne (i32.and (local.get 4) (i32.const {{CREATE_OR_TRUNCATE}})) (i32.const 0)))))
    (global.set $at (call $slot (local.get 0)))
    (if (i32.ge_u (global.get $open) (global.get $handles)) (then
      (global.set $told (call $take (i32.const {{PATH}}) (local.get 2) (local.get 3)))
      (return (call $refuse (i32.const {{site[path_open]}}) (i32.or (i32.const {{R_HANDLES}}) (local.get $writes))
        (i32.const {{E_DQUOT}})))))
    {
        _place(
            "path_open",
            0,
            2,
            "(i32.or (i32.and (local.get 1) (i32.const {FOLLOWS}))"
            " (select (i32.const {MUTATES}) (i32.const 0) (local.get $writes)))",
            "(local.get $writes)",
        )
    }
    (if (i32.gt_u (i32.add (local.get 3) (call $length_of (global.get $at))) (i32.const {{PATH_MOST}})) (then
      (call $leave)
      (return (i32.const {{E_NAMETOOLONG}}))))
    (local.set $errno (call $look (local.get 1)))
    (if (i32.eqz (local.get $errno)) (then
      (local.set $reason (call $ordinary))
      (if (local.get $reason) (then
        (return (call $refuse (i32.const {{site[path_open]}}) (i32.or (local.get $reason) (local.get $writes))
          (i32.const {{E_ACCES}})))))))
    (if (i32.and (i32.ne (local.get $errno) (i32.const 0)) (i32.and (local.get 4) (i32.const {{CREATE}}))) (then
      {_charge("path_open")}))
    ;; Truncating is the shim's, once it knows what was opened: another run may swap files between check and open.
    (if (i32.eqz (i32.and (global.get $flags) (i32.const {{HARD_LINKS}}))) (then
      (local.set $cut (i32.and (local.get 4) (i32.const {{TRUNCATE}})))
      (if (local.get $cut) (then
        (local.set 4 (i32.and (local.get 4) (i32.xor (i32.const -1) (i32.const {{TRUNCATE}}))))
        ;; as Wasmtime opens what is to be truncated
        (if (i64.eqz (i64.and (local.get 5) (i64.const {{RIGHT_WRITE}}))) (then
          (local.set 5 (i64.or (local.get 5) (i64.const {{RIGHTS_BOTH}})))))))))
    (local.set $errno (call $own.path_open (global.get $dir) (call $lookup (local.get 1)) (global.get $path)
      (global.get $length) (local.get 4) (local.get 5) (local.get 6) (local.get 7) (i32.const {{OUT}})))
    (if (local.get $errno) (then
      (drop (call $after (i32.const {{site[path_open]}}) (local.get $writes) (local.get $errno)))
      (if (i32.eq (local.get $errno) (i32.const {{E_IO}})) (then
        (call $deny_path (i32.const {{site[path_open]}}) (i32.or (i32.const {{R_OUT_OF_FILES}}) (local.get $writes)))))
      (return (local.get $errno))))
    (call $leave)
    (local.set $new (i32.load $own (i32.const {{OUT}})))
    (local.set $errno (call $own.fd_filestat_get (local.get $new) (i32.const {{OUT}})))
    (if (local.get $errno) (then
      (drop (call $own.fd_close (local.get $new)))
      (return (local.get $errno))))
    (local.set $reason (call $ordinary))
    (local.set $kind (select (i32.const {{OPENED}}) (i32.const {{FILE}})
      (i32.eq (i32.load8_u $own offset=16 (i32.const {{OUT}})) (i32.const {{TYPE_DIRECTORY}}))))
    (if (local.get $reason) (then
      (drop (call $own.fd_close (local.get $new)))
      (return (call $refuse (i32.const {{site[path_open]}}) (i32.or (local.get $reason) (local.get $writes))
        (i32.const {{E_ACCES}})))))
    (if (local.get $cut) (then
      (local.set $errno (call $own.fd_filestat_set_size (local.get $new) (i64.const 0)))
      (if (local.get $errno) (then
        (drop (call $own.fd_close (local.get $new)))
        (return (local.get $errno))))))
    (local.set $slot (call $new_slot))
    (local.set $fd (i32.const -1))
    (if (local.get $slot) (then (local.set $fd (call $number))))
    (if (i32.eq (local.get $fd) (i32.const -1)) (then
      (if (local.get $slot) (then
        (i32.store $own (local.get $slot) (global.get $free_slot))
        (global.set $free_slot (local.get $slot))))
      (drop (call $own.fd_close (local.get $new)))
      (return (i32.const {{E_NOMEM}}))))
    (call $keep (local.get $slot))
    (i32.store $own offset={{SLOT_KIND}} (local.get $slot) (local.get $kind))
    (call $enter (local.get $fd) (local.get $new) (local.get $slot))
    (global.set $open (i32.add (global.get $open) (i32.const 1)))
    (call $aligned (local.get 8) (i32.const 3))
    (i32.store (local.get 8) (local.get $fd))
    (i32.const 0)""",
}
