// optimizers: steps of SGD and Adam, and what clips gradients. `factor` is one number that gradients are multiplied with
// first, or null for 1. New values may be written over the old ones.

#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
// Squares of large gradients do not fit a float.
#define SUM double
#else
#define SUM REAL
#endif

// g = factor gradient + decay p;  b = momentum b + kept g, the first time b = g;  p -= lr (g + momentum b with nesterov,
// else b). Without momentum both buffers are null and p -= lr g. A work-item computes one element.
KERNEL void sgd_step(
    __global const REAL *param, __global const REAL *buffer, __global const REAL *gradient,
    __global const REAL *factor, __global REAL *new_param, __global REAL *new_buffer, REAL lr, REAL momentum, REAL kept,
    REAL decay, int nesterov, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const REAL p = param[i], g = gradient[i] * (factor ? factor[0] : 1) + decay * p;
    REAL direction = g;
    if (new_buffer) {
        // Dampening does not touch the first gradient.
        const REAL b = buffer ? momentum * buffer[i] + kept * g : g;
        new_buffer[i] = b;
        direction = nesterov ? g + momentum * b : b;
    }
    new_param[i] = p - lr * direction;
}

// g = factor gradient + decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
// p = shrink p - step_size m / (sqrt(v) inv_root_bias2 + eps). A work-item computes one element.
KERNEL void adam_step(
    __global const REAL *param, __global const REAL *exp_avg, __global const REAL *exp_avg_sq,
    __global const REAL *gradient, __global const REAL *factor, __global REAL *new_param, __global REAL *new_avg,
    __global REAL *new_avg_sq, REAL step_size, REAL fresh, REAL beta2, REAL fresh_sq, REAL inv_root_bias2, REAL eps,
    REAL decay, REAL shrink, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const REAL p = param[i], g = gradient[i] * (factor ? factor[0] : 1) + decay * p;
    const REAL m = exp_avg[i] + fresh * (g - exp_avg[i]);
    const REAL v = beta2 * exp_avg_sq[i] + fresh_sq * g * g;
    new_avg[i] = m;
    new_avg_sq[i] = v;
    new_param[i] = shrink * p - step_size * m / (sqrt(v) * inv_root_bias2 + eps);
}

// Sum of squares of `length` elements from part * length on, as bytes of SUM: sums[first + part]. A work-group computes
// one part.
KERNEL void norm_parts(__global const REAL *x, __global uchar *sums, int first, int length, int count)
{
    __local SUM scratch[GROUP];
    const int item = get_local_id(0), part = get_group_id(0);
    const int begin = part * length, end = min(begin + length, count);
    SUM sum = 0;
    for (int i = begin + item; i < end; i += GROUP) sum += (SUM)x[i] * (SUM)x[i];
    scratch[item] = sum;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] += scratch[item + half_of];
    }
    if (item == 0) ((__global SUM *)sums)[first + part] = scratch[0];
}

// The root of the sum of all parts. One work-group.
KERNEL void norm_finish(__global const uchar *sums, __global REAL *norm, int count)
{
    __local SUM scratch[GROUP];
    const int item = get_local_id(0);
    SUM sum = 0;
    for (int i = item; i < count; i += GROUP) sum += ((__global const SUM *)sums)[i];
    scratch[item] = sum;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] += scratch[item + half_of];
    }
    if (item == 0) norm[0] = (REAL)sqrt(scratch[0]);
}

// min(1, max_norm / (norm + 1e-6)); NaN stays NaN. One work-item.
KERNEL void clip_factor(__global const REAL *norm, __global REAL *factor, REAL max_norm, int one)
{
    if (get_global_id(0) >= one) return;
    const REAL ratio = max_norm / (norm[0] + (REAL)1e-6);
    factor[0] = ratio > 1 ? 1 : ratio;
}

// factor x. A work-item computes one element.
KERNEL void scale_by(__global const REAL *x, __global const REAL *factor, __global REAL *y, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = factor[0] * x[i];
}
