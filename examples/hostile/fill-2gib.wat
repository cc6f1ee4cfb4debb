;; Asks for 2 GiB and fills them in one instruction, which costs next to no fuel and can't be interrupted: only the
;; memory limit bounds it. Ends with `memory-limit`.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 32768)))
    (memory.fill (i32.const 0) (i32.const 0xaa) (i32.const 0x80000000))))
