// group_norm: y = (x - mean) inv_std weight + bias over groups of channels of an image, inv_std = 1 / sqrt(var + eps), var
// biased. x (N, C, inner), weight and bias (C) or null, mean and inv_std (N, G); a group is `per_group` channels.
// Forward and the gradient in x are `line_normalise` and its backward of common.cl, with a group as the line.

// A work-group computes one group of one image.
KERNEL void group_norm_forward(
    __global const REAL *x, __global const REAL *weight, __global const REAL *bias, __global REAL *y,
    __global REAL *mean, __global REAL *inv_std, int channels, int inner, int per_group, REAL eps)
{
    __local REAL scratch[GROUP];
    const int group = get_group_id(0), len = per_group * inner, channel = group * per_group % channels;
    const REAL2 moments = line_normalise(
        x + group * len, weight ? weight + channel : 0, bias ? bias + channel : 0, y + group * len, len, inner, eps, scratch);
    if (get_local_id(0) == 0) {
        mean[group] = moments.x;
        inv_std[group] = moments.y;
    }
}

// A work-group computes one group of one image.
KERNEL void group_norm_backward_x(
    __global const REAL *x, __global const REAL *weight, __global const REAL *mean, __global const REAL *inv_std,
    __global const REAL *grad_output, __global REAL *grad_x, int channels, int inner, int per_group)
{
    __local REAL scratch[GROUP];
    const int group = get_group_id(0), len = per_group * inner, channel = group * per_group % channels, begin = group * len;
    line_normalise_backward(
        x + begin, weight ? weight + channel : 0, mean[group], inv_std[group], grad_output + begin, grad_x + begin, len,
        inner, scratch);
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
