;; Grows its memory by 1 MiB in a loop and writes to every page, so that the memory is resident. Ends with
;; `memory-limit`.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $old i32)
    (loop $again
      (local.set $old (memory.grow (i32.const 16)))
      (memory.fill (i32.shl (local.get $old) (i32.const 16)) (i32.const 1) (i32.const 0x100000))
      (br $again))))
