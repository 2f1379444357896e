// expand: y = factor x, repeated along axes. A work-item computes one element of y.
KERNEL void expand_forward(__global const REAL *x, __global REAL *y, REAL factor, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = factor * x[strides_offsets(strides, i).x];
}
