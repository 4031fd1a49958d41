;; One function of WASI preview 1, many times over, timed by the guest itself: `preview1 LETTER COUNT` prints the
;; nanoseconds that COUNT of them took. The counterpart of operations.wat, as a module: it calls what it imports without a
;; C library in between. It works on `file` (4 MiB) and on the directory `list` in the first preopened directory, and
;; traps where a call does not do as it should.
;;
;;     n  nothing                            s  path_filestat_get of `file`
;;     r  fd_read of 4 KiB                   d  fd_filestat_get of the open file
;;     R  the same of 64 KiB                 o  path_open of `file`, and fd_close
;;     w  fd_write of 4 KiB                  l  fd_readdir of all of `list`, opened once
;;     W  the same of 64 KiB                 c  clock_time_get of the monotonic clock
;;     p  fd_pread of 4 KiB                  q  fd_pwrite of 4 KiB
;;     P  the same of 64 KiB                 Q  the same of 64 KiB
;;     f  path_open of `etc/passwd` in the last preopened directory, which fails
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))

  ;; Memory: 0 texts, 64 one buffer's address and length, 128 results of calls, 1024 the number printed, 4096 arguments,
  ;; 65536 what is read and written.
  (memory (export "memory") 2)
  (data (i32.const 0) "file")
  (data (i32.const 4) "etc/passwd")
  (data (i32.const 14) "list")

  (global $letter (mut i32) (i32.const 0))
  (global $first i32 (i32.const 3)) ;; the directory of `file`
  (global $last (mut i32) (i32.const 3))
  (global $file (mut i32) (i32.const 0))
  (global $size (mut i32) (i32.const 0)) ;; bytes of one transfer
  (global $offset (mut i64) (i64.const 0))

  (func $is (param $letter i32) (result i32) (i32.eq (global.get $letter) (local.get $letter)))
  (func $fine (param $errno i32) (if (local.get $errno) (then unreachable)))
  (func $moved (if (i32.ne (i32.load (i32.const 128)) (global.get $size)) (then unreachable)))
  (func $forward
    (global.set $offset (i64.rem_u (i64.add (global.get $offset) (i64.extend_i32_u (global.get $size)))
      (i64.const 4194304))))
  (func $rewind
    (if (i64.eqz (global.get $offset))
      (then (call $fine (call $fd_seek (global.get $file) (i64.const 0) (i32.const 0) (i32.const 128))))))
  (func $open (param $path i32) (param $flags i32) (param $rights i64) (result i32)
    (call $fine (call $path_open (global.get $first) (i32.const 1) (local.get $path) (i32.const 4) (local.get $flags)
      (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 128)))
    (i32.load (i32.const 128)))
  (func $now (result i64)
    (call $fine (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 128)))
    (i64.load (i32.const 128)))

  ;; Reads the open directory from its beginning to its end, a buffer of 4 KiB at a time.
  (func $list (local $cookie i64) (local $at i32) (local $end i32)
    (loop $more
      (call $fine (call $fd_readdir (global.get $file) (i32.const 65536) (i32.const 4096) (local.get $cookie)
        (i32.const 128)))
      (local.set $at (i32.const 65536))
      (local.set $end (i32.add (i32.const 65536) (i32.load (i32.const 128))))
      (block $partial (loop $entry
        (br_if $partial (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $end)))
        (br_if $partial (i32.gt_u
          (i32.add (i32.add (local.get $at) (i32.const 24)) (i32.load offset=16 (local.get $at))) (local.get $end)))
        (local.set $cookie (i64.load (local.get $at)))
        (local.set $at (i32.add (i32.add (local.get $at) (i32.const 24)) (i32.load offset=16 (local.get $at))))
        (br $entry)))
      (br_if $more (i32.eq (i32.load (i32.const 128)) (i32.const 4096)))))

  (func $operation
    (if (i32.or (call $is (i32.const 0x72)) (call $is (i32.const 0x52))) (then
      (call $rewind)
      (call $fine (call $fd_read (global.get $file) (i32.const 64) (i32.const 1) (i32.const 128)))
      (call $moved)
      (call $forward)
      (return)))
    (if (i32.or (call $is (i32.const 0x77)) (call $is (i32.const 0x57))) (then
      (call $rewind)
      (call $fine (call $fd_write (global.get $file) (i32.const 64) (i32.const 1) (i32.const 128)))
      (call $moved)
      (call $forward)
      (return)))
    (if (i32.or (call $is (i32.const 0x70)) (call $is (i32.const 0x50))) (then
      (call $fine (call $fd_pread (global.get $file) (i32.const 64) (i32.const 1) (global.get $offset) (i32.const 128)))
      (call $moved)
      (call $forward)
      (return)))
    (if (i32.or (call $is (i32.const 0x71)) (call $is (i32.const 0x51))) (then
      (call $fine (call $fd_pwrite (global.get $file) (i32.const 64) (i32.const 1) (global.get $offset) (i32.const 128)))
      (call $moved)
      (call $forward)
      (return)))
    (if (call $is (i32.const 0x73)) (then
      (call $fine (call $path_filestat_get (global.get $first) (i32.const 1) (i32.const 0) (i32.const 4)
        (i32.const 128)))
      (return)))
    (if (call $is (i32.const 0x64)) (then
      (call $fine (call $fd_filestat_get (global.get $file) (i32.const 128)))
      (return)))
    (if (call $is (i32.const 0x6f)) (then
      (call $fine (call $fd_close (call $open (i32.const 0) (i32.const 0) (i64.const 0x2))))
      (return)))
    (if (call $is (i32.const 0x6c)) (then (call $list) (return)))
    (if (call $is (i32.const 0x63)) (then (drop (call $now)) (return)))
    (if (call $is (i32.const 0x66)) (then
      (if (i32.eqz (call $path_open (global.get $last) (i32.const 1) (i32.const 4) (i32.const 10) (i32.const 0)
        (i64.const 0x2) (i64.const 0) (i32.const 0) (i32.const 128))) (then unreachable))
      (return)))
    (if (i32.eqz (call $is (i32.const 0x6e))) (then unreachable)))

  (func $number (param $at i32) (result i32) (local $value i32)
    (loop $digit
      (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 10))
        (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $digit (i32.load8_u (local.get $at))))
    (local.get $value))
  ;; Writes $value and a newline to standard output: the digits are made backwards, up to 1056.
  (func $print (param $value i64) (local $at i32)
    (local.set $at (i32.const 1055))
    (i32.store8 (local.get $at) (i32.const 10))
    (loop $digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10)))))
      (local.set $value (i64.div_u (local.get $value) (i64.const 10)))
      (br_if $digit (i64.ne (local.get $value) (i64.const 0))))
    (i32.store (i32.const 64) (local.get $at))
    (i32.store (i32.const 68) (i32.sub (i32.const 1056) (local.get $at)))
    (call $fine (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 128))))

  (func (export "_start") (local $count i32) (local $start i64) (local $taken i64)
    (call $fine (call $args_sizes_get (i32.const 128) (i32.const 132)))
    (if (i32.ne (i32.load (i32.const 128)) (i32.const 3)) (then unreachable))
    (call $fine (call $args_get (i32.const 128) (i32.const 4096)))
    (global.set $letter (i32.load8_u (i32.load (i32.const 132))))
    (local.set $count (call $number (i32.load (i32.const 136))))
    (block $none (loop $next
      (br_if $none (call $fd_prestat_get (i32.add (global.get $last) (i32.const 1)) (i32.const 128)))
      (global.set $last (i32.add (global.get $last) (i32.const 1)))
      (br $next)))
    ;; Capital letters mean 64 KiB.
    (global.set $size (select (i32.const 65536) (i32.const 4096) (i32.lt_u (global.get $letter) (i32.const 0x61))))
    (i32.store (i32.const 64) (i32.const 65536))
    (i32.store (i32.const 68) (global.get $size))
    (if (call $is (i32.const 0x6c)) (then
      (global.set $file (call $open (i32.const 14) (i32.const 2) (i64.const 0x4000)))))
    (if (i32.or
      (i32.or (i32.or (call $is (i32.const 0x72)) (call $is (i32.const 0x52))) (call $is (i32.const 0x64)))
      (i32.or (call $is (i32.const 0x70)) (call $is (i32.const 0x50)))) (then
      ;; fd_read, fd_seek, fd_filestat_get
      (global.set $file (call $open (i32.const 0) (i32.const 0) (i64.const 0x200006)))))
    (if (i32.or
      (i32.or (call $is (i32.const 0x77)) (call $is (i32.const 0x57)))
      (i32.or (call $is (i32.const 0x71)) (call $is (i32.const 0x51)))) (then
      ;; fd_write, fd_seek
      (global.set $file (call $open (i32.const 0) (i32.const 0) (i64.const 0x44)))))
    (local.set $start (call $now))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $count)))
      (call $operation)
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (local.set $taken (i64.sub (call $now) (local.get $start)))
    (call $print (local.get $taken))))
