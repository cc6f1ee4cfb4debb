// bins[b] += number of values in [low + b * width, low + (b + 1) * width). Values outside of all bins, and NaN, are not
// counted.
//
// `BINS` is the number of bins, at most 4,096 (16 KiB of workgroup memory). Clear the bins first. Dispatch min(ceil(n /
// 256), 1024) workgroups; each invocation strides by the grid size.

override BINS: u32;

struct Params {
    low: f32,
    // 1 / width
    scale: f32,
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> bins: array<atomic<u32>>;

var<workgroup> counts: array<atomic<u32>, BINS>;

@compute @workgroup_size(256)
fn histogram(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) at: u32,
) {
    let n = arrayLength(&values);
    for (var i = id.x; i < n; i += groups.x * 256u) {
        let place = floor((values[i] - params.low) * params.scale);
        // Also false for NaN.
        if place >= 0.0 && place < f32(BINS) {
            atomicAdd(&counts[u32(place)], 1u);
        }
    }
    workgroupBarrier();
    for (var b = at; b < min(BINS, arrayLength(&bins)); b += 256u) {
        let count = atomicLoad(&counts[b]);
        if count > 0u {
            atomicAdd(&bins[b], count);
        }
    }
}
