// What every kernel file begins with. REAL is float, or double where DOUBLE is defined.

#ifdef DOUBLE
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#define REAL double
#define REAL2 double2
#else
#define REAL float
#define REAL2 float2
#endif

// Work-items of a work-group, the same for all kernels: GROUP in launch.rs.
#define GROUP 64
#define KERNEL __kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))

#define MAX_AXES 8
#define MAX_OPERANDS 3

// How up to three arrays lie under one shape: a nest of loops, outermost first, and the step of each array
// in each loop. Made by Strides in layout.rs.
typedef struct {
    int axes;
    int extents[MAX_AXES];
    int steps[MAX_OPERANDS][MAX_AXES];
} Strides;

// Offset of each array at a row-major position. Indices into the struct are constants once the loop is
// unrolled, so that it stays where arguments lie.
inline int3 strides_offsets(const Strides s, int position)
{
    int3 offsets = (int3)(0, 0, 0);
#pragma unroll
    for (int axis = MAX_AXES - 1; axis > 0; axis--) {
        if (axis < s.axes) {
            const int outer = position / s.extents[axis];
            const int at = position - outer * s.extents[axis];
            offsets += at * (int3)(s.steps[0][axis], s.steps[1][axis], s.steps[2][axis]);
            position = outer;
        }
    }
    return offsets + position * (int3)(s.steps[0][0], s.steps[1][0], s.steps[2][0]);
}

// The tile of TILE_ROWS x TILE_COLUMNS results that a work-group of a product computes: a work-item a grid of EACH_ROW x
// EACH_COLUMN of them, SIDE apart, from DEPTH columns of both operands at a time. The sizes are those of tiles.rs.
#define SIDE 8
#ifndef EACH_ROW
#define EACH_ROW 8
#endif
#ifndef EACH_COLUMN
#define EACH_COLUMN 8
#endif
#define TILE_ROWS (SIDE * EACH_ROW)
#define TILE_COLUMNS (SIDE * EACH_COLUMN)
#ifndef DEPTH
#ifdef DOUBLE
#define DEPTH 8
#else
#define DEPTH 16
#endif
#endif
// One more, so that a column does not lie in one bank.
#define ROW_PITCH (TILE_ROWS + 1)
#define COLUMN_PITCH (TILE_COLUMNS + 1)

inline void tile_clear(REAL sums[EACH_ROW][EACH_COLUMN])
{
#pragma unroll
    for (int i = 0; i < EACH_ROW; i++) {
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) sums[i][j] = 0;
    }
}

// Adds the product of DEPTH columns of both operands; column l of the left one begins at l * ROW_PITCH, of
// the right one at l * COLUMN_PITCH. Sum (i, j) of a work-item is that of row item / SIDE + SIDE i and column item % SIDE + SIDE j.
inline void tile_multiply(REAL sums[EACH_ROW][EACH_COLUMN], __local const REAL *left_tile, __local const REAL *right_tile)
{
    const int tx = get_local_id(0) % SIDE, ty = get_local_id(0) / SIDE;
    for (int l = 0; l < DEPTH; l++) {
        REAL left[EACH_ROW], right[EACH_COLUMN];
#pragma unroll
        for (int i = 0; i < EACH_ROW; i++) left[i] = left_tile[l * ROW_PITCH + ty + SIDE * i];
#pragma unroll
        for (int j = 0; j < EACH_COLUMN; j++) right[j] = right_tile[l * COLUMN_PITCH + tx + SIDE * j];
#pragma unroll
        for (int i = 0; i < EACH_ROW; i++) {
#pragma unroll
            for (int j = 0; j < EACH_COLUMN; j++) sums[i][j] = fma(left[i], right[j], sums[i][j]);
        }
    }
}

// Writes the part of a tile that lies inside, plus the bias of its row where there is one, to y (N, groups, rows, plane): rows
// are those of a group, columns the positions of all images one after another.
inline void tile_to_images(
    REAL sums[EACH_ROW][EACH_COLUMN], __global REAL *y, __global const REAL *bias, int batch, int groups, int rows,
    int plane, int group, int row, int column)
{
    const int tx = get_local_id(0) % SIDE, ty = get_local_id(0) / SIDE;
#pragma unroll
    for (int j = 0; j < EACH_COLUMN; j++) {
        const int position = column + tx + SIDE * j;
        const int to = (position / plane * groups + group) * rows * plane + position % plane;
#pragma unroll
        for (int i = 0; i < EACH_ROW; i++) {
            const int r = row + ty + SIDE * i;
            if (position < batch * plane && r < rows) {
                y[to + r * plane] = sums[i][j] + (bias ? bias[group * rows + r] : 0);
            }
        }
    }
}

// How the taps of a kernel fall on an image, (y, x) each: tap i of output q reads input
// q * stride + i * dilation - padding. Window of termwise_ops::conv.
typedef struct {
    int image[2];
    int taps[2];
    int stride[2];
    int padding[2];
    int dilation[2];
    int output[2];
} Window;

// The input that a tap of output q reads along an axis, or -1 in the padding.
inline int window_input(const Window w, int axis, int tap, int q)
{
    const int at = q * w.stride[axis] + tap * w.dilation[axis] - w.padding[axis];
    return at >= 0 && at < w.image[axis] ? at : -1;
}

// The output whose tap reads input `at` along an axis, or -1 where there is none.
inline int window_output(const Window w, int axis, int tap, int at)
{
    const int from = at + w.padding[axis] - tap * w.dilation[axis];
    const int q = from / w.stride[axis];
    return from >= 0 && q * w.stride[axis] == from && q < w.output[axis] ? q : -1;
}

inline REAL sigmoid_of(REAL x)
{
    // No overflow on either side.
    const REAL e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

// The sum over a work-group, in a fixed order; every work-item gets it. All must call it.
inline REAL group_sum(REAL value, __local REAL *scratch)
{
    const int item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[item] = value;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] += scratch[item + half_of];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return scratch[0];
}

// The maximum of two numbers, NaN if there is one.
inline REAL max_or_nan(REAL a, REAL b)
{
    return isnan(a) ? a : (b < a ? a : b);
}

// The maximum over a work-group, NaN if there is one; every work-item gets it. All must call it.
inline REAL group_max(REAL value, __local REAL *scratch)
{
    const int item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[item] = value;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] = max_or_nan(scratch[item], scratch[item + half_of]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return scratch[0];
}

// The sign of x, 0 at 0, NaN at NaN.
inline REAL sign_of(REAL x)
{
    return isnan(x) ? x : (x == 0 ? 0 : copysign((REAL)1, x));
}

// log(1 + exp(x)), finite for any finite x.
inline REAL softplus_of(REAL x)
{
    return log1p(exp(-fabs(x))) + (x < 0 ? 0 : x);
}

// Normalises a line of `len` numbers: y_i = (x_i - mean) inv_std w + b, with element i / inner of weight and bias, 1 and 0 where
// these are null; answers (mean, inv_std), inv_std = 1 / sqrt(var + eps), var biased. All of a work-group must call it.
inline REAL2 line_normalise(
    __global const REAL *x, __global const REAL *weight, __global const REAL *bias, __global REAL *y, int len, int inner,
    REAL eps, __local REAL *scratch)
{
    const int item = get_local_id(0);
    REAL sum = 0;
    for (int i = item; i < len; i += GROUP) sum += x[i];
    const REAL rough = group_sum(sum, scratch) / len;
    // Differences from the mean; their own mean corrects for what rounding left in it.
    REAL residue = 0, squares = 0;
    for (int i = item; i < len; i += GROUP) {
        const REAL d = x[i] - rough;
        residue += d;
        squares += d * d;
    }
    residue = group_sum(residue, scratch) / len;
    const REAL var = group_sum(squares, scratch) / len - residue * residue;
    const REAL centre = rough + residue, slope = 1 / sqrt((var < 0 ? 0 : var) + eps);
    for (int i = item; i < len; i += GROUP) {
        y[i] = (x[i] - centre) * slope * (weight ? weight[i / inner] : 1) + (bias ? bias[i / inner] : 0);
    }
    return (REAL2)(centre, slope);
}

// Its gradient in x: xhat = (x - mean) inv_std, gw = dy w  =>  dx = (gw - mean(gw) - xhat mean(gw xhat)) inv_std.
inline void line_normalise_backward(
    __global const REAL *x, __global const REAL *weight, REAL centre, REAL slope, __global const REAL *grad_output,
    __global REAL *grad_x, int len, int inner, __local REAL *scratch)
{
    const int item = get_local_id(0);
    REAL sum = 0, against = 0;
    for (int i = item; i < len; i += GROUP) {
        const REAL gw = grad_output[i] * (weight ? weight[i / inner] : 1);
        sum += gw;
        against += gw * (x[i] - centre) * slope;
    }
    sum = group_sum(sum, scratch) / len;
    against = group_sum(against, scratch) / len;
    for (int i = item; i < len; i += GROUP) {
        const REAL gw = grad_output[i] * (weight ? weight[i / inner] : 1);
        grad_x[i] = (gw - sum - (x[i] - centre) * slope * against) * slope;
    }
}
