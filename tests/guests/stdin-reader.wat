;; Reads standard input to its end through `wasi:io/streams`, 64 KiB at a time. Prints `stdin -> asked` first (nothing
;; may stand in the way of asking for the stream), then `stdin -> closed read=N`, or `stdin -> failed read=N`.
(component
  (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (type $stream-error-cases (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-cases)))
    (export "input-stream" (type $input-stream (sub resource)))
    (export "[method]input-stream.blocking-read" (func
      (param "self" (borrow $input-stream)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
    (export "output-stream" (type $output-stream (sub resource)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $outer-stream))
    (export "output-stream" (type $stream (eq $outer-stream)))
    (export "get-stdout" (func (result (own $stream))))))
  (alias export $streams "input-stream" (type $input-stream))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input-stream (type $outer-stream))
    (export "input-stream" (type $stream (eq $outer-stream)))
    (export "get-stdin" (func (result (own $stream))))))

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
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read")
    (memory $mem) (realloc (core func $memory "realloc"))))
  (core module $main-module
    (import "memory" "memory" (memory 8))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "memory" "reset" (func $reset))
    (import "host" "get-stdin" (func $get-stdin (result i32)))
    (import "host" "read" (func $read (param i32 i64 i32)))
    (data (i32.const 0) "stdin -> closed read=")
    (data (i32.const 21) "stdin -> failed read=")
    (data (i32.const 42) "stdin -> asked")

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

    (func (export "run") (result i32)
      (local $stdin i32) (local $total i64)
      (local.set $stdin (call $get-stdin))
      (call $put (i32.const 42) (i32.const 14))
      (call $say)
      (block $end
        (loop $more
          (call $reset)
          (call $read (local.get $stdin) (i64.const 65536) (i32.const 4096))
          (br_if $end (i32.load8_u (i32.const 4096)))
          (local.set $total (i64.add (local.get $total) (i64.load32_u (i32.const 4104))))
          (br $more)))
      ;; stream-error: 0 last-operation-failed, 1 closed
      (if (i32.load8_u (i32.const 4100)) (then (call $put (i32.const 0) (i32.const 21))) (else (call $put (i32.const 21) (i32.const 21))))
      (call $put-number (local.get $total))
      (call $say)
      (i32.const 0)))

  (core instance $main (instantiate $main-module
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "get-stdin" (func $get-stdin))
      (export "read" (func $read))
    ))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
