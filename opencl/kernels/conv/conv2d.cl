// conv2d: y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] x[n, c, q * stride - padding + m * dilation], per channel group.
// Images are (N, channels, height, width), weights (O, C / groups, kh, kw).
//
// The gradient in the input is the same sum with the roles of input and output exchanged (`adjoint`): a pixel gathers
// from the outputs whose taps read it, and W is read transposed. So both are one product of the weight with
// numbers gathered from an image; "rows" are the channels of a group of the result, "inner" those that are summed over,
// and weight (row, inner channel c, tap m) of a group lies at row * row_step + c * inner_step + m.
//
// The _tiles kernels compute the product in tiles as matmul does, with the gathered operand made while it is
// loaded; the _each kernels serve few channels per group, above all depthwise convolution.

// Where the image is read for position `at` of the result along an axis, or -1.
inline int conv2d_source(const Window w, int axis, int adjoint, int tap, int at)
{
    return adjoint ? window_output(w, axis, tap, at) : window_input(w, axis, tap, at);
}

// A work-group computes a tile of rows by positions, those of all images one after another; part p of the sum takes
// `length` tiles of its depth.
KERNEL void conv2d_tiles(
    __global const REAL *weight, __global const REAL *x, __global const REAL *bias, __global REAL *y, Window w,
    int adjoint, int batch, int groups, int rows, int inner, int row_step, int inner_step, int length)
{
    __local REAL left[DEPTH * ROW_PITCH], right[DEPTH * COLUMN_PITCH];
    const int item = get_local_id(0);
    const int width = adjoint ? w.image[1] : w.output[1], plane = width * (adjoint ? w.image[0] : w.output[0]);
    const int from_width = adjoint ? w.output[1] : w.image[1];
    const int from_plane = from_width * (adjoint ? w.output[0] : w.image[0]);
    const int columns = batch * plane, taps = w.taps[0] * w.taps[1], depth = inner * taps;
    const int tiles_n = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS, tiles_m = (rows + TILE_ROWS - 1) / TILE_ROWS;
    int id = get_group_id(0);
    const int column = id % tiles_n * TILE_COLUMNS;
    id /= tiles_n;
    const int row = id % tiles_m * TILE_ROWS;
    id /= tiles_m;
    const int group = id % groups, part = id / groups;
    const int first = part * length, last = min(first + length, (depth + DEPTH - 1) / DEPTH);

    // There are as many columns in a tile as work-items in a group: this one's, and its column of the left tile.
    const int own = column + item, at = own % plane, own_l = item % DEPTH;
    __global const REAL *from = x + (own < columns ? (own / plane * groups + group) * inner * from_plane : 0);
    __global const REAL *filters = weight + group * rows * depth;
    // The tap that is loaded next, the same for the whole group.
    int c = first * DEPTH / taps, i = first * DEPTH % taps / w.taps[1], j = first * DEPTH % w.taps[1];
    REAL sums[EACH_ROW][EACH_COLUMN];
    tile_clear(sums);
    for (int link = first; link < last; link++) {
        const int own_k = link * DEPTH + own_l, filter = own_k / taps * inner_step + own_k % taps;
        for (int r = item / DEPTH; r < TILE_ROWS; r += GROUP / DEPTH) {
            left[own_l * ROW_PITCH + r] =
                row + r < rows && own_k < depth ? filters[(row + r) * row_step + filter] : 0;
        }
        for (int l = 0; l < DEPTH; l++) {
            REAL value = 0;
            if (own < columns && c < inner) {
                const int from_y = conv2d_source(w, 0, adjoint, i, at / width);
                const int from_x = conv2d_source(w, 1, adjoint, j, at % width);
                if (from_y >= 0 && from_x >= 0) value = from[c * from_plane + from_y * from_width + from_x];
            }
            right[l * COLUMN_PITCH + item] = value;
            if (++j == w.taps[1]) {
                j = 0;
                if (++i == w.taps[0]) {
                    i = 0;
                    c++;
                }
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_multiply(sums, left, right);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    tile_to_images(sums, y + (size_t)part * batch * groups * rows * plane, bias, batch, groups, rows, plane, group, row, column);
}

// A work-item computes one number.
KERNEL void conv2d_each(
    __global const REAL *weight, __global const REAL *x, __global const REAL *bias, __global REAL *y, Window w,
    int adjoint, int groups, int rows, int inner, int row_step, int inner_step, int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int width = adjoint ? w.image[1] : w.output[1], plane = width * (adjoint ? w.image[0] : w.output[0]);
    const int from_width = adjoint ? w.output[1] : w.image[1];
    const int from_plane = from_width * (adjoint ? w.output[0] : w.image[0]);
    const int at = id % plane, channel = id / plane % (groups * rows), n = id / plane / (groups * rows);
    const int group = channel / rows, taps = w.taps[0] * w.taps[1];
    __global const REAL *filter = weight + group * rows * inner * taps + channel % rows * row_step;
    __global const REAL *from = x + (n * groups + group) * inner * from_plane;
    REAL sum = bias ? bias[channel] : 0;
    for (int i = 0; i < w.taps[0]; i++) {
        const int from_y = conv2d_source(w, 0, adjoint, i, at / width);
        if (from_y < 0) continue;
        for (int j = 0; j < w.taps[1]; j++) {
            const int from_x = conv2d_source(w, 1, adjoint, j, at % width);
            if (from_x < 0) continue;
            const int tap = i * w.taps[1] + j, place = from_y * from_width + from_x;
            for (int c = 0; c < inner; c++) {
                sum = fma(filter[c * inner_step + tap], from[c * from_plane + place], sum);
            }
        }
    }
    y[id] = sum;
}

// dW[o, c, m] = sum_{n, q} dy[n, o, q] x[n, c, q * stride - padding + m * dilation]. A work-group computes a tile of
// output channels by (c, m); part p of the sum takes `length` tiles of its depth, the outputs of all images.
KERNEL void conv2d_weight_tiles(
    __global const REAL *grad_output, __global const REAL *x, __global REAL *grad_weight, Window w, int batch,
    int groups, int rows, int inner, int length)
{
    __local REAL left[DEPTH * ROW_PITCH], right[DEPTH * COLUMN_PITCH];
    // Of each column of the tile: where its channel begins, and its tap's place for output 0.
    __local int channel_of[TILE_COLUMNS], y_of[TILE_COLUMNS], x_of[TILE_COLUMNS];
    const int item = get_local_id(0), tx = item % SIDE, ty = item / SIDE;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], columns = inner * taps, depth = batch * positions;
    const int tiles_n = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS, tiles_m = (rows + TILE_ROWS - 1) / TILE_ROWS;
    int id = get_group_id(0);
    const int column = id % tiles_n * TILE_COLUMNS;
    id /= tiles_n;
    const int row = id % tiles_m * TILE_ROWS;
    id /= tiles_m;
    const int group = id % groups, part = id / groups;
    const int first = part * length, last = min(first + length, (depth + DEPTH - 1) / DEPTH);
    if (item < TILE_COLUMNS) {
        const int tap = (column + item) % taps;
        channel_of[item] = column + item < columns ? (column + item) / taps * pixels : -1;
        y_of[item] = tap / w.taps[1] * w.dilation[0] - w.padding[0];
        x_of[item] = tap % w.taps[1] * w.dilation[1] - w.padding[1];
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    const int own_l = item % DEPTH;
    REAL sums[EACH_ROW][EACH_COLUMN];
    tile_clear(sums);
    for (int link = first; link < last; link++) {
        const int k = link * DEPTH + own_l, n = k / positions, q = k % positions;
        const int origin_y = q / w.output[1] * w.stride[0], origin_x = q % w.output[1] * w.stride[1];
        __global const REAL *cotangent = grad_output + (n * groups + group) * rows * positions + q;
        __global const REAL *from = x + (n * groups + group) * inner * pixels;
        for (int r = item / DEPTH; r < TILE_ROWS; r += GROUP / DEPTH) {
            left[own_l * ROW_PITCH + r] = k < depth && row + r < rows ? cotangent[(row + r) * positions] : 0;
        }
        for (int r = item / DEPTH; r < TILE_COLUMNS; r += GROUP / DEPTH) {
            const int from_y = origin_y + y_of[r], from_x = origin_x + x_of[r];
            const bool inside = k < depth && channel_of[r] >= 0 && from_y >= 0 && from_y < w.image[0]
                && from_x >= 0 && from_x < w.image[1];
            right[own_l * COLUMN_PITCH + r] = inside ? from[channel_of[r] + from_y * w.image[1] + from_x] : 0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_multiply(sums, left, right);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    __global REAL *out = grad_weight + (size_t)(part * groups + group) * rows * columns;
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        const int r = row + ty + SIDE * i;
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) {
            const int to = column + tx + SIDE * j;
            if (r < rows && to < columns) out[r * columns + to] = sums[i][j];
        }
    }
}

// The same; a work-group computes one part, of `length` outputs, of one weight.
KERNEL void conv2d_weight_each(
    __global const REAL *grad_output, __global const REAL *x, __global REAL *grad_weight, Window w, int batch,
    int groups, int rows, int inner, int weights, int length)
{
    __local REAL scratch[GROUP];
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], part = get_group_id(0) / weights, id = get_group_id(0) % weights;
    const int tap = id % taps, output = id / taps / inner, input = output / rows * inner + id / taps % inner;
    const int first = part * length, last = min(first + length, batch * positions);
    REAL sum = 0;
    for (int k = first + (int)get_local_id(0); k < last; k += GROUP) {
        const int n = k / positions, q = k % positions;
        const int from_y = window_input(w, 0, tap / w.taps[1], q / w.output[1]);
        const int from_x = window_input(w, 1, tap % w.taps[1], q % w.output[1]);
        if (from_y >= 0 && from_x >= 0) {
            const REAL value = x[(n * groups * inner + input) * pixels + from_y * w.image[1] + from_x];
            sum = fma(grad_output[(n * groups * rows + output) * positions + q], value, sum);
        }
    }
    sum = group_sum(sum, scratch);
    if (get_local_id(0) == 0) grad_weight[get_group_id(0)] = sum;
}

// y + b[o], for y (N, O, positions); the sum may replace y. A work-item computes one number.
KERNEL void conv2d_add_bias(
    __global const REAL *y, __global const REAL *bias, __global REAL *sum, int channels, int positions, int count)
{
    const int id = get_global_id(0);
    if (id < count) sum[id] = y[id] + bias[id / positions % channels];
}
