;; Opens the first preopened directory again and again, a million times, and keeps every handle; the preview 1 adapter
;; would stop it at its own 128. Prints `many-handles -> ok opened=N`, `many-handles -> error CODE opened=N`, or `many-
;; handles -> no directory`.
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
      (result (result (own $descriptor) (error $error-code)))))))
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
  (core module $main-module
    (import "memory" "memory" (memory 8))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 0) "many-handles -> ok opened=")
    (data (i32.const 26) "many-handles -> error ")
    (data (i32.const 48) " opened=")
    (data (i32.const 56) "many-handles -> no directory")
    (data (i32.const 84) ".")
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

    (func (export "run") (result i32)
      (local $directory i32) (local $opened i64)
      (call $get-directories (i32.const 4096))
      (if (i32.eqz (i32.load (i32.const 4100))) (then
        (call $put (i32.const 56) (i32.const 28))
        (call $say)
        (return (i32.const 0))))
      (local.set $directory (i32.load (i32.load (i32.const 4096))))
      (block $stop
        (loop $more
          ;; symlink-follow; "."; directory; read
          (call $open-at (local.get $directory) (i32.const 1) (i32.const 84) (i32.const 1) (i32.const 2) (i32.const 1) (i32.const 4096))
          (br_if $stop (i32.load8_u (i32.const 4096)))
          (local.set $opened (i64.add (local.get $opened) (i64.const 1)))
          (br_if $more (i64.lt_u (local.get $opened) (i64.const 1000000)))))
      (if (i32.load8_u (i32.const 4096))
        (then
          (call $put (i32.const 26) (i32.const 22))
          (call $put-code (i32.load8_u (i32.const 4100)))
          (call $put (i32.const 48) (i32.const 8)))
        (else (call $put (i32.const 0) (i32.const 26))))
      (call $put-number (local.get $opened))
      (call $say)
      (i32.const 0)))

  (core instance $main (instantiate $main-module
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "get-directories" (func $get-directories))
      (export "open-at" (func $open-at))
    ))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
