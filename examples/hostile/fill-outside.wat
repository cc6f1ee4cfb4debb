;; Fills 2 GiB with a memory of 64 KiB. Ends with `trap:out-of-bounds-memory` before any byte is written.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (memory.fill (i32.const 0) (i32.const 0xaa) (i32.const 0x80000000))))
