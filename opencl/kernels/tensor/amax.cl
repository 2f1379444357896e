// amax: y = the maximum of x over some axes, NaN if there is one. The fold is that of common/fold.cl.
#define NAME(what) amax_##what

inline REAL amax_start(void)
{
    return -INFINITY;
}

inline REAL amax_step(REAL so_far, REAL x, REAL pivot)
{
    return max_or_nan(so_far, x);
}

inline REAL amax_merge(REAL a, REAL b)
{
    return max_or_nan(a, b);
}

// 1 where x is the maximum, else 0: summed, the number of elements that share the gradient. Operands of strides: x, y.
// A work-item computes one element.
KERNEL void amax_ties(
    __global const REAL *x, __global const REAL *y, __global REAL *ties, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    ties[i] = x[at.x] == y[at.y] ? 1 : 0;
}

// dx = dy / (number of ties) where x is the maximum, else 0. Operands of strides: x; y, ties and grad_output, which have
// one shape. A work-item computes one element.
KERNEL void amax_backward(
    __global const REAL *x, __global const REAL *y, __global const REAL *ties, __global const REAL *grad_output,
    __global REAL *grad_x, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    grad_x[i] = x[at.x] == y[at.y] ? grad_output[at.y] / ties[at.y] : 0;
}
