;; Imports an interface of WASI 0.3, and never calls it.
(component
  (import "wasi:random/random@0.3.0" (instance $interface (export "get-random-u64" (func (result u64)))))

  (core module $main-module
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main-module))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
