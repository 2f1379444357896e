// group_norm: y = (x - mean) inv_std weight + bias over groups of channels of an image, inv_std = 1 / sqrt(var + eps), var
// biased. x (N, C, inner), weight and bias (C) or null, mean and inv_std (N, G); a group is `per_group` channels.

// A work-group computes one group of one image.
KERNEL void group_norm_forward(
    __global const REAL *x, __global const REAL *weight, __global const REAL *bias, __global REAL *y,
    __global REAL *mean, __global REAL *inv_std, int channels, int inner, int per_group, REAL eps)
{
    __local REAL scratch[GROUP];
    const int group = get_group_id(0), item = get_local_id(0), len = per_group * inner;
    const int first_channel = group * per_group % channels;
    x += group * len;
    y += group * len;
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
        mean[group] = centre;
        inv_std[group] = slope;
    }
    for (int i = item; i < len; i += GROUP) {
        const int c = first_channel + i / inner;
        y[i] = (x[i] - centre) * slope * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
    }
}

// xhat = (x - mean) inv_std, gw = dy weight  =>  dx = (gw - mean(gw) - xhat mean(gw xhat)) inv_std, means over a group.
// A work-group computes one group of one image.
KERNEL void group_norm_backward_x(
    __global const REAL *x, __global const REAL *weight, __global const REAL *mean, __global const REAL *inv_std,
    __global const REAL *grad_output, __global REAL *grad_x, int channels, int inner, int per_group)
{
    __local REAL scratch[GROUP];
    const int group = get_group_id(0), item = get_local_id(0), len = per_group * inner;
    const int first_channel = group * per_group % channels;
    x += group * len;
    grad_output += group * len;
    grad_x += group * len;
    const REAL centre = mean[group], slope = inv_std[group];
    REAL sum = 0, against = 0;
    for (int i = item; i < len; i += GROUP) {
        const REAL gw = grad_output[i] * (weight ? weight[first_channel + i / inner] : 1);
        sum += gw;
        against += gw * (x[i] - centre) * slope;
    }
    sum = group_sum(sum, scratch) / len;
    against = group_sum(against, scratch) / len;
    for (int i = item; i < len; i += GROUP) {
        const REAL gw = grad_output[i] * (weight ? weight[first_channel + i / inner] : 1);
        grad_x[i] = (gw - sum - (x[i] - centre) * slope * against) * slope;
    }
}

// dweight_c = sum of dy xhat and dbias_c = sum of dy over one image: (N, C) each, to be added over images. A work-group
// computes one channel of one image.
KERNEL void group_norm_backward_affine(
    __global const REAL *x, __global const REAL *mean, __global const REAL *inv_std, __global const REAL *grad_output,
    __global REAL *grad_weight, __global REAL *grad_bias, int inner, int per_group)
{
    __local REAL scratch[GROUP];
    const int plane = get_group_id(0), item = get_local_id(0), group = plane / per_group;
    const REAL centre = mean[group];
    REAL against = 0, sum = 0;
    for (int i = item; i < inner; i += GROUP) {
        const REAL g = grad_output[plane * inner + i];
        against += g * (x[plane * inner + i] - centre);
        sum += g;
    }
    against = group_sum(against, scratch);
    sum = group_sum(sum, scratch);
    if (item == 0) {
        grad_weight[plane] = against * inv_std[group];
        grad_bias[plane] = sum;
    }
}
