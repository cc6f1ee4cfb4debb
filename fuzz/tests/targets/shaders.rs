//! WGSL of guests, as the shader-checking process receives it.

use fabric_fuzz::{fuzz, text};
use fabric_gpu::{AdapterLimits, Source, shader};

#[test]
fn shaders() {
    let plain = b"@group(0) @binding(0) var<storage, read_write> a: array<f32>;\n@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {\n  if (id.x < arrayLength(&a)) { a[id.x] = a[id.x] * 2.0; }\n}\n";
    let richer = b"struct S { n: u32, v: vec4<f32> };\noverride k: u32 = 4u;\nvar<workgroup> w: array<u32, 64>;\n@group(0) @binding(0) var<uniform> s: S;\nfn f(x: u32) -> u32 { var y = x; loop { if (y > s.n) { break; } y += k; } switch y { case 1u: { return 1u; } default: {} } return y; }\n@compute @workgroup_size(8, 8) fn main(@builtin(local_invocation_index) i: u32) { w[i] = f(i); workgroupBarrier(); }\n";
    fuzz("shaders", &[plain, richer], |input| {
        let source = Source { wgsl: text(input), entry: "main".to_owned(), constants: vec![("k".to_owned(), 3.0)] };
        let _ = shader::check(&source, shader::Extensions::default(), &AdapterLimits::default());
    });
}
