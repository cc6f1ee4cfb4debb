;; Requests its whole address space of 4 GiB in one step. Ends with `memory-limit`.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 65535)))))
