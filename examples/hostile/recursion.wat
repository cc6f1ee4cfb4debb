;; Calls itself for ever. The second call keeps a compiler from turning the first into a jump.
;; Ends with `stack-overflow`.
(module
  (memory (export "memory") 1)
  (func $deeper (export "_start")
    (call $deeper)
    (call $deeper)))
