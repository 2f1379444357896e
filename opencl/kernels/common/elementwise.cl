// Follows the file of an op, in which #define NAME(what) relu_##what makes the names.
// Kernels of a function of one number, NAME(value), and its derivative, NAME(derivative),
// with parameters p and q. A work-item computes one element.

// y = f(x)
KERNEL void NAME(forward)(__global const REAL *x, __global REAL *y, REAL p, REAL q, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = NAME(value)(x[i], p, q);
}

// dx = f'(x) dy. Where an op does not keep x or y, any array of the shape is in its place.
KERNEL void NAME(backward)(
    __global const REAL *x, __global const REAL *y, __global const REAL *grad_output, __global REAL *grad_x,
    REAL p, REAL q, int count)
{
    const int i = get_global_id(0);
    if (i < count) grad_x[i] = NAME(derivative)(x[i], y[i], p, q) * grad_output[i];
}
