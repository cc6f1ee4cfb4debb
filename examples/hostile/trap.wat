;; Executes `unreachable` in a nested call, like a panic of a Rust program. Ends with `trap:unreachable` and a backtrace
;; with both functions.
(module $trap
  (memory (export "memory") 1)
  (func $innermost unreachable)
  (func $entry (export "_start")
    (call $innermost)))
