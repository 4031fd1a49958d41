;; Sends `GET https://api.example.com/v1/items?page=1` through `wasi:http/outgoing-handler` and does not wait for an
;; answer. Prints `handle -> ok`, or `handle -> error CODE`.
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
  (import "wasi:http/types@0.2.0" (instance $http
    (type $option-string (option string))
    (type $option-u32 (option u32))
    (type $option-u64 (option u64))
    (type $scheme-cases (variant (case "HTTP") (case "HTTPS") (case "other" string)))
    (export "scheme" (type $scheme (eq $scheme-cases)))
    (type $dns-error (record (field "rcode" $option-string) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error-payload (eq $dns-error)))
    (type $tls-alert-received (record (field "alert-id" (option u8)) (field "alert-message" $option-string)))
    (export "TLS-alert-received-payload" (type $tls-alert-received-payload (eq $tls-alert-received)))
    (type $field-size (record (field "field-name" $option-string) (field "field-size" $option-u32)))
    (export "field-size-payload" (type $field-size-payload (eq $field-size)))
    (type $option-field-size-payload (option $field-size-payload))
    (type $error-cases (variant
      (case "DNS-timeout")
      (case "DNS-error" $dns-error-payload)
      (case "destination-not-found")
      (case "destination-unavailable")
      (case "destination-IP-prohibited")
      (case "destination-IP-unroutable")
      (case "connection-refused")
      (case "connection-terminated")
      (case "connection-timeout")
      (case "connection-read-timeout")
      (case "connection-write-timeout")
      (case "connection-limit-reached")
      (case "TLS-protocol-error")
      (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls-alert-received-payload)
      (case "HTTP-request-denied")
      (case "HTTP-request-length-required")
      (case "HTTP-request-body-size" $option-u64)
      (case "HTTP-request-method-invalid")
      (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" $option-u32)
      (case "HTTP-request-header-size" $option-field-size-payload)
      (case "HTTP-request-trailer-section-size" $option-u32)
      (case "HTTP-request-trailer-size" $field-size-payload)
      (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" $option-u32)
      (case "HTTP-response-header-size" $field-size-payload)
      (case "HTTP-response-body-size" $option-u64)
      (case "HTTP-response-trailer-section-size" $option-u32)
      (case "HTTP-response-trailer-size" $field-size-payload)
      (case "HTTP-response-transfer-coding" $option-string)
      (case "HTTP-response-content-coding" $option-string)
      (case "HTTP-response-timeout")
      (case "HTTP-upgrade-failed")
      (case "HTTP-protocol-error")
      (case "loop-detected")
      (case "configuration-error")
      (case "internal-error" $option-string)))
    (export "error-code" (type (eq $error-cases)))
    (export "fields" (type $fields (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "request-options" (type (sub resource)))
    (export "future-incoming-response" (type (sub resource)))
    (export "outgoing-request" (type $request (sub resource)))
    (export "[constructor]outgoing-request" (func (param "headers" (own $fields)) (result (own $request))))
    (export "[method]outgoing-request.set-scheme" (func
      (param "self" (borrow $request)) (param "scheme" (option $scheme)) (result (result))))
    (export "[method]outgoing-request.set-authority" (func
      (param "self" (borrow $request)) (param "authority" $option-string) (result (result))))
    (export "[method]outgoing-request.set-path-with-query" (func
      (param "self" (borrow $request)) (param "path-with-query" $option-string) (result (result))))))
  (alias export $http "error-code" (type $http-error))
  (alias export $http "request-options" (type $options))
  (alias export $http "future-incoming-response" (type $response))
  (alias export $http "outgoing-request" (type $request))
  (import "wasi:http/outgoing-handler@0.2.0" (instance $handler
    (alias outer 1 $http-error (type $outer-error))
    (export "error-code" (type $error (eq $outer-error)))
    (alias outer 1 $options (type $outer-options))
    (export "request-options" (type $options (eq $outer-options)))
    (alias outer 1 $response (type $outer-response))
    (export "future-incoming-response" (type $response (eq $outer-response)))
    (alias outer 1 $request (type $outer-request))
    (export "outgoing-request" (type $request (eq $outer-request)))
    (export "handle" (func
      (param "request" (own $request)) (param "options" (option (own $options)))
      (result (result (own $response) (error $error)))))))

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
  (core func $fields (canon lower (func $http "[constructor]fields")))
  (core func $new-request (canon lower (func $http "[constructor]outgoing-request")))
  (core func $set-scheme (canon lower (func $http "[method]outgoing-request.set-scheme") (memory $mem)))
  (core func $set-authority (canon lower (func $http "[method]outgoing-request.set-authority") (memory $mem)))
  (core func $set-path (canon lower (func $http "[method]outgoing-request.set-path-with-query") (memory $mem)))
  (core func $handle (canon lower (func $handler "handle") (memory $mem) (realloc (core func $memory "realloc"))))
  (core module $main-module
    (import "memory" "memory" (memory 8))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "new-request" (func $new-request (param i32) (result i32)))
    (import "host" "set-scheme" (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "host" "set-authority" (func $set-authority (param i32 i32 i32 i32) (result i32)))
    (import "host" "set-path" (func $set-path (param i32 i32 i32 i32) (result i32)))
    (import "host" "handle" (func $handle (param i32 i32 i32 i32)))
    (data (i32.const 0) "handle -> ok")
    (data (i32.const 12) "handle -> error ")
    (data (i32.const 28) "api.example.com")
    (data (i32.const 43) "/v1/items?page=1")
    ;; The names of error codes, 40 bytes each, padded with spaces.
    (data (i32.const 8192)
      "DNS-timeout                             "
      "DNS-error                               "
      "destination-not-found                   "
      "destination-unavailable                 "
      "destination-IP-prohibited               "
      "destination-IP-unroutable               "
      "connection-refused                      "
      "connection-terminated                   "
      "connection-timeout                      "
      "connection-read-timeout                 "
      "connection-write-timeout                "
      "connection-limit-reached                "
      "TLS-protocol-error                      "
      "TLS-certificate-error                   "
      "TLS-alert-received                      "
      "HTTP-request-denied                     "
      "HTTP-request-length-required            "
      "HTTP-request-body-size                  "
      "HTTP-request-method-invalid             "
      "HTTP-request-URI-invalid                "
      "HTTP-request-URI-too-long               "
      "HTTP-request-header-section-size        "
      "HTTP-request-header-size                "
      "HTTP-request-trailer-section-size       "
      "HTTP-request-trailer-size               "
      "HTTP-response-incomplete                "
      "HTTP-response-header-section-size       "
      "HTTP-response-header-size               "
      "HTTP-response-body-size                 "
      "HTTP-response-trailer-section-size      "
      "HTTP-response-trailer-size              "
      "HTTP-response-transfer-coding           "
      "HTTP-response-content-coding            "
      "HTTP-response-timeout                   "
      "HTTP-upgrade-failed                     "
      "HTTP-protocol-error                     "
      "loop-detected                           "
      "configuration-error                     "
      "internal-error                          ")

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
      (local.set $from (i32.add (i32.const 8192) (i32.mul (local.get $code) (i32.const 40))))
      (loop $longer
        (local.set $size (i32.add (local.get $size) (i32.const 1)))
        (br_if $longer (i32.ne (i32.load8_u (i32.add (local.get $from) (local.get $size))) (i32.const 32))))
      (call $put (local.get $from) (local.get $size)))

    (func (export "run") (result i32)
      (local $request i32)
      (local.set $request (call $new-request (call $fields)))
      ;; some(HTTPS), some(authority), some(path)
      (drop (call $set-scheme (local.get $request) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)))
      (drop (call $set-authority (local.get $request) (i32.const 1) (i32.const 28) (i32.const 15)))
      (drop (call $set-path (local.get $request) (i32.const 1) (i32.const 43) (i32.const 16)))
      (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 4096))
      (if (i32.load8_u (i32.const 4096))
        (then
          (call $put (i32.const 12) (i32.const 16))
          (call $put-code (i32.load8_u (i32.const 4104))))
        (else (call $put (i32.const 0) (i32.const 12))))
      (call $say)
      (i32.const 0)))

  (core instance $main (instantiate $main-module
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "fields" (func $fields))
      (export "new-request" (func $new-request))
      (export "set-scheme" (func $set-scheme))
      (export "set-authority" (func $set-authority))
      (export "set-path" (func $set-path))
      (export "handle" (func $handle))
    ))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
