// embedding: y[r] = weight[rows_r], weight (V, D), y (rows, D).

// A work-item computes one element of y.
KERNEL void embedding_forward(
    __global const REAL *weight, __global const int *rows, __global REAL *y, int dim, int count)
{
    const int at = get_global_id(0);
    if (at < count) y[at] = weight[rows[at / dim] * dim + at % dim];
}

// grad_weight[targets_t] = the sum of grad_output[sources_s] for s from starts_t to starts_(t + 1), in that order; other
// rows of grad_weight are left alone. A work-item computes one element for one target.
KERNEL void embedding_backward(
    __global const REAL *grad_output, __global const int *targets, __global const int *starts,
    __global const int *sources, __global REAL *grad_weight, int dim, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int i = at % dim, t = at / dim;
    REAL sum = 0;
    for (int s = starts[t]; s < starts[t + 1]; s++) sum += grad_output[sources[s] * dim + i];
    grad_weight[targets[t] * dim + i] = sum;
}
