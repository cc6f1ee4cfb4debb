// c = a · b, row-major: a is m × k, b is k × n, c is m × n.
//
// Prepend `alias T = f32;`, or `enable f16; alias T = f16;`.
// Dispatch ceil(n / 128) × ceil(m / 128) workgroups.
//
// A workgroup computes a tile of 128 × 128, and an invocation 8 × 8 of it in registers. The inner product goes through
// workgroup memory in slices of 8; the slice of a is stored by columns, so that four rows are one load. The 64 sums are
// separate variables, since an indexed array would be placed in memory.

struct Size {
    m: u32,
    n: u32,
    k: u32,
}

@group(0) @binding(0) var<storage, read> size: Size;
@group(0) @binding(1) var<storage, read> a: array<T>;
@group(0) @binding(2) var<storage, read> b: array<T>;
@group(0) @binding(3) var<storage, read_write> c: array<T>;

// [slice of 8][128 rows or columns in groups of four]
var<workgroup> a_tile: array<vec4<T>, 256>;
var<workgroup> b_tile: array<vec4<T>, 256>;

fn load_a(row: u32, i: u32) -> T {
    if row < size.m && i < size.k { return a[row * size.k + i]; }
    return T(0);
}

fn load_b(i: u32, column: u32) -> T {
    if i < size.k && column < size.n { return b[i * size.n + column]; }
    return T(0);
}

fn store(row: u32, column: u32, value: vec4<T>) {
    if row >= size.m { return; }
    let start = row * size.n + column;
    if column < size.n { c[start] = value.x; }
    if column + 1u < size.n { c[start + 1u] = value.y; }
    if column + 2u < size.n { c[start + 2u] = value.z; }
    if column + 3u < size.n { c[start + 3u] = value.w; }
}

@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) at: u32) {
    var c00 = vec4<T>();
    var c01 = vec4<T>();
    var c10 = vec4<T>();
    var c11 = vec4<T>();
    var c20 = vec4<T>();
    var c21 = vec4<T>();
    var c30 = vec4<T>();
    var c31 = vec4<T>();
    var c40 = vec4<T>();
    var c41 = vec4<T>();
    var c50 = vec4<T>();
    var c51 = vec4<T>();
    var c60 = vec4<T>();
    var c61 = vec4<T>();
    var c70 = vec4<T>();
    var c71 = vec4<T>();
    // This invocation loads four elements of a column of a's slice and four of a row of b's slice.
    let a_column = at % 8u;
    let a_row = group.y * 128u + at / 8u * 4u;
    let b_row = at / 32u;
    let b_column = group.x * 128u + at % 32u * 4u;
    for (var slice = 0u; slice < size.k; slice += 8u) {
        let i = slice + a_column;
        a_tile[a_column * 32u + at / 8u] =
            vec4<T>(load_a(a_row, i), load_a(a_row + 1u, i), load_a(a_row + 2u, i), load_a(a_row + 3u, i));
        let j = slice + b_row;
        b_tile[at] = vec4<T>(
            load_b(j, b_column), load_b(j, b_column + 1u), load_b(j, b_column + 2u), load_b(j, b_column + 3u));
        workgroupBarrier();
        for (var s = 0u; s < 8u; s++) {
            let a0 = a_tile[s * 32u + at / 16u * 2u];
            let a1 = a_tile[s * 32u + at / 16u * 2u + 1u];
            let b0 = b_tile[s * 32u + at % 16u * 2u];
            let b1 = b_tile[s * 32u + at % 16u * 2u + 1u];
            c00 = fma(vec4<T>(a0.x), b0, c00);
            c01 = fma(vec4<T>(a0.x), b1, c01);
            c10 = fma(vec4<T>(a0.y), b0, c10);
            c11 = fma(vec4<T>(a0.y), b1, c11);
            c20 = fma(vec4<T>(a0.z), b0, c20);
            c21 = fma(vec4<T>(a0.z), b1, c21);
            c30 = fma(vec4<T>(a0.w), b0, c30);
            c31 = fma(vec4<T>(a0.w), b1, c31);
            c40 = fma(vec4<T>(a1.x), b0, c40);
            c41 = fma(vec4<T>(a1.x), b1, c41);
            c50 = fma(vec4<T>(a1.y), b0, c50);
            c51 = fma(vec4<T>(a1.y), b1, c51);
            c60 = fma(vec4<T>(a1.z), b0, c60);
            c61 = fma(vec4<T>(a1.z), b1, c61);
            c70 = fma(vec4<T>(a1.w), b0, c70);
            c71 = fma(vec4<T>(a1.w), b1, c71);
        }
        workgroupBarrier();
    }
    let row = group.y * 128u + at / 16u * 8u;
    let column = group.x * 128u + at % 16u * 8u;
    store(row + 0u, column + 0u, c00);
    store(row + 0u, column + 4u, c01);
    store(row + 1u, column + 0u, c10);
    store(row + 1u, column + 4u, c11);
    store(row + 2u, column + 0u, c20);
    store(row + 2u, column + 4u, c21);
    store(row + 3u, column + 0u, c30);
    store(row + 3u, column + 4u, c31);
    store(row + 4u, column + 0u, c40);
    store(row + 4u, column + 4u, c41);
    store(row + 5u, column + 0u, c50);
    store(row + 5u, column + 4u, c51);
    store(row + 6u, column + 0u, c60);
    store(row + 6u, column + 4u, c61);
    store(row + 7u, column + 0u, c70);
    store(row + 7u, column + 4u, c71);
}
