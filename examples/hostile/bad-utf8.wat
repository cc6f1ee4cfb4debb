;; Passes a log message of two bytes to the host that are not UTF-8. Ends with `guest-contract`.
(component
  (import "fabric:task/log@0.1.0" (instance $log
    (type $l (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $l)))
    (export "log" (func (param "level" $level) (param "message" string)))))
  (core module $bytes
    (memory (export "memory") 1)
    (data (i32.const 0) "\ff\fe"))
  (core instance $bytes (instantiate $bytes))
  (core func $log (canon lower (func $log "log") (memory (core memory $bytes "memory"))))
  (core module $m
    (import "host" "log" (func $log (param i32 i32 i32)))
    (func (export "run") (result i32)
      (call $log (i32.const 2) (i32.const 0) (i32.const 2))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "host" (instance (export "log" (func $log))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (component $command
    (import "import-run" (func $run (result (result))))
    (export "run" (func $run)))
  (instance $command (instantiate $command (with "import-run" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $command)))
