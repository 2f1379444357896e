// deform_conv2d: y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] mask[n, g, m, q] x[n, c, p],  p = q * stride - padding + m * dilation
// + offset[n, g, m, q], x between pixels bilinear and 0 outside; g is the offset group of c. Also for sequences, images of
// height 1 whose offsets have one axis.
//
// x (N, C, H, W), offset (N, axes G taps, positions), mask (N, G taps, positions) or null, W (O, C / groups, taps).
//
// Forward and the gradient in the weight are products in tiles, as in matmul, whose right operand is sampled while it is
// loaded. For the other gradients callers make dcolumns = W^T dy for some samples, (n, group, q, m, c of the group). A
// pixel of dx gathers from the samples around it: their corners are sorted by pixel, by counting with atomics on
// integers, and what each pixel gets is then put in order, so that the sum has one order.

// What the place of samples depends on.
#define SAMPLED                                                                                                \
    __global const REAL *offset, __global const REAL *mask, Window w, int axes, int offset_groups, int channels
#define SAMPLED_GIVEN offset, mask, w, axes, offset_groups

// The four pixels around a sample: -1 where one lies outside.
typedef struct {
    int pixel[4];
    REAL along_y[2], along_x[2]; // weights of upper and lower, left and right pixels, 0 outside
    REAL slope_y[2], slope_x[2]; // how they change as the sample moves
    REAL mask;
} Corners;

// The first of the two pixels around a position, their weights and slopes.
inline int deform_along(REAL position, int extent, REAL weight[2], REAL slope[2])
{
    const REAL low = floor(position);
    // A position far outside fits no int; a NaN takes a pixel of the image, so that it shows.
    const int at = isnan(position) ? 0 : (int)fmin(fmax(low, (REAL)-2), (REAL)(extent + 1));
    const bool first = at >= 0 && at < extent, second = at + 1 >= 0 && at + 1 < extent;
    weight[0] = isnan(position) ? position : (first ? 1 - (position - low) : 0);
    weight[1] = isnan(position) ? position : (second ? position - low : 0);
    slope[0] = first ? -1 : 0;
    slope[1] = second ? 1 : 0;
    return at;
}

inline Corners deform_corners(
    __global const REAL *offset, __global const REAL *mask, const Window w, int axes, int offset_groups, int n, int g,
    int tap, int q)
{
    const int positions = w.output[0] * w.output[1], taps = w.taps[0] * w.taps[1];
    const int slot = (n * offset_groups + g) * taps + tap;
    __global const REAL *moved = offset + slot * axes * positions + q;
    const int y = q / w.output[1] * w.stride[0] - w.padding[0] + tap / w.taps[1] * w.dilation[0];
    const int x = q % w.output[1] * w.stride[1] - w.padding[1] + tap % w.taps[1] * w.dilation[1];
    Corners corners;
    const int top = deform_along(y + (axes == 2 ? moved[0] : 0), w.image[0], corners.along_y, corners.slope_y);
    const int left = deform_along(x + moved[(axes - 1) * positions], w.image[1], corners.along_x, corners.slope_x);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const int row = top + k / 2, column = left + k % 2;
        const bool inside = row >= 0 && row < w.image[0] && column >= 0 && column < w.image[1];
        corners.pixel[k] = inside ? row * w.image[1] + column : -1;
    }
    corners.mask = mask ? mask[slot * positions + q] : 1;
    return corners;
}

// mask times x between the pixels, of one channel whose pixels begin at x.
inline REAL deform_sample(__global const REAL *x, const Corners *corners)
{
    REAL sum = 0;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (corners->pixel[k] < 0) continue;
        sum = fma(corners->along_y[k / 2] * corners->along_x[k % 2], x[corners->pixel[k]], sum);
    }
    return sum * corners->mask;
}

// A work-group computes a tile of output channels by positions, those of all images one after another. Taps are the outer
// part of what is summed over, so that the channels that a tap serves share its corners; part p takes `length` tiles
// of the depth.
KERNEL void deform_conv_forward(
    __global const REAL *weight, __global const REAL *x, __global const REAL *bias, __global REAL *y, SAMPLED, int batch,
    int groups, int rows, int inner, int length)
{
    __local REAL left[DEPTH * ROW_PITCH], right[DEPTH * COLUMN_PITCH];
    const int item = get_local_id(0);
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], columns = batch * positions, blocks = (inner + DEPTH - 1) / DEPTH;
    const int tiles_n = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS, tiles_m = (rows + TILE_ROWS - 1) / TILE_ROWS;
    int id = get_group_id(0);
    const int column = id % tiles_n * TILE_COLUMNS;
    id /= tiles_n;
    const int row = id % tiles_m * TILE_ROWS;
    id /= tiles_m;
    const int group = id % groups, part = id / groups;
    const int first = part * length, last = min(first + length, taps * blocks);

    // There are as many columns in a tile as work-items in a group: this one's, and its column of the left tile.
    const int own = column + item, n = own / positions, q = own % positions, own_l = item % DEPTH;
    const int per_offset = channels / offset_groups;
    __global const REAL *filters = weight + group * rows * inner * taps;
    Corners corners;
    int known_tap = -1, known_group = -1;
    REAL sums[EACH_ROW][EACH_COLUMN];
    tile_clear(sums);
    for (int link = first; link < last; link++) {
        const int tap = link / blocks, c0 = link % blocks * DEPTH;
        for (int r = item / DEPTH; r < TILE_ROWS; r += GROUP / DEPTH) {
            const bool there = row + r < rows && c0 + own_l < inner;
            left[own_l * ROW_PITCH + r] = there ? filters[((row + r) * inner + c0 + own_l) * taps + tap] : 0;
        }
        for (int l = 0; l < DEPTH; l++) {
            REAL value = 0;
            if (own < columns && c0 + l < inner) {
                const int c = group * inner + c0 + l, g = c / per_offset;
                if (tap != known_tap || g != known_group) {
                    corners = deform_corners(SAMPLED_GIVEN, n, g, tap, q);
                    known_tap = tap;
                    known_group = g;
                }
                value = deform_sample(x + (n * channels + c) * pixels, &corners);
            }
            right[l * COLUMN_PITCH + item] = value;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_multiply(sums, left, right);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    tile_to_images(sums, y + (size_t)part * batch * groups * rows * positions, bias, batch, groups, rows, positions, group, row, column);
}

// dW[o, c, m] = sum_{n, q} dy[n, o, q] column[n, c, m, q]. A work-group computes a tile of output channels by channels of a
// group, for one tap; part p takes `length` tiles of the depth, the outputs of all images.
KERNEL void deform_conv_backward_weight(
    __global const REAL *grad_output, __global const REAL *x, __global REAL *grad_weight, SAMPLED, int batch, int groups,
    int rows, int inner, int length)
{
    __local REAL left[DEPTH * ROW_PITCH], right[DEPTH * COLUMN_PITCH];
    const int item = get_local_id(0), tx = item % SIDE, ty = item / SIDE;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], depth = batch * positions;
    const int tiles_n = (inner + TILE_COLUMNS - 1) / TILE_COLUMNS, tiles_m = (rows + TILE_ROWS - 1) / TILE_ROWS;
    int id = get_group_id(0);
    const int column = id % tiles_n * TILE_COLUMNS;
    id /= tiles_n;
    const int tap = id % taps;
    id /= taps;
    const int row = id % tiles_m * TILE_ROWS;
    id /= tiles_m;
    const int group = id % groups, part = id / groups;
    const int first = part * length, last = min(first + length, (depth + DEPTH - 1) / DEPTH);
    const int own_l = item % DEPTH, per_offset = channels / offset_groups;
    REAL sums[EACH_ROW][EACH_COLUMN];
    tile_clear(sums);
    for (int link = first; link < last; link++) {
        const int k = link * DEPTH + own_l, n = k / positions, q = k % positions;
        Corners corners;
        int known_group = -1;
        for (int r = item / DEPTH; r < TILE_ROWS; r += GROUP / DEPTH) {
            left[own_l * ROW_PITCH + r] =
                k < depth && row + r < rows ? grad_output[((n * groups + group) * rows + row + r) * positions + q] : 0;
        }
        for (int r = item / DEPTH; r < TILE_COLUMNS; r += GROUP / DEPTH) {
            REAL value = 0;
            if (k < depth && column + r < inner) {
                const int c = group * inner + column + r, g = c / per_offset;
                if (g != known_group) {
                    corners = deform_corners(SAMPLED_GIVEN, n, g, tap, q);
                    known_group = g;
                }
                value = deform_sample(x + (n * channels + c) * pixels, &corners);
            }
            right[own_l * COLUMN_PITCH + r] = value;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_multiply(sums, left, right);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    __global REAL *out = grad_weight + (size_t)(part * groups + group) * rows * inner * taps;
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
        const int r = row + ty + SIDE * i;
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) {
            const int c = column + tx + SIDE * j;
            if (r < rows && c < inner) out[(r * inner + c) * taps + tap] = sums[i][j];
        }
    }
}

// Where dcolumns of channel c lies.
inline int deform_column(int n, int c, int tap, int q, int groups, int inner, int positions, int taps)
{
    return (((n * groups + c / inner) * positions + q) * taps + tap) * inner + c % inner;
}

// dmask = sum_c dcolumns x[c, p], doffset = mask sum_c dcolumns dx[c, p] / dp over the channels of an offset group. The
// samples are those from `sample` on; x is channels-last, (n, pixels, C), and theirs, as dcolumns. A work-group computes
// these of one offset group, tap and output.
KERNEL void deform_conv_backward_offset(
    __global const REAL *x, __global const REAL *grad_columns, __global REAL *grad_offset, __global REAL *grad_mask,
    SAMPLED, int groups, int sample)
{
    __local REAL scratch[GROUP];
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], id = get_group_id(0), q = id % positions;
    const int tap = id / positions % taps, g = id / positions / taps % offset_groups;
    const int n = id / positions / taps / offset_groups, own = channels / offset_groups;
    const Corners corners = deform_corners(SAMPLED_GIVEN, sample + n, g, tap, q);
    REAL to_mask = 0, to_y = 0, to_x = 0;
    for (int c = g * own + (int)get_local_id(0); c < (g + 1) * own; c += GROUP) {
        REAL value = 0, along_y = 0, along_x = 0;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (corners.pixel[k] < 0) continue;
            const REAL pixel = x[(n * pixels + corners.pixel[k]) * channels + c];
            value += corners.along_y[k / 2] * corners.along_x[k % 2] * pixel;
            along_y += corners.slope_y[k / 2] * corners.along_x[k % 2] * pixel;
            along_x += corners.along_y[k / 2] * corners.slope_x[k % 2] * pixel;
        }
        const REAL grad =
            grad_columns[deform_column(n, c, tap, q, groups, channels / groups, positions, taps)];
        to_mask = fma(grad, value, to_mask);
        to_y = fma(grad, along_y, to_y);
        to_x = fma(grad, along_x, to_x);
    }
    to_mask = group_sum(to_mask, scratch);
    to_y = group_sum(to_y, scratch);
    to_x = group_sum(to_x, scratch);
    if (get_local_id(0) != 0) return;
    const int slot = ((sample + n) * offset_groups + g) * taps + tap;
    if (grad_mask) grad_mask[slot * positions + q] = to_mask;
    if (!grad_offset) return;
    __global REAL *grad = grad_offset + slot * axes * positions + q;
    if (axes == 2) grad[0] = to_y * corners.mask;
    grad[(axes - 1) * positions] = to_x * corners.mask;
}

KERNEL void deform_conv_clear(__global int *counts, int total)
{
    const int id = get_global_id(0);
    if (id < total) counts[id] = 0;
}

// The pixel and the weight, with the mask, of each corner (n, g, m, q, 4) of the samples from `sample` on, and how many
// corners fall on each pixel (n, g, pixels), which begins at 0. A work-item sees to four corners.
KERNEL void deform_conv_corners(
    SAMPLED, __global int *pixel_of, __global REAL *weight_of, __global int *counts, int sample, int total)
{
    const int id = get_global_id(0);
    if (id >= total) return;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], line = id / positions / taps; // n, g
    const Corners corners = deform_corners(
        SAMPLED_GIVEN, sample + line / offset_groups, line % offset_groups, id / positions % taps, id % positions);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        pixel_of[id * 4 + k] = corners.pixel[k];
        weight_of[id * 4 + k] = corners.along_y[k / 2] * corners.along_x[k % 2] * corners.mask;
        if (corners.pixel[k] >= 0) atomic_inc(counts + line * pixels + corners.pixel[k]);
    }
}

// Where the corners of each pixel begin, from the counts, which become a copy of it. A line (n, g) has room for `room`
// corners. A work-group sees to one line.
KERNEL void deform_conv_starts(__global int *counts, __global int *starts, int pixels, int room)
{
    __local int sums[GROUP];
    const int line = get_group_id(0), item = get_local_id(0), length = (pixels + GROUP - 1) / GROUP;
    const int first = min(item * length, pixels), last = min(first + length, pixels);
    counts += line * pixels;
    starts += line * pixels;
    int sum = 0;
    for (int p = first; p < last; p++) sum += counts[p];
    sums[item] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    int at = line * room;
    for (int i = 0; i < item; i++) at += sums[i];
    for (int p = first; p < last; p++) {
        const int count = counts[p];
        starts[p] = at;
        counts[p] = at;
        at += count;
    }
}

// Puts each corner into its pixel's list, in any order; `ends` begins as the starts and ends as the ends. A work-item sees
// to one corner.
KERNEL void deform_conv_list(
    __global const int *pixel_of, __global int *ends, __global int *list, int pixels, int room, int total)
{
    const int id = get_global_id(0);
    if (id >= total || pixel_of[id] < 0) return;
    list[atomic_inc(ends + id / room * pixels + pixel_of[id])] = id;
}

// Sorts each pixel's list: shell sort. A work-item sees to one list.
KERNEL void deform_conv_sort(__global int *list, __global const int *starts, __global const int *ends, int total)
{
    const int id = get_global_id(0);
    if (id >= total) return;
    const int count = ends[id] - starts[id];
    __global int *own = list + starts[id];
    for (int gap = count / 2; gap > 0; gap /= 2) {
        for (int i = gap; i < count; i++) {
            const int moved = own[i];
            int j = i;
            for (; j >= gap && own[j - gap] > moved; j -= gap) own[j] = own[j - gap];
            own[j] = moved;
        }
    }
}

// dx[n, p, c] = the sum of weight times dcolumns over the corners at p. Channels-last, (n, pixels, C). A work-item computes
// one number.
KERNEL void deform_conv_backward_x(
    __global const REAL *grad_columns, __global const REAL *weight_of, __global const int *list,
    __global const int *starts, __global const int *ends, __global REAL *grad_x, Window w, int offset_groups,
    int channels, int groups, int total)
{
    const int id = get_global_id(0);
    if (id >= total) return;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], c = id % channels, p = id / channels % pixels;
    const int n = id / channels / pixels, line = n * offset_groups + c / (channels / offset_groups);
    REAL sum = 0;
    for (int e = starts[line * pixels + p]; e < ends[line * pixels + p]; e++) {
        const int corner = list[e], q = corner / 4 % positions, tap = corner / 4 / positions % taps;
        const REAL grad =
            grad_columns[deform_column(n, c, tap, q, groups, channels / groups, positions, taps)];
        sum = fma(weight_of[corner], grad, sum);
    }
    grad_x[id] = sum;
}
