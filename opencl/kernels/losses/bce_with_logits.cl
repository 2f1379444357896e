// bce_with_logits: l = w t softplus(-x) + (1 - t) softplus(x), the binary cross-entropy of p = sigmoid(x), its positive part
// weighted by w = pos_weight, which broadcasts (operand of strides) or is null for 1. A work-item computes one element.

// The losses, not reduced yet.
KERNEL void bce_with_logits_forward(
    __global const REAL *x, __global const REAL *target, __global const REAL *pos_weight, __global REAL *losses,
    Strides strides, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const REAL w = pos_weight ? pos_weight[strides_offsets(strides, i).x] : 1;
    losses[i] = w * target[i] * softplus_of(-x[i]) + (1 - target[i]) * softplus_of(x[i]);
}

// dx = ((1 - t) p - w t (1 - p)) dl. dl is factor times grad_output, which has one number for all where `each` is 0.
KERNEL void bce_with_logits_backward_x(
    __global const REAL *x, __global const REAL *target, __global const REAL *pos_weight,
    __global const REAL *grad_output, __global REAL *grad, Strides strides, REAL factor, int each, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const REAL w = pos_weight ? pos_weight[strides_offsets(strides, i).x] : 1;
    const REAL slope = (1 - target[i]) * sigmoid_of(x[i]) - w * target[i] * sigmoid_of(-x[i]);
    grad[i] = slope * (factor * grad_output[each ? i : 0]);
}

// dt = (log(1 - p) - w log p) dl, dl as above
KERNEL void bce_with_logits_backward_t(
    __global const REAL *x, __global const REAL *target, __global const REAL *pos_weight,
    __global const REAL *grad_output, __global REAL *grad, Strides strides, REAL factor, int each, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const REAL w = pos_weight ? pos_weight[strides_offsets(strides, i).x] : 1;
    grad[i] = (w * softplus_of(-x[i]) - softplus_of(x[i])) * (factor * grad_output[each ? i : 0]);
}
