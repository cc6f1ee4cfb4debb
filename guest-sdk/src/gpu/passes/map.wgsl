// output[i] = f(input[i]).
//
// Prepend `alias T = f32;` (or u32, i32). Append `fn f(x: T) -> T { … }`. Dispatch min(ceil(n / 256), 65535)
// workgroups; each invocation strides by the grid size.

@group(0) @binding(0) var<storage, read> input: array<T>;
@group(0) @binding(1) var<storage, read_write> output: array<T>;

@compute @workgroup_size(256)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = min(arrayLength(&input), arrayLength(&output));
    for (var i = id.x; i < n; i += groups.x * 256u) {
        output[i] = f(input[i]);
    }
}
