;; Has three memories of 24 MiB each. None of them is large, but the limit applies to their sum. Ends with
;; `memory-limit` if the limit is below 72 MiB.
(module
  (memory (export "memory") 384)
  (memory 384)
  (memory 384)
  (func (export "_start")))
