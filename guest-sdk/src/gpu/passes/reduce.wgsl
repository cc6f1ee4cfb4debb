// partials[w] = the sum, minimum or maximum of workgroup w's share of the input.
//
// Prepend `alias T = f32;` (or u32, i32). `op`: 0 sum, 1 min, 2 max. Dispatch at most ceil(n / 256) workgroups, so that
// each has an element, then once more over the partials with one workgroup. Sums of f32 are computed in a tree, so the
// last digits differ from a sequential sum.

override op: u32 = 0u;

@group(0) @binding(0) var<storage, read> input: array<T>;
@group(0) @binding(1) var<storage, read_write> partials: array<T>;

var<workgroup> shared_values: array<T, 256>;

fn combine(a: T, b: T) -> T {
    switch op {
        case 1u: { return min(a, b); }
        case 2u: { return max(a, b); }
        default: { return a + b; }
    }
}

@compute @workgroup_size(256)
fn reduce(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) at: u32,
) {
    let n = arrayLength(&input);
    let first = group.x * 256u;
    // Invocations of this workgroup that have an element.
    let filled = min(256u, n - min(n, first));
    if at < filled {
        var value = input[first + at];
        for (var i = first + at + groups.x * 256u; i < n; i += groups.x * 256u) {
            value = combine(value, input[i]);
        }
        shared_values[at] = value;
    }
    workgroupBarrier();
    for (var reach = 128u; reach > 0u; reach /= 2u) {
        if at < reach && at + reach < filled {
            shared_values[at] = combine(shared_values[at], shared_values[at + reach]);
        }
        workgroupBarrier();
    }
    if at == 0u && filled > 0u {
        partials[group.x] = shared_values[0];
    }
}
