// Follows the file of a loss, in which #define NAME(what) mse_loss_##what makes the names.
// Kernels of a loss of each element against its own target, NAME(value), and its derivatives, NAME(derivative_x) and
// NAME(derivative_t), with parameters p and q. A work-item computes one element.

// The losses, not reduced yet.
KERNEL void NAME(forward)(
    __global const REAL *x, __global const REAL *target, __global REAL *losses, REAL p, REAL q, int count)
{
    const int i = get_global_id(0);
    if (i < count) losses[i] = NAME(value)(x[i], target[i], p, q);
}

// dx = df/dx dl. dl is factor times grad_output, which has one number for all where `each` is 0.
KERNEL void NAME(backward_x)(
    __global const REAL *x, __global const REAL *target, __global const REAL *grad_output, __global REAL *grad,
    REAL p, REAL q, REAL factor, int each, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    grad[i] = NAME(derivative_x)(x[i], target[i], p, q) * (factor * grad_output[each ? i : 0]);
}

// dt = df/dt dl, dl as above
KERNEL void NAME(backward_t)(
    __global const REAL *x, __global const REAL *target, __global const REAL *grad_output, __global REAL *grad,
    REAL p, REAL q, REAL factor, int each, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    grad[i] = NAME(derivative_t)(x[i], target[i], p, q) * (factor * grad_output[each ? i : 0]);
}
