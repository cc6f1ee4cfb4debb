// The kernels of one axis: exp(-d² / 2) for each point and cell, where d is the distance from the cell's centre.
//
// One invocation per kernel; dispatch ceil(points * CELLS / 256) workgroups. Places and steps are in bandwidths.

// Cells of the axis.
override CELLS: u32;
// Length of a cell.
override STEP: f32;
// If true, a row has the kernels of a cell; otherwise, those of a point.
override BY_CELL: bool;

@group(0) @binding(0) var<storage, read> places: array<f32>;
@group(0) @binding(1) var<storage, read_write> kernels: array<f32>;

@compute @workgroup_size(256)
fn fill(@builtin(global_invocation_id) id: vec3<u32>) {
    let points = arrayLength(&places);
    if id.x >= points * CELLS { return; }
    let point = id.x / CELLS;
    let cell = id.x % CELLS;
    let distance = (f32(cell) + 0.5) * STEP - places[point];
    kernels[select(id.x, cell * points + point, BY_CELL)] = exp(-0.5 * distance * distance);
}
