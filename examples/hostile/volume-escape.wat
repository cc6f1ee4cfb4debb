;; Reads a path from standard input, opens it relative to its volume (descriptor 3), and writes `open`, or the WASI
;; error number as two digits. A path that leads out of the volume must result in a number.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "open")
  (func (export "_start") (local $error i32)
    ;; The path: at most 1,000 bytes at address 1024. Its length is at address 16.
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1000))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    ;; Open with symbolic links followed, for reading (right 2).
    (local.set $error (call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.load (i32.const 16))
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 20)))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 4))
    (if (local.get $error) (then
      (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.div_u (local.get $error) (i32.const 10))))
      (i32.store8 (i32.const 65) (i32.add (i32.const 48) (i32.rem_u (local.get $error) (i32.const 10))))
      (i32.store (i32.const 4) (i32.const 2))))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
