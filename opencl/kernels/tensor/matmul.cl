// matmul: c = a b for each batch, optionally summed over further batches, optionally plus a bias of the columns.
// It serves all three products: y = a b, da = dy b^T, db = a^T dy differ in the steps of their operands.
//
// Element (i, l) of the left operand lies at i * a_row + l * a_column from where its batch begins, likewise the right
// one's; c is (parts, batches, m, n) row-major. `batches` gives the begin of a and b for each batch, `summed` for each
// term of the sum over batches.
//
// A work-group computes a tile of c, see common.cl. Tiles of both operands of DEPTH columns pass through local memory. The terms times the units of k, of UNIT columns each,
// form one chain; part p takes `length` links of it from p * length on. No size of a tile changes the order of the sums.

#define UNIT 16

// One operand's tile: `height` rows from `row` on, of `rows` in all, and columns from `column` on, of `columns`; 0 beyond.
// Neighbouring work-items read neighbouring numbers along whichever step is 1.
inline void load_tile(
    __local REAL *tile, int height, __global const REAL *x, int row, int rows, int row_step, int column, int columns,
    int column_step)
{
    const int item = get_local_id(0);
    if (row_step == 1) {
        for (int e = item; e < height * DEPTH; e += GROUP) {
            const int i = row + e % height, l = column + e / height;
            tile[e / height * (height + 1) + e % height] = i < rows && l < columns ? x[i + l * column_step] : 0;
        }
    } else {
        for (int e = item; e < height * DEPTH; e += GROUP) {
            const int i = row + e / DEPTH, l = column + e % DEPTH;
            tile[e % DEPTH * (height + 1) + e / DEPTH] =
                i < rows && l < columns ? x[i * row_step + l * column_step] : 0;
        }
    }
}

KERNEL void matmul(
    __global const REAL *a, __global const REAL *b, __global const REAL *bias, __global REAL *c, int m, int n, int k,
    int a_row, int a_column, int b_row, int b_column, Strides batches, int batch_count, Strides summed, int terms,
    int length)
{
    __local REAL a_tile[DEPTH * ROW_PITCH], b_tile[DEPTH * COLUMN_PITCH];
    const int item = get_local_id(0), tx = item % SIDE, ty = item / SIDE;
    const int tiles_n = (n + TILE_COLUMNS - 1) / TILE_COLUMNS, tiles_m = (m + TILE_ROWS - 1) / TILE_ROWS;
    int group = get_group_id(0);
    const int column = group % tiles_n * TILE_COLUMNS;
    group /= tiles_n;
    const int row = group % tiles_m * TILE_ROWS;
    group /= tiles_m;
    const int batch = group % batch_count, part = group / batch_count;
    const int3 begin = strides_offsets(batches, batch);
    const int units = (k + UNIT - 1) / UNIT;
    const int first = part * length, last = min(first + length, terms * units);

    REAL sums[EACH_ROW][EACH_COLUMN];
    tile_clear(sums);
    for (int link = first; link < last; link++) {
        const int3 at = begin + strides_offsets(summed, link / units);
        const int unit = link % units * UNIT;
        for (int depth = unit; depth < min(unit + UNIT, k); depth += DEPTH) {
            load_tile(a_tile, TILE_ROWS, a + at.x, row, m, a_row, depth, k, a_column);
            // The right operand's tile is loaded transposed: its rows are what is summed over.
            load_tile(b_tile, TILE_COLUMNS, b + at.y, column, n, b_column, depth, k, b_row);
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(sums, a_tile, b_tile);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    __global REAL *out = c + (size_t)(part * batch_count + batch) * m * n;
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        const int y = row + ty + SIDE * i;
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) {
            const int x = column + tx + SIDE * j;
            if (y < m && x < n) out[y * n + x] = sums[i][j] + (bias ? bias[x] : 0);
        }
    }
}
