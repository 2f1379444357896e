// layer_norm: y = (x - mean) inv_std weight + bias over rows of `len` elements, inv_std = 1 / sqrt(var + eps), var biased.
// x (rows, len), weight and bias (len) or null.

// A work-group computes one row.
KERNEL void layer_norm_forward(
    __global const REAL *x, __global const REAL *weight, __global const REAL *bias, __global REAL *y,
    __global REAL *mean, __global REAL *inv_std, int len, REAL eps)
{
    __local REAL scratch[GROUP];
    const int row = get_group_id(0), item = get_local_id(0);
    x += row * len;
    y += row * len;
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
    if (item == 0) {
        mean[row] = centre;
        inv_std[row] = slope;
    }
    for (int i = item; i < len; i += GROUP) {
        y[i] = (x[i] - centre) * slope * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
    }
}

// xhat = (x - mean) inv_std, gw = dy weight  =>  dx = (gw - mean(gw) - xhat mean(gw xhat)) inv_std.
// A work-group computes one row.
KERNEL void layer_norm_backward_x(
    __global const REAL *x, __global const REAL *weight, __global const REAL *mean, __global const REAL *inv_std,
    __global const REAL *grad_output, __global REAL *grad_x, int len)
{
    __local REAL scratch[GROUP];
    const int row = get_group_id(0), item = get_local_id(0);
    x += row * len;
    grad_output += row * len;
    grad_x += row * len;
    const REAL centre = mean[row], slope = inv_std[row];
    REAL sum = 0, against = 0;
    for (int i = item; i < len; i += GROUP) {
        const REAL gw = grad_output[i] * (weight ? weight[i] : 1);
        sum += gw;
        against += gw * (x[i] - centre) * slope;
    }
    sum = group_sum(sum, scratch) / len;
    against = group_sum(against, scratch) / len;
    for (int i = item; i < len; i += GROUP) {
        const REAL gw = grad_output[i] * (weight ? weight[i] : 1);
        grad_x[i] = (gw - sum - (x[i] - centre) * slope * against) * slope;
    }
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
