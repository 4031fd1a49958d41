;; One operation of WASI 0.2, many times over, timed by the guest itself: `operations LETTER COUNT` prints the
;; nanoseconds that COUNT of them took. It speaks WASI directly, without a C library in between that would split large
;; transfers. It works on `file` (4 MiB) in the first preopened directory, and traps where a call does not do as it should.
;;
;;     n  nothing                                      s  descriptor.stat-at of `file`
;;     r  input-stream.blocking-read of 4 KiB          d  descriptor.stat of the open file
;;     R  the same of 64 KiB                           o  descriptor.open-at of `file`, and drop
;;     w  output-stream.blocking-write-and-flush, 4 KiB
;;     W  check-write, write of 64 KiB and blocking-flush
;;     p  descriptor.read of 4 KiB                     q  descriptor.write of 4 KiB
;;     P  the same of 64 KiB                           Q  the same of 64 KiB
;;     c  monotonic-clock.now
;;     f  open-at of `etc/passwd` in the last preopened directory, which fails
(component
  (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (type $stream-error-cases (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-cases)))
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    (export "[method]input-stream.blocking-read" (func
      (param "self" (borrow $input-stream)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
    (export "[method]output-stream.check-write" (func
      (param "self" (borrow $output-stream)) (result (result u64 (error $stream-error)))))
    (export "[method]output-stream.write" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))
    (export "[method]output-stream.blocking-flush" (func
      (param "self" (borrow $output-stream)) (result (result (error $stream-error)))))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $outer-stream))
    (export "output-stream" (type $stream (eq $outer-stream)))
    (export "get-stdout" (func (result (own $stream))))))
  (import "wasi:filesystem/types@0.2.0" (instance $filesystem
    (alias outer 1 $input-stream (type $outer-input))
    (export "input-stream" (type $input-stream (eq $outer-input)))
    (alias outer 1 $output-stream (type $outer-output))
    (export "output-stream" (type $output-stream (eq $outer-output)))
    (export "descriptor" (type $descriptor (sub resource)))
    (type $error-codes (enum
      "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist" "file-too-large"
      "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty"
      "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy"
      "cross-device"))
    (export "error-code" (type $error-code (eq $error-codes)))
    (type $types (enum
      "unknown" "block-device" "character-device" "directory" "fifo" "symbolic-link" "regular-file" "socket"))
    (export "descriptor-type" (type $descriptor-type (eq $types)))
    (type $datetime-record (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime-record)))
    (type $stat-record (record
      (field "type" $descriptor-type) (field "link-count" u64) (field "size" u64)
      (field "data-access-timestamp" (option $datetime)) (field "data-modification-timestamp" (option $datetime))
      (field "status-change-timestamp" (option $datetime))))
    (export "descriptor-stat" (type $descriptor-stat (eq $stat-record)))
    (type $path-flag-names (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path-flag-names)))
    (type $open-flag-names (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open-flag-names)))
    (type $descriptor-flag-names (flags
      "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $descriptor-flag-names)))
    (export "[method]descriptor.read-via-stream" (func
      (param "self" (borrow $descriptor)) (param "offset" u64) (result (result (own $input-stream) (error $error-code)))))
    (export "[method]descriptor.write-via-stream" (func
      (param "self" (borrow $descriptor)) (param "offset" u64) (result (result (own $output-stream) (error $error-code)))))
    (export "[method]descriptor.read" (func
      (param "self" (borrow $descriptor)) (param "length" u64) (param "offset" u64)
      (result (result (tuple (list u8) bool) (error $error-code)))))
    (export "[method]descriptor.write" (func
      (param "self" (borrow $descriptor)) (param "buffer" (list u8)) (param "offset" u64)
      (result (result u64 (error $error-code)))))
    (export "[method]descriptor.stat" (func
      (param "self" (borrow $descriptor)) (result (result $descriptor-stat (error $error-code)))))
    (export "[method]descriptor.stat-at" (func
      (param "self" (borrow $descriptor)) (param "path-flags" $path-flags) (param "path" string)
      (result (result $descriptor-stat (error $error-code)))))
    (export "[method]descriptor.open-at" (func
      (param "self" (borrow $descriptor)) (param "path-flags" $path-flags) (param "path" string)
      (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error-code)))))))
  (alias export $filesystem "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer-descriptor))
    (export "descriptor" (type $descriptor (eq $outer-descriptor)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))

  ;; Memory: 0 texts, 1024 the number printed, 4096 results of calls, 65536 what is written, 131072 what `realloc` hands out.
  (core module $memory-module
    (memory (export "memory") 6)
    (global $next (mut i32) (i32.const 131072))
    (func (export "reset") (global.set $next (i32.const 131072)))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.const 393216)) (then unreachable))
      (local.get $at)))
  (core instance $memory (instantiate $memory-module))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))

  (core func $get-arguments (canon lower (func $environment "get-arguments") (memory $mem) (realloc $realloc)))
  (core func $now (canon lower (func $clock "now")))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-directories (canon lower (func $preopens "get-directories") (memory $mem) (realloc $realloc)))
  (core func $blocking-read
    (canon lower (func $streams "[method]input-stream.blocking-read") (memory $mem) (realloc $realloc)))
  (core func $check-write (canon lower (func $streams "[method]output-stream.check-write") (memory $mem)))
  (core func $stream-write (canon lower (func $streams "[method]output-stream.write") (memory $mem)))
  (core func $flush (canon lower (func $streams "[method]output-stream.blocking-flush") (memory $mem)))
  (core func $write-and-flush
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core func $read-stream (canon lower (func $filesystem "[method]descriptor.read-via-stream") (memory $mem)))
  (core func $write-stream (canon lower (func $filesystem "[method]descriptor.write-via-stream") (memory $mem)))
  (core func $read (canon lower (func $filesystem "[method]descriptor.read") (memory $mem) (realloc $realloc)))
  (core func $write (canon lower (func $filesystem "[method]descriptor.write") (memory $mem)))
  (core func $stat (canon lower (func $filesystem "[method]descriptor.stat") (memory $mem)))
  (core func $stat-at (canon lower (func $filesystem "[method]descriptor.stat-at") (memory $mem)))
  (core func $open-at (canon lower (func $filesystem "[method]descriptor.open-at") (memory $mem)))
  (core func $drop-input (canon resource.drop $input-stream))
  (core func $drop-output (canon resource.drop $output-stream))
  (core func $drop-descriptor (canon resource.drop $descriptor))

  (core module $main-module
    (import "memory" "memory" (memory 6))
    (import "memory" "reset" (func $reset))
    (import "host" "get-arguments" (func $get-arguments (param i32)))
    (import "host" "now" (func $now (result i64)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "blocking-read" (func $blocking-read (param i32 i64 i32)))
    (import "host" "check-write" (func $check-write (param i32 i32)))
    (import "host" "stream-write" (func $stream-write (param i32 i32 i32 i32)))
    (import "host" "flush" (func $flush (param i32 i32)))
    (import "host" "write-and-flush" (func $write-and-flush (param i32 i32 i32 i32)))
    (import "host" "read-stream" (func $read-stream (param i32 i64 i32)))
    (import "host" "write-stream" (func $write-stream (param i32 i64 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i64 i32)))
    (import "host" "stat" (func $stat (param i32 i32)))
    (import "host" "stat-at" (func $stat-at (param i32 i32 i32 i32 i32)))
    (import "host" "open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "drop-input" (func $drop-input (param i32)))
    (import "host" "drop-output" (func $drop-output (param i32)))
    (import "host" "drop-descriptor" (func $drop-descriptor (param i32)))
    (data (i32.const 0) "file")
    (data (i32.const 4) "etc/passwd")

    (global $letter (mut i32) (i32.const 0))
    (global $first (mut i32) (i32.const 0)) ;; the directory of `file`
    (global $last (mut i32) (i32.const 0))
    (global $file (mut i32) (i32.const 0))
    (global $stream (mut i32) (i32.const 0))
    (global $size (mut i32) (i32.const 0)) ;; bytes of one transfer
    (global $offset (mut i64) (i64.const 0))

    (func $is (param $letter i32) (result i32) (i32.eq (global.get $letter) (local.get $letter)))
    (func $fine (if (i32.load8_u (i32.const 4096)) (then unreachable)))
    (func $moved (param $bytes i32) (if (i32.ne (local.get $bytes) (global.get $size)) (then unreachable)))
    (func $forward
      (global.set $offset (i64.rem_u (i64.add (global.get $offset) (i64.extend_i32_u (global.get $size)))
        (i64.const 4194304))))
    (func $open (param $flags i32) (result i32)
      (call $open-at (global.get $first) (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 0) (local.get $flags)
        (i32.const 4096))
      (call $fine)
      (i32.load (i32.const 4100)))

    (func $stream-read
      (if (i64.eqz (global.get $offset)) (then
        (if (global.get $stream) (then (call $drop-input (global.get $stream))))
        (call $read-stream (global.get $file) (i64.const 0) (i32.const 4096))
        (call $fine)
        (global.set $stream (i32.load (i32.const 4100)))))
      (call $blocking-read (global.get $stream) (i64.extend_i32_u (global.get $size)) (i32.const 4096))
      (call $fine)
      (call $moved (i32.load (i32.const 4104)))
      (call $forward))
    (func $stream-out
      (if (i64.eqz (global.get $offset)) (then
        (if (global.get $stream) (then (call $drop-output (global.get $stream))))
        (call $write-stream (global.get $file) (i64.const 0) (i32.const 4096))
        (call $fine)
        (global.set $stream (i32.load (i32.const 4100)))))
      (if (i32.le_u (global.get $size) (i32.const 4096))
        (then (call $write-and-flush (global.get $stream) (i32.const 65536) (global.get $size) (i32.const 4096)))
        (else
          (call $check-write (global.get $stream) (i32.const 4096))
          (call $fine)
          (if (i64.lt_u (i64.load (i32.const 4104)) (i64.extend_i32_u (global.get $size))) (then unreachable))
          (call $stream-write (global.get $stream) (i32.const 65536) (global.get $size) (i32.const 4096))
          (call $fine)
          (call $flush (global.get $stream) (i32.const 4096))))
      (call $fine)
      (call $forward))

    (func $operation
      (call $reset)
      (if (i32.or (call $is (i32.const 0x72)) (call $is (i32.const 0x52))) (then (call $stream-read) (return)))
      (if (i32.or (call $is (i32.const 0x77)) (call $is (i32.const 0x57))) (then (call $stream-out) (return)))
      (if (i32.or (call $is (i32.const 0x70)) (call $is (i32.const 0x50))) (then
        (call $read (global.get $file) (i64.extend_i32_u (global.get $size)) (global.get $offset) (i32.const 4096))
        (call $fine)
        (call $moved (i32.load (i32.const 4104)))
        (call $forward)
        (return)))
      (if (i32.or (call $is (i32.const 0x71)) (call $is (i32.const 0x51))) (then
        (call $write (global.get $file) (i32.const 65536) (global.get $size) (global.get $offset) (i32.const 4096))
        (call $fine)
        (call $moved (i32.wrap_i64 (i64.load (i32.const 4104))))
        (call $forward)
        (return)))
      (if (call $is (i32.const 0x73)) (then
        (call $stat-at (global.get $first) (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 4096))
        (call $fine)
        (return)))
      (if (call $is (i32.const 0x64)) (then
        (call $stat (global.get $file) (i32.const 4096))
        (call $fine)
        (return)))
      (if (call $is (i32.const 0x6f)) (then
        (call $drop-descriptor (call $open (i32.const 1)))
        (return)))
      (if (call $is (i32.const 0x66)) (then
        (call $open-at (global.get $last) (i32.const 1) (i32.const 4) (i32.const 10) (i32.const 0) (i32.const 1)
          (i32.const 4096))
        (if (i32.eqz (i32.load8_u (i32.const 4096))) (then unreachable))
        (return)))
      (if (call $is (i32.const 0x63)) (then (drop (call $now)) (return)))
      (if (i32.eqz (call $is (i32.const 0x6e))) (then unreachable)))

    (func $number (param $at i32) (param $length i32) (result i32) (local $value i32)
      (loop $digit
        (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 10))
          (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $length (i32.sub (local.get $length) (i32.const 1)))
        (br_if $digit (local.get $length)))
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
      (call $write-and-flush (call $get-stdout) (local.get $at) (i32.sub (i32.const 1056) (local.get $at))
        (i32.const 4096))
      (call $fine))

    (func (export "run") (result i32)
      (local $list i32) (local $count i32) (local $start i64)
      (call $get-arguments (i32.const 4096))
      (if (i32.ne (i32.load (i32.const 4100)) (i32.const 3)) (then unreachable))
      (local.set $list (i32.load (i32.const 4096)))
      (global.set $letter (i32.load8_u (i32.load offset=8 (local.get $list))))
      (local.set $count (call $number (i32.load offset=16 (local.get $list)) (i32.load offset=20 (local.get $list))))
      (call $get-directories (i32.const 4096))
      (local.set $list (i32.load (i32.const 4096)))
      (global.set $first (i32.load (local.get $list)))
      (global.set $last (i32.load (i32.add (local.get $list)
        (i32.mul (i32.const 12) (i32.sub (i32.load (i32.const 4100)) (i32.const 1))))))
      ;; Capital letters mean 64 KiB.
      (global.set $size (select (i32.const 65536) (i32.const 4096) (i32.lt_u (global.get $letter) (i32.const 0x61))))
      (if (i32.eqz (i32.or (call $is (i32.const 0x63))
        (i32.or (call $is (i32.const 0x6e)) (call $is (i32.const 0x66))))) (then
        (global.set $file (call $open (select (i32.const 3) (i32.const 1)
          (i32.or
            (i32.or (call $is (i32.const 0x77)) (call $is (i32.const 0x57)))
            (i32.or (call $is (i32.const 0x71)) (call $is (i32.const 0x51)))))))))
      (local.set $start (call $now))
      (block $done (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (call $operation)
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
      (call $print (i64.sub (call $now) (local.get $start)))
      (i32.const 0)))

  (core instance $main (instantiate $main-module
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-arguments" (func $get-arguments))
      (export "now" (func $now))
      (export "get-stdout" (func $get-stdout))
      (export "get-directories" (func $get-directories))
      (export "blocking-read" (func $blocking-read))
      (export "check-write" (func $check-write))
      (export "stream-write" (func $stream-write))
      (export "flush" (func $flush))
      (export "write-and-flush" (func $write-and-flush))
      (export "read-stream" (func $read-stream))
      (export "write-stream" (func $write-stream))
      (export "read" (func $read))
      (export "write" (func $write))
      (export "stat" (func $stat))
      (export "stat-at" (func $stat-at))
      (export "open-at" (func $open-at))
      (export "drop-input" (func $drop-input))
      (export "drop-output" (func $drop-output))
      (export "drop-descriptor" (func $drop-descriptor))
    ))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
