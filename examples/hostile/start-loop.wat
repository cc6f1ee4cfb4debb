;; Runs for ever in its start function, which the engine runs while it makes the instance: no entry has been called yet.
;; Ends as `endless-loop` does.
(module
  (memory (export "memory") 1)
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "_start")))
