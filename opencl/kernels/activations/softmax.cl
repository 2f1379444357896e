// softmax: y_i = exp(x_i - m) / sum_j exp(x_j - m) along an axis, m the maximum; arrays (outer, len, inner).
//
// Lines whose elements are neighbours (inner = 1) or that are long are each a work-group's: the _lines kernels. Short ones,
// whose neighbours are elements of other lines, are each a work-item's: the _items kernels.
//
// kind 0 is the softmax, NaN where a line has nothing but -inf; 1 is the same, but 0 there; 2 is its logarithm.

#define OR_ZERO 1
#define LOG 2

// y_i from x_i, the maximum and the sum
inline REAL softmax_of(REAL x, REAL maximum, REAL sum, int kind)
{
    if (kind == LOG) return x - maximum - log(sum);
    if (kind == OR_ZERO && maximum == -INFINITY) return 0;
    return exp(x - maximum) / sum;
}

KERNEL void softmax_forward_lines(__global const REAL *x, __global REAL *y, int len, int inner, int kind)
{
    __local REAL scratch[GROUP];
    const int line = get_group_id(0), item = get_local_id(0);
    const int begin = line / inner * len * inner + line % inner;
    REAL maximum = -INFINITY;
    for (int i = item; i < len; i += GROUP) maximum = max_or_nan(maximum, x[begin + i * inner]);
    maximum = group_max(maximum, scratch);
    REAL sum = 0;
    for (int i = item; i < len; i += GROUP) sum += exp(x[begin + i * inner] - maximum);
    sum = group_sum(sum, scratch);
    for (int i = item; i < len; i += GROUP) {
        y[begin + i * inner] = softmax_of(x[begin + i * inner], maximum, sum, kind);
    }
}

KERNEL void softmax_forward_items(__global const REAL *x, __global REAL *y, int len, int inner, int kind, int lines)
{
    const int line = get_global_id(0);
    if (line >= lines) return;
    const int begin = line / inner * len * inner + line % inner;
    REAL maximum = -INFINITY, sum = 0;
    for (int i = 0; i < len; i++) maximum = max_or_nan(maximum, x[begin + i * inner]);
    for (int i = 0; i < len; i++) sum += exp(x[begin + i * inner] - maximum);
    for (int i = 0; i < len; i++) {
        y[begin + i * inner] = softmax_of(x[begin + i * inner], maximum, sum, kind);
    }
}

// dx_i = y_i (dy_i - sum_j y_j dy_j); of the logarithm dx_i = dy_i - exp(y_i) sum_j dy_j
KERNEL void softmax_backward_lines(
    __global const REAL *y, __global const REAL *grad_output, __global REAL *grad_x, int len, int inner, int kind)
{
    __local REAL scratch[GROUP];
    const int line = get_group_id(0), item = get_local_id(0);
    const int begin = line / inner * len * inner + line % inner;
    REAL sum = 0;
    for (int i = item; i < len; i += GROUP) {
        const int at = begin + i * inner;
        sum += kind == LOG ? grad_output[at] : y[at] * grad_output[at];
    }
    sum = group_sum(sum, scratch);
    for (int i = item; i < len; i += GROUP) {
        const int at = begin + i * inner;
        grad_x[at] = kind == LOG ? grad_output[at] - exp(y[at]) * sum : y[at] * (grad_output[at] - sum);
    }
}

KERNEL void softmax_backward_items(
    __global const REAL *y, __global const REAL *grad_output, __global REAL *grad_x, int len, int inner, int kind,
    int lines)
{
    const int line = get_global_id(0);
    if (line >= lines) return;
    const int begin = line / inner * len * inner + line % inner;
    REAL sum = 0;
    for (int i = 0; i < len; i++) {
        const int at = begin + i * inner;
        sum += kind == LOG ? grad_output[at] : y[at] * grad_output[at];
    }
    for (int i = 0; i < len; i++) {
        const int at = begin + i * inner;
        grad_x[at] = kind == LOG ? grad_output[at] - exp(y[at]) * sum : y[at] * (grad_output[at] - sum);
    }
}
