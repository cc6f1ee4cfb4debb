;; Opens handles to standard output in a loop and closes none. Ends with `handle-limit`.
(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $stream (type $s))
    (export "output-stream" (type $out (eq $s)))
    (export "get-stdout" (func (result (own $out))))))
  (core func $get (canon lower (func $stdout "get-stdout")))
  (core module $m
    (import "host" "get" (func $get (result i32)))
    (func (export "run") (result i32)
      (loop $again
        (drop (call $get))
        (br $again))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "host" (instance (export "get" (func $get))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (component $command
    (import "import-run" (func $run (result (result))))
    (export "run" (func $run)))
  (instance $command (instantiate $command (with "import-run" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $command)))
