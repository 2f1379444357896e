// Windows on an array: element i of the window is element offset + (its place by strides) of the array. A work-item
// moves one element.

// y = the window on x
KERNEL void strided_read(__global const REAL *x, __global REAL *y, int offset, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = x[offset + strides_offsets(strides, i).x];
}

// the window on y = part
KERNEL void strided_write(__global const REAL *part, __global REAL *y, int offset, Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[offset + strides_offsets(strides, i).x] = part[i];
}
