;; Searches all available memory, the globals and the table for values that are not initial, overwrites everything with
;; marks, waits so that many instances live at once, and writes `1` if it found such a value, otherwise `0`.
;; No instance may ever write `1`: its slot in the pool belonged to another instance before, possibly of another tenant.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (table $t 1 funcref)
  (global $mark (mut i32) (i32.const 0))
  (func $f)
  (elem declare func $f)
  (func (export "_start") (local $i i32) (local $found i32)
    ;; 4 MiB in total: more than a slot keeps resident.
    (drop (memory.grow (i32.const 62)))
    (drop (table.grow $t (ref.null func) (i32.const 999)))
    (loop $memory
      (local.set $found (i32.or (local.get $found) (i32.load (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $memory (i32.lt_u (local.get $i) (i32.const 0x400000))))
    (local.set $i (i32.const 0))
    (loop $table
      (local.set $found (i32.or (local.get $found) (i32.eqz (ref.is_null (table.get $t (local.get $i))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $table (i32.lt_u (local.get $i) (i32.const 1000))))
    (local.set $found (i32.or (local.get $found) (global.get $mark)))
    ;; The marks.
    (memory.fill (i32.const 0) (i32.const 0xcc) (i32.const 0x400000))
    (table.fill $t (i32.const 0) (ref.func $f) (i32.const 1000))
    (global.set $mark (i32.const -1))
    ;; 50 ms on the monotonic clock; the subscription at 0.
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 256))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 50000000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    ;; Write the answer.
    (i32.store8 (i32.const 200) (i32.add (i32.const 48) (i32.ne (local.get $found) (i32.const 0))))
    (i32.store (i32.const 192) (i32.const 200))
    (i32.store (i32.const 196) (i32.const 1))
    (drop (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 208)))))
