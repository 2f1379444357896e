// What the engine itself asks of a device. A work-item computes one element.

// y = value
KERNEL void fill(__global REAL *y, REAL value, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = value;
}

// sum + term; y may be sum itself
KERNEL void accumulate(__global const REAL *sum, __global const REAL *term, __global REAL *y, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = sum[i] + term[i];
}
