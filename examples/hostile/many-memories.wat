;; Asks for 24 MiB in each of three memories: none of them is large. The limit is for their sum.
;; Ends with `memory-limit` where the limit is below 72 MiB.
(module
  (memory (export "memory") 384)
  (memory 384)
  (memory 384)
  (func (export "_start")))
