// batch_norm: y = (x - mean) inv_std weight + bias of each channel, inv_std = 1 / sqrt(var + eps), var biased.
// x (N, C, inner); mean, var, weight and bias (C), weight and bias may be null.

// Sums over a channel, in parts of `length` of its N * inner elements, (parts, C) each. With grad_output: of dy (x - mean)
// and of dy; without: of x - mean and of (x - mean)^2. Mean null stands for 0. A work-group computes one part of one channel.
KERNEL void batch_norm_sums(
    __global const REAL *x, __global const REAL *grad_output, __global const REAL *mean, __global REAL *first_sums,
    __global REAL *second_sums, int channels, int inner, int count, int length)
{
    __local REAL scratch[GROUP];
    const int id = get_group_id(0), item = get_local_id(0);
    const int c = id % channels, begin = id / channels * length, end = min(begin + length, count);
    const REAL centre = mean ? mean[c] : 0;
    REAL first = 0, second = 0;
    for (int e = begin + item; e < end; e += GROUP) {
        const int at = (e / inner * channels + c) * inner + e % inner;
        const REAL d = x[at] - centre;
        if (grad_output) {
            first += grad_output[at] * d;
            second += grad_output[at];
        } else {
            first += d;
            second += d * d;
        }
    }
    first = group_sum(first, scratch);
    second = group_sum(second, scratch);
    if (item == 0) {
        first_sums[id] = first;
        second_sums[id] = second;
    }
}

// The mean from the sums, as rounding left it. A work-item computes one channel.
KERNEL void batch_norm_rough_mean(__global const REAL *sums, __global REAL *mean, int channels, int parts, int count)
{
    const int c = get_global_id(0);
    if (c >= channels) return;
    REAL sum = 0;
    for (int part = 0; part < parts; part++) sum += sums[part * channels + c];
    mean[c] = count > 0 ? sum / count : 0;
}

// Mean and biased variance from the sums of differences from a rough mean and of their squares; (0, 0) of no element.
// A work-item computes one channel.
KERNEL void batch_norm_statistics(
    __global const REAL *rough, __global const REAL *differences, __global const REAL *squares, __global REAL *mean,
    __global REAL *var, int channels, int parts, int count)
{
    const int c = get_global_id(0);
    if (c >= channels) return;
    REAL residue = 0, square = 0;
    for (int part = 0; part < parts; part++) {
        residue += differences[part * channels + c];
        square += squares[part * channels + c];
    }
    residue = count > 0 ? residue / count : 0;
    const REAL variance = count > 0 ? square / count - residue * residue : 0;
    mean[c] = rough[c] + residue;
    var[c] = variance < 0 ? 0 : variance;
}

// A work-item computes one element.
KERNEL void batch_norm_forward(
    __global const REAL *x, __global const REAL *mean, __global const REAL *var, __global const REAL *weight,
    __global const REAL *bias, __global REAL *y, int channels, int inner, REAL eps, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int c = i / inner % channels;
    // Not x scale + (bias - mean scale), which cancels where the mean is large.
    y[i] = (x[i] - mean[c]) * ((weight ? weight[c] : 1) / sqrt(var[c] + eps)) + (bias ? bias[c] : 0);
}

// dweight = inv_std sum dy (x - mean), dbias = sum dy, from the sums. A work-item computes one channel.
KERNEL void batch_norm_backward_affine(
    __global const REAL *against, __global const REAL *sums, __global const REAL *var, __global REAL *grad_weight,
    __global REAL *grad_bias, int channels, int parts, REAL eps)
{
    const int c = get_global_id(0);
    if (c >= channels) return;
    REAL weight_sum = 0, bias_sum = 0;
    for (int part = 0; part < parts; part++) {
        weight_sum += against[part * channels + c];
        bias_sum += sums[part * channels + c];
    }
    grad_weight[c] = weight_sum / sqrt(var[c] + eps);
    grad_bias[c] = bias_sum;
}

// dx = (dy - mean(dy) - xhat mean(dy xhat)) inv_std weight, the means being dbias / per_channel and dweight / per_channel;
// with dweight null mean and variance are constants, and dx = dy inv_std weight. A work-item computes one element.
KERNEL void batch_norm_backward(
    __global const REAL *x, __global const REAL *mean, __global const REAL *var, __global const REAL *weight,
    __global const REAL *grad_weight, __global const REAL *grad_bias, __global const REAL *grad_output,
    __global REAL *grad_x, int channels, int inner, int per_channel, REAL eps, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int c = i / inner % channels;
    const REAL inv_std = 1 / sqrt(var[c] + eps);
    REAL g = grad_output[i];
    if (grad_weight) {
        g -= grad_bias[c] / per_channel + (x[i] - mean[c]) * inv_std * (grad_weight[c] / per_channel);
    }
    grad_x[i] = g * inv_std * (weight ? weight[c] : 1);
}

// keep running + take batch. A work-item computes one channel.
KERNEL void batch_norm_update(
    __global const REAL *running, __global const REAL *batch, __global REAL *y, REAL keep, REAL take, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = keep * running[i] + take * batch[i];
}
