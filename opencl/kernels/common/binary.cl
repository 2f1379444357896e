// Follows the file of an op, in which #define NAME(what) add_##what makes the names.
// Kernels of a function of two numbers, NAME(value), and its derivatives, NAME(derivative_a) and
// NAME(derivative_b), of operands that broadcast. A work-item computes one element of the common shape.

// y = f(a, b)
KERNEL void NAME(forward)(
    __global const REAL *a, __global const REAL *b, __global REAL *y, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    y[i] = NAME(value)(a[at.x], b[at.y]);
}

// df/da dy, still in the common shape
KERNEL void NAME(backward_a)(
    __global const REAL *a, __global const REAL *b, __global const REAL *grad_output, __global REAL *grad,
    Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    grad[i] = NAME(derivative_a)(a[at.x], b[at.y]) * grad_output[i];
}

// df/db dy, still in the common shape
KERNEL void NAME(backward_b)(
    __global const REAL *a, __global const REAL *b, __global const REAL *grad_output, __global REAL *grad,
    Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    grad[i] = NAME(derivative_b)(a[at.x], b[at.y]) * grad_output[i];
}
