// y[i] += a * x[i], in f32.
//
// Dispatch min(ceil(n / 256), 65535) workgroups; each invocation strides by the grid size.

@group(0) @binding(0) var<storage, read> a: f32;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn saxpy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = min(arrayLength(&x), arrayLength(&y));
    let scale = a;
    for (var i = id.x; i < n; i += groups.x * 256u) {
        y[i] = fma(scale, x[i], y[i]);
    }
}
