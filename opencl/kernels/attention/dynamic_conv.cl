// dynamic_conv: convolution of sequences with a kernel of its own at every step,
//   y[t, b, c] = sum_k w[t, b, h(c), k] x[t + k + first_tap, b, c],   h(c) = c / (C / H), x zero outside,
// for x (S, B, C), w (T, B, H, K) or, shared by all steps and sequences, (H, 1, K), y (T, B, C). The outputs may begin at a
// later step than the inputs: S >= T.

// Where the kernel of a head at a step of a sequence lies.
inline int step_kernel(int t, int b, int h, int batch, int heads, int taps, int shared)
{
    return ((shared ? 0 : t * batch + b) * heads + h) * taps;
}

// A work-item computes one number.
KERNEL void per_step_conv_forward(
    __global const REAL *x, __global const REAL *weights, __global REAL *y, int inputs, int batch, int channels,
    int heads, int taps, int first_tap, int shared, int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int c = id % channels, b = id / channels % batch, t = id / channels / batch;
    __global const REAL *kernel_of =
        weights + step_kernel(t, b, c / (channels / heads), batch, heads, taps, shared);
    REAL sum = 0;
    for (int k = 0; k < taps; k++) {
        const int from = t + k + first_tap;
        if (from >= 0 && from < inputs) sum = fma(kernel_of[k], x[(from * batch + b) * channels + c], sum);
    }
    y[id] = sum;
}

// dx[s, b, c] = sum_k w[t, b, h(c), k] dy[t, b, c] with t = s - k - first_tap. A work-item computes one number.
KERNEL void per_step_conv_backward_x(
    __global const REAL *weights, __global const REAL *grad_output, __global REAL *grad_x, int steps, int batch,
    int channels, int heads, int taps, int first_tap, int shared, int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int c = id % channels, b = id / channels % batch, s = id / channels / batch;
    const int h = c / (channels / heads);
    REAL sum = 0;
    for (int k = 0; k < taps; k++) {
        const int t = s - k - first_tap;
        if (t < 0 || t >= steps) continue;
        const REAL weight = weights[step_kernel(t, b, h, batch, heads, taps, shared) + k];
        sum = fma(weight, grad_output[(t * batch + b) * channels + c], sum);
    }
    grad_x[id] = sum;
}

// dw[t, b, h, k] = sum_{c in h} dy[t, b, c] x[t + k + first_tap, b, c]. A work-item computes one number.
KERNEL void per_step_conv_backward_weights(
    __global const REAL *x, __global const REAL *grad_output, __global REAL *grad_weights, int inputs, int batch,
    int channels, int heads, int taps, int first_tap, int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int k = id % taps, h = id / taps % heads, b = id / taps / heads % batch, t = id / taps / heads / batch;
    const int from = t + k + first_tap, own = channels / heads;
    REAL sum = 0;
    if (from >= 0 && from < inputs) {
        __global const REAL *cotangent = grad_output + (t * batch + b) * channels + h * own;
        __global const REAL *values = x + (from * batch + b) * channels + h * own;
        for (int c = 0; c < own; c++) sum = fma(cotangent[c], values[c], sum);
    }
    grad_weights[id] = sum;
}

// The same for a kernel that all steps and sequences share: dw[h, k], summed over t, b and c in h. A work-group computes one
// part, of `length` terms, of one weight.
KERNEL void per_step_conv_backward_shared(
    __global const REAL *x, __global const REAL *grad_output, __global REAL *grad_weights, int inputs, int steps,
    int batch, int channels, int heads, int taps, int first_tap, int length)
{
    __local REAL scratch[GROUP];
    const int id = get_group_id(0) % (heads * taps), part = get_group_id(0) / (heads * taps);
    const int k = id % taps, h = id / taps, own = channels / heads, terms = steps * batch * own;
    const int first = part * length, last = min(first + length, terms);
    REAL sum = 0;
    for (int r = first + (int)get_local_id(0); r < last; r += GROUP) {
        const int c = h * own + r % own, b = r / own % batch, t = r / own / batch, from = t + k + first_tap;
        if (from >= 0 && from < inputs) {
            sum = fma(grad_output[(t * batch + b) * channels + c], x[(from * batch + b) * channels + c], sum);
        }
    }
    sum = group_sum(sum, scratch);
    if (get_local_id(0) == 0) grad_weights[get_group_id(0)] = sum;
}

// softmax_k over the taps that lie within the sequence, weight 0 for the others; nothing but zeros where there is none.
// A work-item makes one kernel.
KERNEL void softmax_conv_weights(
    __global const REAL *logits, __global REAL *weights, int inputs, int batch, int heads, int taps, int first_tap,
    int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int origin = id / heads / batch + first_tap;
    const int first = clamp(-origin, 0, taps), last = clamp(inputs - origin, first, taps);
    __global const REAL *from = logits + id * taps;
    __global REAL *to = weights + id * taps;
    REAL maximum = -INFINITY, sum = 0;
    for (int k = first; k < last; k++) maximum = max_or_nan(maximum, from[k]);
    for (int k = first; k < last; k++) sum += exp(from[k] - maximum);
    for (int k = 0; k < taps; k++) to[k] = k >= first && k < last ? exp(from[k] - maximum) / sum : 0;
}
