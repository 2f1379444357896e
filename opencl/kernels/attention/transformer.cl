// transformer_attention: for head m, query q and key k, c the scale,
//   S = c (Q_q . K_k + u . K_k + sum_t P'_t[q, place_t(k) + place_t(q)]),   P'_t = (Q + v) P_t^T
//   A = softmax over the visible k of S,   o_q = sum_k A(q, k) V_k
// with the terms that are on. Arrays are (N, Q, M d), (N, K, M d) and (N, K, M d_v); the strips P'_t hold the product of the
// position terms for each distinct offset, (N, M, queries, rows), or (M, rows) where they do not depend on the query. They
// are those of queries first .. first + count: callers go through the queries in blocks.
//
// Forward goes through the keys in blocks with a running maximum and sum. Backward makes the weights of a block of queries
// again from the logarithms of the normalisers; what is summed over keys or queries is then products of that block.
//
// A tile is TILE_ROWS queries by TILE_COLUMNS keys, one of the output TILE_ROWS queries by TILE_CHANNELS channels. A work-item
// has the queries item / SIDE + SIDE i, and the keys or channels item % SIDE + SIDE j.

#ifndef EACH_CHANNEL
#define EACH_CHANNEL 8
#endif
#define TILE_CHANNELS (SIDE * EACH_CHANNEL)
#define CHANNEL_PITCH (TILE_CHANNELS + 1)
// Numbers that say what a query sees: rows and columns of the lattice of keys, then the first key and the end.
#define VISIBLE 6

// Arguments of every kernel that makes energies; those of terms that are off are null.
#define OPERANDS                                                                                             \
    __global const REAL *query, __global const REAL *key, __global const REAL *key_energies,                 \
        __global const REAL *strip_0, __global const REAL *strip_1, __global const int *places_0,            \
        __global const int *places_1, __global const int *visible, __global const uchar *padding, int heads, \
        int queries, int keys, int dim, int first, int count, int rows_0, int rows_1, int by_query,          \
        int key_width, REAL scale
#define OPERANDS_GIVEN                                                                                \
    {                                                                                                 \
        query, key, key_energies, {strip_0, strip_1}, {places_0, places_1}, visible, padding, heads, queries, \
            keys, dim, first, count, {rows_0, rows_1}, by_query, key_width, scale                     \
    }

typedef struct {
    __global const REAL *query; // Q + u; null without E1
    __global const REAL *key;
    __global const REAL *key_energies; // u . K, (N, M, K), where E3 is on and E1 is off
    __global const REAL *strip[2];
    __global const int *places[2]; // of each key, then of each query
    __global const int *visible;   // of each query
    __global const uchar *padding; // (N, K)
    int heads, queries, keys, dim, first, count;
    int rows[2];
    int by_query; // whether strips depend on the query
    int key_width; // keys in a row of the lattice
    REAL scale;
} Operands;

// Adds the products of rows of the left operand, from query to query `left_step` apart, with rows of the right one; both
// begin at the tile's first row.
inline void attention_products(
    REAL sums[EACH_ROW][EACH_COLUMN], __local REAL *left_tile, __local REAL *right_tile, __global const REAL *left,
    int left_rows, __global const REAL *right, int right_rows, int step, int dim)
{
    const int item = get_local_id(0), own = item % DEPTH;
    for (int c = 0; c < dim; c += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int r = item / DEPTH; r < TILE_ROWS; r += GROUP / DEPTH) {
            left_tile[own * ROW_PITCH + r] = r < left_rows && c + own < dim ? left[r * step + c + own] : 0;
        }
        for (int r = item / DEPTH; r < TILE_COLUMNS; r += GROUP / DEPTH) {
            right_tile[own * COLUMN_PITCH + r] = r < right_rows && c + own < dim ? right[r * step + c + own] : 0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_multiply(sums, left_tile, right_tile);
    }
}

// Whether key k is hidden from query q.
inline bool attention_hides(const Operands o, int n, int q, int k)
{
    if (o.padding && o.padding[n * o.keys + k]) return true;
    if (!o.visible) return false;
    __global const int *sees = o.visible + q * VISIBLE;
    const int y = k / o.key_width, x = k % o.key_width;
    return y < sees[0] || y >= sees[1] || x < sees[2] || x >= sees[3] || k >= sees[5];
}

// S of the tile from query q0 and key k0 on; -inf where a key is hidden (unless all are to be seen) and beyond the last.
inline void attention_energies(
    REAL s[EACH_ROW][EACH_COLUMN], const Operands o, __local REAL *left_tile, __local REAL *right_tile, int n, int m, int q0,
    int k0, int masked)
{
    const int tx = get_local_id(0) % SIDE, ty = get_local_id(0) / SIDE, step = o.heads * o.dim;
    tile_clear(s);
    if (o.query) {
        attention_products(
            s, left_tile, right_tile, o.query + (n * o.queries + q0) * step + m * o.dim, o.queries - q0,
            o.key + (n * o.keys + k0) * step + m * o.dim, o.keys - k0, step, o.dim);
    }
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        const int q = q0 + ty + SIDE * i;
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) {
            const int k = k0 + tx + SIDE * j;
            REAL energy = -INFINITY;
            if (q < o.first + o.count && k < o.keys && !(masked && attention_hides(o, n, q, k))) {
                energy = s[i][j];
                if (o.key_energies) energy += o.key_energies[(n * o.heads + m) * o.keys + k];
#pragma unroll
                for (int t = 0; t < 2; t++) {
                    if (!o.strip[t]) continue;
                    const int row = o.places[t][k] + o.places[t][o.keys + q];
                    const int line = o.by_query ? (n * o.heads + m) * o.count + q - o.first : m;
                    // Hidden pairs may have no row.
                    if (row >= 0 && row < o.rows[t]) energy += o.strip[t][line * o.rows[t] + row];
                }
                energy *= o.scale;
            }
            s[i][j] = energy;
        }
    }
}

// The output (N, Q, M d_v), and of each query and head log sum_k exp(S), -inf where no key is visible (N, M, Q).
// A work-group computes a tile of the output of one head.
KERNEL void transformer_forward(
    OPERANDS, __global const REAL *value, __global REAL *output, __global REAL *normalisers, int value_dim)
{
    __local REAL left_tile[DEPTH * ROW_PITCH], right_tile[DEPTH * COLUMN_PITCH];
    __local REAL weights[TILE_ROWS * COLUMN_PITCH], partial[TILE_ROWS * SIDE];
    const Operands o = OPERANDS_GIVEN;
    const int item = get_local_id(0), tx = item % SIDE, ty = item / SIDE;
    const int tiles = (count + TILE_ROWS - 1) / TILE_ROWS, blocks = (value_dim + TILE_CHANNELS - 1) / TILE_CHANNELS;
    int id = get_group_id(0);
    const int q0 = first + id % tiles * TILE_ROWS;
    id /= tiles;
    const int channel = id % blocks * TILE_CHANNELS;
    id /= blocks;
    const int m = id % heads, n = id / heads, value_step = heads * value_dim;

    int begin = 0, end = keys;
    if (visible) {
        begin = keys;
        end = 0;
        for (int q = q0; q < min(q0 + TILE_ROWS, first + count); q++) {
            begin = min(begin, visible[q * VISIBLE + 4]);
            end = max(end, visible[q * VISIBLE + 5]);
        }
    }
    REAL out[EACH_ROW][EACH_CHANNEL], maximum[EACH_ROW], sum[EACH_ROW];
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        maximum[i] = -INFINITY;
        sum[i] = 0;
#pragma unroll
        for (int j = 0; j < EACH_CHANNEL; j++) out[i][j] = 0;
    }
    for (int k0 = begin / TILE_COLUMNS * TILE_COLUMNS; k0 < end; k0 += TILE_COLUMNS) {
        REAL s[EACH_ROW][EACH_COLUMN];
        attention_energies(s, o, left_tile, right_tile, n, m, q0, k0, true);
#pragma unroll
        for (int i = 0; i < EACH_ROW; i++) {
            REAL largest = -INFINITY;
#pragma unroll
            for (int j = 0; j < EACH_COLUMN; j++) largest = fmax(largest, s[i][j]);
            partial[(ty + SIDE * i) * SIDE + tx] = largest;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int i = 0; i < EACH_ROW; i++) {
            REAL largest = maximum[i];
            for (int t = 0; t < SIDE; t++) largest = fmax(largest, partial[(ty + SIDE * i) * SIDE + t]);
            const REAL shrink = maximum[i] == -INFINITY ? 0 : exp(maximum[i] - largest);
            maximum[i] = largest;
            sum[i] *= shrink;
#pragma unroll
            for (int j = 0; j < EACH_COLUMN; j++) {
                const REAL weight = s[i][j] == -INFINITY ? 0 : exp(s[i][j] - largest);
                sum[i] += weight;
                weights[(ty + SIDE * i) * COLUMN_PITCH + tx + SIDE * j] = weight;
            }
#pragma unroll
            for (int j = 0; j < EACH_CHANNEL; j++) out[i][j] *= shrink;
        }
        for (int k = 0; k < TILE_COLUMNS && k0 + k < keys; k += DEPTH) {
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int e = item; e < DEPTH * TILE_CHANNELS; e += GROUP) {
                const int l = e / TILE_CHANNELS, row = k0 + k + l, c = channel + e % TILE_CHANNELS;
                right_tile[l * CHANNEL_PITCH + e % TILE_CHANNELS] =
                    row < keys && c < value_dim ? value[(n * keys + row) * value_step + m * value_dim + c] : 0;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int l = 0; l < DEPTH; l++) {
                REAL a[EACH_ROW], b[EACH_CHANNEL];
#pragma unroll
                for (int i = 0; i < EACH_ROW; i++) a[i] = weights[(ty + SIDE * i) * COLUMN_PITCH + k + l];
#pragma unroll
                for (int j = 0; j < EACH_CHANNEL; j++) b[j] = right_tile[l * CHANNEL_PITCH + tx + SIDE * j];
#pragma unroll
                for (int i = 0; i < EACH_ROW; i++) {
#pragma unroll
                    for (int j = 0; j < EACH_CHANNEL; j++) out[i][j] = fma(a[i], b[j], out[i][j]);
                }
            }
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) partial[(ty + SIDE * i) * SIDE + tx] = sum[i];
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        const int q = q0 + ty + SIDE * i;
        REAL total = 0;
        for (int t = 0; t < SIDE; t++) total += partial[(ty + SIDE * i) * SIDE + t];
        if (q >= first + count) continue;
        if (channel == 0 && tx == 0) normalisers[(n * heads + m) * queries + q] = maximum[i] + log(total);
#pragma unroll
        for (int j = 0; j < EACH_CHANNEL; j++) {
            const int c = channel + tx + SIDE * j;
            if (c < value_dim) {
                output[(n * queries + q) * value_step + m * value_dim + c] = total == 0 ? 0 : out[i][j] / total;
            }
        }
    }
}

// Of every pair of a block of queries, (N, M, count, K): the weight A and c A (dA - <dA, A>), the gradient of the sum of
// energies, dA = do . V. Without grad_output the weight alone; without normalisers S alone, nothing hidden. A work-group
// computes a tile.
KERNEL void transformer_pairs(
    OPERANDS, __global const REAL *value, __global const REAL *grad_output, __global const REAL *normalisers,
    __global const REAL *dots, __global REAL *weights, __global REAL *grad_energies, int value_dim)
{
    __local REAL left_tile[DEPTH * ROW_PITCH], right_tile[DEPTH * COLUMN_PITCH];
    const Operands o = OPERANDS_GIVEN;
    const int tx = get_local_id(0) % SIDE, ty = get_local_id(0) / SIDE;
    const int tiles_q = (count + TILE_ROWS - 1) / TILE_ROWS, tiles_k = (keys + TILE_COLUMNS - 1) / TILE_COLUMNS;
    int id = get_group_id(0);
    const int k0 = id % tiles_k * TILE_COLUMNS;
    id /= tiles_k;
    const int q0 = first + id % tiles_q * TILE_ROWS;
    id /= tiles_q;
    const int m = id % heads, n = id / heads, value_step = heads * value_dim;

    REAL s[EACH_ROW][EACH_COLUMN], grad[EACH_ROW][EACH_COLUMN];
    attention_energies(s, o, left_tile, right_tile, n, m, q0, k0, normalisers != 0);
    tile_clear(grad);
    if (grad_output) {
        attention_products(
            grad, left_tile, right_tile, grad_output + (n * queries + q0) * value_step + m * value_dim,
            queries - q0, value + (n * keys + k0) * value_step + m * value_dim, keys - k0, value_step, value_dim);
    }
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        const int q = q0 + ty + SIDE * i, line = (n * heads + m) * queries + q;
        if (q >= first + count) continue;
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) {
            const int k = k0 + tx + SIDE * j, pair = ((n * heads + m) * count + q - first) * keys + k;
            if (k >= keys) continue;
            REAL weight = s[i][j];
            if (normalisers) weight = weight == -INFINITY ? 0 : exp(weight - normalisers[line]);
            weights[pair] = weight;
            if (grad_output) grad_energies[pair] = scale * weight * (grad[i][j] - dots[line]);
        }
    }
}

// <do, o> = <dA, A> of each query and head (N, M, Q). A work-item computes one.
KERNEL void transformer_dots(
    __global const REAL *output, __global const REAL *grad_output, __global REAL *dots, int heads, int queries,
    int value_dim, int total)
{
    const int id = get_global_id(0);
    if (id >= total) return;
    const int m = id % heads, q = id / heads % queries, n = id / heads / queries;
    REAL sum = 0;
    for (int c = 0; c < value_dim; c++) {
        sum = fma(output[id * value_dim + c], grad_output[id * value_dim + c], sum);
    }
    dots[(n * heads + m) * queries + q] = sum;
}

// The gradient of the strips: the sum over the keys whose pair with the query reads a row. lines (N, M, count). The keys at
// place p are those of `sources` from starts[p] to starts[p + 1]. A work-item computes one number.
KERNEL void transformer_strip_gradient(
    __global const REAL *grad_energies, __global const int *places, __global const int *starts,
    __global const int *sources, __global REAL *grad_strip, int keys, int first, int count, int rows, int place_count,
    int total)
{
    const int id = get_global_id(0);
    if (id >= total) return;
    const int row = id % rows, line = id / rows, place = row - places[keys + first + line % count];
    REAL sum = 0;
    if (place >= 0 && place < place_count) {
        for (int e = starts[place]; e < starts[place + 1]; e++) sum += grad_energies[line * keys + sources[e]];
    }
    grad_strip[id] = sum;
}

// Heads side by side: y[n, first + i, m, c] = a[n, m, i, c] + b + d, those that there are, for y (N, length, M, dim).
// A work-item computes one number.
KERNEL void transformer_merge(
    __global const REAL *a, __global const REAL *b, __global const REAL *d, __global REAL *y, int heads, int dim,
    int length, int first, int count, int total)
{
    const int id = get_global_id(0);
    if (id >= total) return;
    const int c = id % dim, m = id / dim % heads, i = id / dim / heads % count, n = id / dim / heads / count;
    const int from = ((n * heads + m) * count + i) * dim + c;
    REAL sum = a[from];
    if (b) sum += b[from];
    if (d) sum += d[from];
    y[((n * length + first + i) * heads + m) * dim + c] = sum;
}
