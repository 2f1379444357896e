// dynamic_conv_2d: convolution of images with a kernel of its own at every output,
//   y[n, c, q] = sum_j w[n, g(c), j, q] x[n, c, q * stride - padding + p_j * dilation],   g(c) = c / (C / G),
// for x (N, C, H, W), w (N, G, taps, Ho, Wo), y (N, C, Ho, Wo). Work-items that are neighbours have neighbouring positions.

// A work-item computes one number.
KERNEL void per_position_conv_forward(
    __global const REAL *x, __global const REAL *weights, __global REAL *y, Window w, int channels, int groups,
    int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], q = id % positions, plane = id / positions;
    const int c = plane % channels, n = plane / channels, g = c / (channels / groups);
    __global const REAL *weight = weights + (n * groups + g) * taps * positions + q;
    REAL sum = 0;
    for (int i = 0; i < w.taps[0]; i++) {
        const int from_y = window_input(w, 0, i, q / w.output[1]);
        if (from_y < 0) continue;
        for (int j = 0; j < w.taps[1]; j++) {
            const int from_x = window_input(w, 1, j, q % w.output[1]);
            if (from_x < 0) continue;
            const REAL value = x[plane * pixels + from_y * w.image[1] + from_x];
            sum = fma(weight[(i * w.taps[1] + j) * positions], value, sum);
        }
    }
    y[id] = sum;
}

// dx[n, c, p] = sum over the taps j and outputs q that read p of w[n, g(c), j, q] dy[n, c, q]. A work-item computes one
// number.
KERNEL void per_position_conv_backward_x(
    __global const REAL *weights, __global const REAL *grad_output, __global REAL *grad_x, Window w, int channels,
    int groups, int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], at = id % pixels, plane = id / pixels;
    const int c = plane % channels, n = plane / channels, g = c / (channels / groups);
    __global const REAL *weight = weights + (n * groups + g) * taps * positions;
    REAL sum = 0;
    for (int i = 0; i < w.taps[0]; i++) {
        const int y = window_output(w, 0, i, at / w.image[1]);
        if (y < 0) continue;
        for (int j = 0; j < w.taps[1]; j++) {
            const int x = window_output(w, 1, j, at % w.image[1]);
            if (x < 0) continue;
            const int q = y * w.output[1] + x;
            sum = fma(weight[(i * w.taps[1] + j) * positions + q], grad_output[plane * positions + q], sum);
        }
    }
    grad_x[id] = sum;
}

// dw[n, g, j, q] = sum_{c in g} dy[n, c, q] x[n, c, q + p_j]. A work-item computes one number.
KERNEL void per_position_conv_backward_weights(
    __global const REAL *x, __global const REAL *grad_output, __global REAL *grad_weights, Window w, int channels,
    int groups, int count)
{
    const int id = get_global_id(0);
    if (id >= count) return;
    const int positions = w.output[0] * w.output[1], pixels = w.image[0] * w.image[1];
    const int taps = w.taps[0] * w.taps[1], q = id % positions, tap = id / positions % taps;
    const int own = channels / groups, first = id / positions / taps * own; // of all channels of all images
    const int from_y = window_input(w, 0, tap / w.taps[1], q / w.output[1]);
    const int from_x = window_input(w, 1, tap % w.taps[1], q % w.output[1]);
    REAL sum = 0;
    if (from_y >= 0 && from_x >= 0) {
        const int from = from_y * w.image[1] + from_x;
        for (int plane = first; plane < first + own; plane++) {
            sum = fma(grad_output[plane * positions + q], x[plane * pixels + from], sum);
        }
    }
    grad_weights[id] = sum;
}
