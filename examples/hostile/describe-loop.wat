;; Runs forever in `describe`, which the host calls at deployment. Its mapper is harmless. The deployment succeeds with
;; a warning that `describe` failed.
(component
  (import "fabric:task/types@0.1.0" (instance $types
    (type $e (variant (case "invalid-input" string) (case "retryable" string) (case "failed" string)))
    (export "error" (type (eq $e)))))
  (alias export $types "error" (type $error))
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    ;; The result is at address 16, where all bytes are zero: ok.
    (func (export "map") (result i32) (i32.const 16))
    (func (export "describe") (result i32)
      (loop $again (br $again))
      unreachable))
  (core instance $i (instantiate $m))
  (func $map (result (result (error $error)))
    (canon lift (core func $i "map") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $describe (result string)
    (canon lift (core func $i "describe") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (component $mapper
    (type $e (variant (case "invalid-input" string) (case "retryable" string) (case "failed" string)))
    (import "import-error" (type $error (eq $e)))
    (import "import-map" (func $map (result (result (error $error)))))
    (export $out "error" (type $error))
    (export "map" (func $map) (func (result (result (error $out))))))
  (instance $mapper (instantiate $mapper (with "import-error" (type $error)) (with "import-map" (func $map))))
  (export "fabric:task/mapper@0.1.0" (instance $mapper))
  (component $describer
    (import "import-describe" (func $describe (result string)))
    (export "describe" (func $describe)))
  (instance $describer (instantiate $describer (with "import-describe" (func $describe))))
  (export "fabric:task/describe@0.1.0" (instance $describer)))
