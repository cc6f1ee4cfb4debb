;; Requests 2 GiB and fills them with one instruction, which uses almost no fuel and can't be interrupted: only the
;; memory limit bounds it. Ends with `memory-limit`.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 32768)))
    (memory.fill (i32.const 0) (i32.const 0xaa) (i32.const 0x80000000))))
