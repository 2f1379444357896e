// var: y = factor * the sum of (x - mean)^2 over some axes. The fold is that of common/fold.cl, its pivot the mean.
#define NAME(what) var_##what

inline REAL var_start(void)
{
    return 0;
}

inline REAL var_step(REAL so_far, REAL x, REAL mean)
{
    return so_far + (x - mean) * (x - mean);
}

inline REAL var_merge(REAL a, REAL b)
{
    return a + b;
}

// dx = 2 factor (x - mean) dy. Operands of strides: x; mean and grad_output, which have one shape.
// A work-item computes one element.
KERNEL void var_backward(
    __global const REAL *x, __global const REAL *mean, __global const REAL *grad_output, __global REAL *grad_x,
    REAL factor, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    grad_x[i] = 2 * factor * (x[at.x] - mean[at.y]) * grad_output[at.y];
}
