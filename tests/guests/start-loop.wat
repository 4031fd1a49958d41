;; A core start function that never returns: the component never finishes instantiating.
(component
  (core module $main-module
    (func $forever (loop $again (br $again)))
    (start $forever)
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main-module))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
