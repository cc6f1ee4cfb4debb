;; Asks for all 4 GiB that it could address, in one step. Ends with `memory-limit`.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 65535)))))
