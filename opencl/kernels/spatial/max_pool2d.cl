// max_pool2d: y[i, j] = the largest of the taps of window (i, j), NaN if there is one, and index its place row * width + column;
// taps outside the image are left out. x (planes, height, width), y and index (planes, out_height, out_width).

// A work-item computes one element of y.
KERNEL void max_pool2d_forward(
    __global const REAL *x, __global REAL *y, __global int *index, int height, int width, int out_height, int out_width,
    int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h,
    int dilation_w, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int left = at % out_width * stride_w - padding_w, top = at / out_width % out_height * stride_h - padding_h;
    __global const REAL *plane = x + at / out_width / out_height * height * width;
    REAL best = -INFINITY;
    // The first tap inside, so that a window of -inf has an index too.
    int where = -1;
    for (int tap_h = 0; tap_h < kernel_h; tap_h++) {
        const int h = top + tap_h * dilation_h;
        if (h < 0 || h >= height) continue;
        for (int tap_w = 0; tap_w < kernel_w; tap_w++) {
            const int w = left + tap_w * dilation_w;
            if (w < 0 || w >= width) continue;
            const REAL value = plane[h * width + w];
            if (where < 0 || value > best || isnan(value)) {
                best = value;
                where = h * width + w;
            }
        }
    }
    y[at] = best;
    index[at] = where;
}

// dx[p] = the sum of dy over the windows whose index is p, in order. A work-item computes one element of dx, looking at the
// windows that reach it.
KERNEL void max_pool2d_backward(
    __global const REAL *grad_output, __global const int *index, __global REAL *grad_x, int height, int width,
    int out_height, int out_width, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w,
    int dilation_h, int dilation_w, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int w = at % width, h = at / width % height;
    const int begin = at / width / height * out_height * out_width;
    // Windows i with i stride <= h + padding <= i stride + (kernel - 1) dilation
    const int reach_h = h + padding_h - (kernel_h - 1) * dilation_h, reach_w = w + padding_w - (kernel_w - 1) * dilation_w;
    const int first_i = reach_h > 0 ? (reach_h + stride_h - 1) / stride_h : 0;
    const int first_j = reach_w > 0 ? (reach_w + stride_w - 1) / stride_w : 0;
    const int last_i = min((h + padding_h) / stride_h, out_height - 1);
    const int last_j = min((w + padding_w) / stride_w, out_width - 1);
    REAL sum = 0;
    for (int i = first_i; i <= last_i; i++) {
        for (int j = first_j; j <= last_j; j++) {
            const int window = begin + i * out_width + j;
            if (index[window] == h * width + w) sum += grad_output[window];
        }
    }
    grad_x[at] = sum;
}
