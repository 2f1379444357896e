// index_select: y[o, j, i] = x[o, index_j, i], arrays (outer, extent, inner).

// A work-item computes one element of y (outer, len, inner).
KERNEL void index_select_forward(
    __global const REAL *x, __global const int *index, __global REAL *y, int extent, int len, int inner, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int i = at % inner, j = at / inner % len, o = at / inner / len;
    y[at] = x[(o * extent + index[j]) * inner + i];
}

// grad_x[o, targets_t, i] = the sum of grad_output[o, sources_s, i] for s from starts_t to starts_(t + 1), in that order;
// other elements of grad_x (outer, extent, inner) are left alone. A work-item computes one element for one target.
KERNEL void index_select_backward(
    __global const REAL *grad_output, __global const int *targets, __global const int *starts,
    __global const int *sources, __global REAL *grad_x, int extent, int len, int inner, int target_count, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int i = at % inner, t = at / inner % target_count, o = at / inner / target_count;
    REAL sum = 0;
    for (int s = starts[t]; s < starts[t + 1]; s++) sum += grad_output[(o * len + sources[s]) * inner + i];
    grad_x[(o * extent + targets[t]) * inner + i] = sum;
}
