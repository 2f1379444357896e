// logsumexp: y = m + ln sum exp(x - m) over some axes, m their maximum. The fold, which sums the exponentials of
// differences from the pivot m, is that of common/fold.cl.
#define NAME(what) logsumexp_##what

inline REAL logsumexp_start(void)
{
    return 0;
}

inline REAL logsumexp_step(REAL so_far, REAL x, REAL pivot)
{
    return so_far + exp(x - pivot);
}

inline REAL logsumexp_merge(REAL a, REAL b)
{
    return a + b;
}

// The maximum made finite: an infinite one would make inf - inf, and exp(x) itself is right then (0 or infinite).
// A work-item computes one element.
KERNEL void logsumexp_pivot(__global const REAL *maximum, __global REAL *pivot, int count)
{
    const int i = get_global_id(0);
    if (i < count) pivot[i] = isinf(maximum[i]) ? 0 : maximum[i];
}

// y = m + ln sum. A work-item computes one element.
KERNEL void logsumexp_finish(__global const REAL *pivot, __global const REAL *sum, __global REAL *y, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = pivot[i] + log(sum[i]);
}

// dx = exp(x - y) dy, 0 where x is -inf. Operands of strides: x; y and grad_output, which have one shape.
// A work-item computes one element.
KERNEL void logsumexp_backward(
    __global const REAL *x, __global const REAL *y, __global const REAL *grad_output, __global REAL *grad_x,
    Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    grad_x[i] = x[at.x] == -INFINITY ? 0 : exp(x[at.x] - y[at.y]) * grad_output[at.y];
}
