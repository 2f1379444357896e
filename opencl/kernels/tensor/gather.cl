// gather, and what goes the other way: elements of x at given places.

// y_i = x[places_i]. A work-item computes one element of y.
KERNEL void gather_take(__global const REAL *x, __global const int *places, __global REAL *y, int count)
{
    const int i = get_global_id(0);
    if (i < count) y[i] = x[places[i]];
}

// y[targets_t] += the sum of src[sources_s] for s from starts_t to starts_(t + 1), in that order. The targets differ.
// A work-item adds to one target.
KERNEL void gather_add_at(
    __global const REAL *src, __global const int *targets, __global const int *starts, __global const int *sources,
    __global REAL *y, int count)
{
    const int t = get_global_id(0);
    if (t >= count) return;
    REAL sum = y[targets[t]];
    for (int s = starts[t]; s < starts[t + 1]; s++) sum += src[sources[s]];
    y[targets[t]] = sum;
}
