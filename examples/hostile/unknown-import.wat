;; Imports an interface that the host does not provide. Refused at deployment with `unknown-import`. The message names
;; the import, and the hint lists the imports that are available.
(component
  (import "acme:database/query@1.0.0" (instance $database
    (export "run" (func (param "sql" string)))))
  (core module $m
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (component $command
    (import "import-run" (func $run (result (result))))
    (export "run" (func $run)))
  (instance $command (instantiate $command (with "import-run" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $command)))
