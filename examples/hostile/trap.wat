;; Executes `unreachable`, two calls deep, as a panic of a Rust program does. Ends with `trap:unreachable` and a
;; backtrace that names both functions.
(module $trap
  (memory (export "memory") 1)
  (func $innermost unreachable)
  (func $entry (export "_start")
    (call $innermost)))
