;; Runs for ever. Ends with `out-of-fuel`; with `deadline` where its fuel lasts longer than its time.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $again (br $again))))
