// layer_norm: y = (x - mean) inv_std weight + bias over rows of `len` elements, inv_std = 1 / sqrt(var + eps), var biased.
// x (rows, len), weight and bias (len) or null.
// Forward and the gradient in x are `line_normalise` and its backward of common.cl, with a row as the line.

// A work-group computes one row.
KERNEL void layer_norm_forward(
    __global const REAL *x, __global const REAL *weight, __global const REAL *bias, __global REAL *y,
    __global REAL *mean, __global REAL *inv_std, int len, REAL eps)
{
    __local REAL scratch[GROUP];
    const int row = get_group_id(0);
    const REAL2 moments = line_normalise(x + row * len, weight, bias, y + row * len, len, 1, eps, scratch);
    if (get_local_id(0) == 0) {
        mean[row] = moments.x;
        inv_std[row] = moments.y;
    }
}

// A work-group computes one row.
KERNEL void layer_norm_backward_x(
    __global const REAL *x, __global const REAL *weight, __global const REAL *mean, __global const REAL *inv_std,
    __global const REAL *grad_output, __global REAL *grad_x, int len)
{
    __local REAL scratch[GROUP];
    const int row = get_group_id(0), begin = row * len;
    line_normalise_backward(
        x + begin, weight, mean[row], inv_std[row], grad_output + begin, grad_x + begin, len, 1, scratch);
}

// dweight_i = sum over rows of dy_i xhat_i, dbias_i = sum over rows of dy_i, of `length` rows from part * length on:
// (parts, len) each. A work-item computes one part of one element of both.
KERNEL void layer_norm_backward_affine(
    __global const REAL *x, __global const REAL *mean, __global const REAL *inv_std, __global const REAL *grad_output,
    __global REAL *grad_weight, __global REAL *grad_bias, int rows, int len, int parts, int length)
{
    const int id = get_global_id(0);
    if (id >= len * parts) return;
    const int i = id % len, first = id / len * length, last = min(first + length, rows);
    REAL weight_sum = 0, bias_sum = 0;
    for (int row = first; row < last; row++) {
        const REAL g = grad_output[row * len + i];
        weight_sum += g * (x[row * len + i] - mean[row]) * inv_std[row];
        bias_sum += g;
    }
    grad_weight[id] = weight_sum;
    grad_bias[id] = bias_sum;
}
