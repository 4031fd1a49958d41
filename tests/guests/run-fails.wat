;; A command whose `run` returns its error case.
(component
  (core module $main-module (func (export "run") (result i32) (i32.const 1)))
  (core instance $main (instantiate $main-module))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
