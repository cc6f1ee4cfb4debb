;; Calls itself forever. The second call prevents a tail call for the first. Ends with `stack-overflow`.
(module
  (memory (export "memory") 1)
  (func $deeper (export "_start")
    (call $deeper)
    (call $deeper)))
