;; A table that is declared with 100 million elements (800 MB): refused or allocated while instantiating.
(component
  (core module $main-module
    (table 100000000 funcref)
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main-module))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
