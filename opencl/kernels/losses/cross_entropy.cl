// cross_entropy: of logits x (outer, classes, inner) against a label y at each position (outer, inner):
//   l = on_label w_y (lse - x_y) + everywhere sum_c w_c (lse - x_c),  lse = log sum_c exp(x_c),
// w the class weights (null for 1), on_label = 1 - smoothing, everywhere = smoothing / classes; 0 where the label is IGNORED.
// The plain loss is w_y (lse - x_y). `total` is the sum of the class weights, `unit` what each position's gradient is
// multiplied with (1 / count for a mean), both one number.
//
// Where a position's classes are neighbours (inner = 1) or many, it is a work-group's (_lines), else a work-item's (_items).

#define IGNORED 0xffffffffu

// The weight of each position in a mean: that of its label's class. A work-item computes one position.
KERNEL void cross_entropy_weights(
    __global const uint *labels, __global const REAL *class_weight, __global REAL *weights, int count)
{
    const int i = get_global_id(0);
    if (i < count) weights[i] = labels[i] == IGNORED ? 0 : class_weight[labels[i]];
}

// 1 / count, 0 for a count of 0: the mean of nothing is 0. One work-item.
KERNEL void cross_entropy_unit(__global const REAL *count, __global REAL *unit, int one)
{
    if (get_global_id(0) < one) unit[0] = count[0] == 0 ? 0 : 1 / count[0];
}

// Loss and plain loss from max - x_y, log sum exp(x - max), and the weighted sum of max - x_c.
inline void losses_of(
    REAL weight, REAL distance, REAL log_sum, REAL distances, REAL total, REAL on_label, REAL everywhere,
    REAL *loss, REAL *plain)
{
    // (max - x) + log_sum, not (max + log_sum) - x: large logits keep their digits.
    const REAL own = weight * (distance + log_sum);
    *loss = on_label * own + (everywhere == 0 ? 0 : everywhere * (distances + total * log_sum));
    *plain = own;
}

// dl/dx_c = s p_c - everywhere w_c - on_label w_y [c = y], s = on_label w_y + everywhere total, all times unit
inline REAL gradient_of(
    REAL share, REAL weight_c, REAL weight_y, int is_label, REAL total, REAL on_label, REAL everywhere, REAL unit)
{
    const REAL s = on_label * weight_y + everywhere * total;
    return unit * (s * share - everywhere * weight_c - (is_label ? on_label * weight_y : 0));
}

KERNEL void cross_entropy_forward_lines(
    __global const REAL *x, __global const uint *labels, __global const REAL *class_weight,
    __global const REAL *total_weight, __global const REAL *unit, __global REAL *losses, __global REAL *plain,
    __global REAL *grad, int classes, int inner, REAL on_label, REAL everywhere)
{
    __local REAL scratch[GROUP];
    const int position = get_group_id(0), item = get_local_id(0);
    const int begin = position / inner * classes * inner + position % inner;
    // Ignored positions go through the same barriers, and what comes of them is not used.
    const int ignored = labels[position] == IGNORED, label = ignored ? 0 : (int)labels[position];
    REAL maximum = -INFINITY;
    for (int c = item; c < classes; c += GROUP) maximum = max_or_nan(maximum, x[begin + c * inner]);
    maximum = group_max(maximum, scratch);
    REAL sum = 0, distances = 0;
    for (int c = item; c < classes; c += GROUP) {
        const REAL shifted = x[begin + c * inner] - maximum;
        sum += exp(shifted);
        distances -= (class_weight ? class_weight[c] : 1) * shifted;
    }
    sum = group_sum(sum, scratch);
    distances = group_sum(distances, scratch);
    const REAL total = total_weight[0], weight_y = class_weight ? class_weight[label] : 1;
    if (item == 0) {
        REAL loss, own;
        losses_of(
            weight_y, maximum - x[begin + label * inner], log(sum), distances, total, on_label, everywhere, &loss, &own);
        losses[position] = ignored ? 0 : loss;
        plain[position] = ignored ? 0 : own;
    }
    if (grad) {
        for (int c = item; c < classes; c += GROUP) {
            const REAL share = exp(x[begin + c * inner] - maximum) / sum, weight_c = class_weight ? class_weight[c] : 1;
            const REAL g = gradient_of(share, weight_c, weight_y, c == label, total, on_label, everywhere, unit[0]);
            grad[begin + c * inner] = ignored ? 0 : g;
        }
    }
}

KERNEL void cross_entropy_forward_items(
    __global const REAL *x, __global const uint *labels, __global const REAL *class_weight,
    __global const REAL *total_weight, __global const REAL *unit, __global REAL *losses, __global REAL *plain,
    __global REAL *grad, int classes, int inner, REAL on_label, REAL everywhere, int positions)
{
    const int position = get_global_id(0);
    if (position >= positions) return;
    const int begin = position / inner * classes * inner + position % inner;
    const uint label = labels[position];
    if (label == IGNORED) {
        losses[position] = plain[position] = 0;
        if (grad) {
            for (int c = 0; c < classes; c++) grad[begin + c * inner] = 0;
        }
        return;
    }
    REAL maximum = -INFINITY, sum = 0, distances = 0;
    for (int c = 0; c < classes; c++) maximum = max_or_nan(maximum, x[begin + c * inner]);
    for (int c = 0; c < classes; c++) {
        const REAL shifted = x[begin + c * inner] - maximum;
        sum += exp(shifted);
        distances -= (class_weight ? class_weight[c] : 1) * shifted;
    }
    const REAL total = total_weight[0], weight_y = class_weight ? class_weight[label] : 1;
    REAL loss, own;
    losses_of(
        weight_y, maximum - x[begin + label * inner], log(sum), distances, total, on_label, everywhere, &loss, &own);
    losses[position] = loss;
    plain[position] = own;
    if (grad) {
        for (int c = 0; c < classes; c++) {
            const REAL share = exp(x[begin + c * inner] - maximum) / sum, weight_c = class_weight ? class_weight[c] : 1;
            grad[begin + c * inner] =
                gradient_of(share, weight_c, weight_y, c == label, total, on_label, everywhere, unit[0]);
        }
    }
}
