;; Runs forever in its start function. The engine runs it during instantiation, before any entry is called. Ends like
;; `endless-loop`.
(module
  (memory (export "memory") 1)
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "_start")))
