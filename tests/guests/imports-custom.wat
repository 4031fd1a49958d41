;; Imports an interface that is not of WASI, and never calls it.
(component
  (import "acme:billing/ledger@1.0.0" (instance $interface (export "balance" (func (param "account" string) (result u64)))))

  (core module $main-module
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main-module))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
