;; Reads and writes through `descriptor.read` and `descriptor.write`, without streams: in every preopened directory it
;; reads `a.txt` (64 bytes at most) and writes `direct` to `b.txt`. Prints, for each directory DIR in turn, `open-at
;; DIR a.txt -> ok`, `read DIR a.txt -> ok "TEXT"`, `open-at DIR b.txt -> ok`, `write DIR b.txt -> ok 6`; or `... ->
;; error CODE`, with no second line when it could not open.
(component
  (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (type $stream-error-cases (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-cases)))
    (export "output-stream" (type $output-stream (sub resource)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $outer-stream))
    (export "output-stream" (type $stream (eq $outer-stream)))
    (export "get-stdout" (func (result (own $stream))))))
  (import "wasi:filesystem/types@0.2.0" (instance $filesystem
    (export "descriptor" (type $descriptor (sub resource)))
    (type $error-codes (enum
      "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist" "file-too-large"
      "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty"
      "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy"
      "cross-device"))
    (export "error-code" (type $error-code (eq $error-codes)))
    (type $path-flag-names (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path-flag-names)))
    (type $open-flag-names (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open-flag-names)))
    (type $descriptor-flag-names (flags
      "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $descriptor-flag-names)))
    (export "[method]descriptor.open-at" (func
      (param "self" (borrow $descriptor)) (param "path-flags" $path-flags) (param "path" string)
      (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error-code)))))
    (export "[method]descriptor.read" (func
      (param "self" (borrow $descriptor)) (param "length" u64) (param "offset" u64)
      (result (result (tuple (list u8) bool) (error $error-code)))))
    (export "[method]descriptor.write" (func
      (param "self" (borrow $descriptor)) (param "buffer" (list u8)) (param "offset" u64)
      (result (result u64 (error $error-code)))))))
  (alias export $filesystem "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer-descriptor))
    (export "descriptor" (type $descriptor (eq $outer-descriptor)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))

  ;; Memory: 0 texts, 1024 the line being built, 4096 results of calls, 65536 what `realloc` hands out.
  (core module $memory-module
    (memory (export "memory") 8)
    (global $next (mut i32) (i32.const 65536))
    (func (export "reset") (global.set $next (i32.const 65536)))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable))))
      (local.get $at)))
  (core instance $memory (instantiate $memory-module))
  (alias core export $memory "memory" (core memory $mem))

  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core func $get-directories (canon lower (func $preopens "get-directories")
    (memory $mem) (realloc (core func $memory "realloc"))))
  (core func $open-at (canon lower (func $filesystem "[method]descriptor.open-at") (memory $mem)))
  (core func $read (canon lower (func $filesystem "[method]descriptor.read")
    (memory $mem) (realloc (core func $memory "realloc"))))
  (core func $write-at (canon lower (func $filesystem "[method]descriptor.write") (memory $mem)))
  (core module $main-module
    (import "memory" "memory" (memory 8))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (import "host" "write-at" (func $write-at (param i32 i32 i32 i64 i32)))
    (data (i32.const 0) "open-at ")
    (data (i32.const 8) " -> ok")
    (data (i32.const 14) " -> error ")
    (data (i32.const 24) "read ")
    (data (i32.const 29) "write ")
    (data (i32.const 35) " ")
    (data (i32.const 36) "\22")
    (data (i32.const 37) "a.txt")
    (data (i32.const 42) "b.txt")
    (data (i32.const 47) "direct")
    ;; The names of error codes, 24 bytes each, padded with spaces.
    (data (i32.const 8192)
      "access                  "
      "would-block             "
      "already                 "
      "bad-descriptor          "
      "busy                    "
      "deadlock                "
      "quota                   "
      "exist                   "
      "file-too-large          "
      "illegal-byte-sequence   "
      "in-progress             "
      "interrupted             "
      "invalid                 "
      "io                      "
      "is-directory            "
      "loop                    "
      "too-many-links          "
      "message-size            "
      "name-too-long           "
      "no-device               "
      "no-entry                "
      "no-lock                 "
      "insufficient-memory     "
      "insufficient-space      "
      "not-directory           "
      "not-empty               "
      "not-recoverable         "
      "unsupported             "
      "no-tty                  "
      "no-such-device          "
      "overflow                "
      "not-permitted           "
      "pipe                    "
      "read-only               "
      "invalid-seek            "
      "text-file-busy          "
      "cross-device            ")

    ;; The line being built: 1024 up to $end.
    (global $end (mut i32) (i32.const 1024))
    (func $put (param $from i32) (param $size i32)
      (memory.copy (global.get $end) (local.get $from) (local.get $size))
      (global.set $end (i32.add (global.get $end) (local.get $size))))
    (func $put-number (param $number i64)
      (if (i64.ge_u (local.get $number) (i64.const 10))
        (then (call $put-number (i64.div_u (local.get $number) (i64.const 10)))))
      (i32.store8 (global.get $end)
        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10)))))
      (global.set $end (i32.add (global.get $end) (i32.const 1))))
    (func $say
      (i32.store8 (global.get $end) (i32.const 10))
      (call $write (call $get-stdout)
        (i32.const 1024) (i32.sub (i32.add (global.get $end) (i32.const 1)) (i32.const 1024)) (i32.const 4096))
      (global.set $end (i32.const 1024)))
    (func $put-code (param $code i32)
      (local $from i32) (local $size i32)
      (local.set $from (i32.add (i32.const 8192) (i32.mul (local.get $code) (i32.const 24))))
      (loop $longer
        (local.set $size (i32.add (local.get $size) (i32.const 1)))
        (br_if $longer (i32.ne (i32.load8_u (i32.add (local.get $from) (local.get $size))) (i32.const 32))))
      (call $put (local.get $from) (local.get $size)))

    ;; Ends the line with ` -> error CODE` and answers 1 when the call whose result is at 4096 failed; its payload is at
    ;; $payload.
    (func $failed (param $payload i32) (result i32)
      (if (i32.eqz (i32.load8_u (i32.const 4096))) (then (return (i32.const 0))))
      (call $put (i32.const 14) (i32.const 10))
      (call $put-code (i32.load8_u (local.get $payload)))
      (call $say)
      (i32.const 1))
    ;; The file at $name, or -1.
    (func $open (param $entry i32) (param $name i32) (param $open-flags i32) (param $flags i32) (result i32)
      (call $put (i32.const 0) (i32.const 8))
      (call $put (i32.load offset=4 (local.get $entry)) (i32.load offset=8 (local.get $entry)))
      (call $put (i32.const 35) (i32.const 1))
      (call $put (local.get $name) (i32.const 5))
      (call $open-at (i32.load (local.get $entry)) (i32.const 1) (local.get $name) (i32.const 5)
        (local.get $open-flags) (local.get $flags) (i32.const 4096))
      (if (call $failed (i32.const 4100)) (then (return (i32.const -1))))
      (call $put (i32.const 8) (i32.const 6))
      (call $say)
      (i32.load (i32.const 4100)))
    (func $try-read (param $entry i32)
      (local $file i32)
      (local.set $file (call $open (local.get $entry) (i32.const 37) (i32.const 0) (i32.const 1)))
      (if (i32.eq (local.get $file) (i32.const -1)) (then (return)))
      (call $put (i32.const 24) (i32.const 5))
      (call $put (i32.load offset=4 (local.get $entry)) (i32.load offset=8 (local.get $entry)))
      (call $put (i32.const 35) (i32.const 1))
      (call $put (i32.const 37) (i32.const 5))
      (call $read (local.get $file) (i64.const 64) (i64.const 0) (i32.const 4096))
      (if (call $failed (i32.const 4100)) (then (return)))
      (call $put (i32.const 8) (i32.const 6))
      (call $put (i32.const 35) (i32.const 1))
      (call $put (i32.const 36) (i32.const 1))
      (call $put (i32.load (i32.const 4100)) (i32.load (i32.const 4104)))
      (call $put (i32.const 36) (i32.const 1))
      (call $say))
    (func $try-write (param $entry i32)
      (local $file i32)
      ;; create; write
      (local.set $file (call $open (local.get $entry) (i32.const 42) (i32.const 1) (i32.const 2)))
      (if (i32.eq (local.get $file) (i32.const -1)) (then (return)))
      (call $put (i32.const 29) (i32.const 6))
      (call $put (i32.load offset=4 (local.get $entry)) (i32.load offset=8 (local.get $entry)))
      (call $put (i32.const 35) (i32.const 1))
      (call $put (i32.const 42) (i32.const 5))
      (call $write-at (local.get $file) (i32.const 47) (i32.const 6) (i64.const 0) (i32.const 4096))
      (if (call $failed (i32.const 4104)) (then (return)))
      (call $put (i32.const 8) (i32.const 6))
      (call $put (i32.const 35) (i32.const 1))
      (call $put-number (i64.load (i32.const 4104)))
      (call $say))
    (func (export "run") (result i32)
      (local $entry i32) (local $left i32)
      (call $get-directories (i32.const 4096))
      (local.set $entry (i32.load (i32.const 4096)))
      (local.set $left (i32.load (i32.const 4100)))
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $left)))
          (call $try-read (local.get $entry))
          (call $try-write (local.get $entry))
          (local.set $entry (i32.add (local.get $entry) (i32.const 12)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $next)))
      (i32.const 0)))

  (core instance $main (instantiate $main-module
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "get-directories" (func $get-directories))
      (export "open-at" (func $open-at))
      (export "read" (func $read))
      (export "write-at" (func $write-at))
    ))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
