// where: y = condition ? a : b, all three broadcast; operands of strides: condition, a, b. What is not chosen is not
// looked at. A work-item computes one element of y.
KERNEL void where_select(
    __global const uchar *condition, __global const REAL *a, __global const REAL *b, __global REAL *y,
    Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const int3 at = strides_offsets(strides, i);
    y[i] = condition[at.x] ? a[at.y] : b[at.z];
}
