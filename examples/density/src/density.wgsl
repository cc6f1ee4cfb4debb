// cells[c] += the sum of exp(-d² / 2) over the points, where d is the distance from the cell's centre.
//
// One invocation for each cell; dispatch ceil(cells / 256) workgroups. Points and steps are in bandwidths.

// Cells of a row.
override WIDTH: u32;
// Length and height of a cell.
override STEP_X: f32;
override STEP_Y: f32;

@group(0) @binding(0) var<storage, read> points: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> cells: array<f32>;

@compute @workgroup_size(256)
fn density(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&cells) { return; }
    let cell = vec2<f32>(f32(id.x % WIDTH), f32(id.x / WIDTH));
    let centre = (cell + 0.5) * vec2<f32>(STEP_X, STEP_Y);
    var sum = 0.0;
    for (var i = 0u; i < arrayLength(&points); i++) {
        let distance = points[i] - centre;
        sum += exp(-0.5 * dot(distance, distance));
    }
    cells[id.x] += sum;
}
