;; Runs forever. Ends with `out-of-fuel`, or with `deadline` if its fuel lasts longer than its time.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $again (br $again))))
