;; Imports an interface of a WASI 0.2 release candidate, and never calls it.
(component
  (import "wasi:random/random@0.2.0-rc-2023-12-05" (instance $interface (export "get-random-u64" (func (result u64)))))

  (core module $main-module
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main-module))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
