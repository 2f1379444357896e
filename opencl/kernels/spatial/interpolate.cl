// interpolate: y[i, j] = the mix of rows low_i and high_i and of columns low_j and high_j of x, (1 - weight) low + weight high in
// each direction; a weight of 0 does not look at the high one. x (planes, height, width), y (planes, out_height, out_width);
// rows and cols are the pairs (low, high) of each output position.

inline REAL mix_of(REAL low, REAL high, REAL weight)
{
    return weight == 0 ? low : (1 - weight) * low + weight * high;
}

// A work-item computes one element of y.
KERNEL void interpolate_forward(
    __global const REAL *x, __global const int *rows, __global const REAL *row_weights, __global const int *cols,
    __global const REAL *col_weights, __global REAL *y, int height, int width, int out_height, int out_width, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int j = at % out_width, i = at / out_width % out_height;
    __global const REAL *plane = x + at / out_width / out_height * height * width;
    __global const REAL *low = plane + rows[2 * i] * width, *high = plane + rows[2 * i + 1] * width;
    const int left = cols[2 * j], right = cols[2 * j + 1];
    const REAL weight = col_weights[j];
    y[at] = mix_of(mix_of(low[left], low[right], weight), mix_of(high[left], high[right], weight), row_weights[i]);
}

// The share of output position i in input position `at`.
inline REAL share_of(__global const int *pairs, __global const REAL *weights, int i, int at)
{
    return (pairs[2 * i] == at ? 1 - weights[i] : 0) + (pairs[2 * i + 1] == at ? weights[i] : 0);
}

// dx[h, w] = the sum of dy times the shares of h in row i and of w in column j. The rows that look at h are among those from
// row_users[h] to row_users[height + h] (not included), likewise columns. A work-item computes one element of dx.
KERNEL void interpolate_backward(
    __global const REAL *grad_output, __global const int *rows, __global const REAL *row_weights,
    __global const int *cols, __global const REAL *col_weights, __global const int *row_users,
    __global const int *col_users, __global REAL *grad_x, int height, int width, int out_height, int out_width, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int w = at % width, h = at / width % height;
    __global const REAL *plane = grad_output + at / width / height * out_height * out_width;
    REAL sum = 0;
    for (int i = row_users[h]; i < row_users[height + h]; i++) {
        REAL line = 0;
        for (int j = col_users[w]; j < col_users[width + w]; j++) {
            line += share_of(cols, col_weights, j, w) * plane[i * out_width + j];
        }
        sum += share_of(rows, row_weights, i, h) * line;
    }
    grad_x[at] = sum;
}
