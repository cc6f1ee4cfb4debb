// Inclusive prefix sums, in three steps over blocks of 512 elements.
//
//   1. `scan_blocks`: data is scanned within each block; totals[b] is the sum of block b.
//   2. The same over the totals, with totals of their own, until one block holds all values.
//   3. `add_totals`: each block except the first adds the scanned total of the preceding blocks.
//
// Prepend `alias T = f32;` (or u32, i32). Dispatch ceil(n / 512) workgroups, at most 65,535.

@group(0) @binding(0) var<storage, read_write> data: array<T>;
@group(0) @binding(1) var<storage, read_write> totals: array<T>;

var<workgroup> sums: array<T, 256>;

@compute @workgroup_size(256)
fn scan_blocks(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) at: u32) {
    let n = arrayLength(&data);
    let i = group.x * 512u + at * 2u;
    // Two elements per invocation. Elements beyond the end count as zero.
    var low = T(0);
    var high = T(0);
    if i < n { low = data[i]; }
    if i + 1u < n { high = data[i + 1u]; }
    sums[at] = low + high;
    workgroupBarrier();
    // Hillis and Steele: after the step of reach s, each entry holds the sum of the last 2 s pairs.
    for (var reach = 1u; reach < 256u; reach *= 2u) {
        var before = T(0);
        if at >= reach { before = sums[at - reach]; }
        workgroupBarrier();
        sums[at] += before;
        workgroupBarrier();
    }
    let upto = sums[at];
    if i < n { data[i] = upto - high; }
    if i + 1u < n { data[i + 1u] = upto; }
    if at == 255u { totals[group.x] = upto; }
}

@compute @workgroup_size(256)
fn add_totals(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) at: u32) {
    if group.x == 0u { return; }
    let n = arrayLength(&data);
    let before = totals[group.x - 1u];
    let i = group.x * 512u + at * 2u;
    if i < n { data[i] += before; }
    if i + 1u < n { data[i + 1u] += before; }
}
