// roi_align: y[k, c, i, j] = sum over the rows of bin i and the columns of bin j of box k of their weights times x[batch_k, c].
// x (N, C, height, width), y (K, C, out_height, out_width). Lists of entries (pixel, weight): those of bin i of box k are
// from starts[k * bins + i] to the next start.

// A work-item computes one element of y.
KERNEL void roi_align_forward(
    __global const REAL *x, __global const int *batch, __global const int *row_starts, __global const int *row_pixels,
    __global const REAL *row_weights, __global const int *col_starts, __global const int *col_pixels,
    __global const REAL *col_weights, __global REAL *y, int channels, int height, int width, int out_height,
    int out_width, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int j = at % out_width, i = at / out_width % out_height, c = at / out_width / out_height % channels;
    const int k = at / out_width / out_height / channels;
    __global const REAL *plane = x + (batch[k] * channels + c) * height * width;
    const int row_bin = k * out_height + i, col_bin = k * out_width + j;
    REAL sum = 0;
    for (int r = row_starts[row_bin]; r < row_starts[row_bin + 1]; r++) {
        REAL line = 0;
        for (int s = col_starts[col_bin]; s < col_starts[col_bin + 1]; s++) {
            line += col_weights[s] * plane[row_pixels[r] * width + col_pixels[s]];
        }
        sum += row_weights[r] * line;
    }
    y[at] = sum;
}

// dx[n, c, h, w] = the sum over the boxes on image n, in order, and over their bins that read (h, w). The boxes of image n are
// `boxes` from box_starts[n] to the next start; entries (bin, weight) of row h of box k are from row_starts[k * height + h]
// to the next start, likewise columns. A work-item computes one element of dx.
KERNEL void roi_align_backward(
    __global const REAL *grad_output, __global const int *box_starts, __global const int *boxes,
    __global const int *row_starts, __global const int *row_bins, __global const REAL *row_weights,
    __global const int *col_starts, __global const int *col_bins, __global const REAL *col_weights,
    __global REAL *grad_x, int channels, int height, int width, int out_height, int out_width, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int w = at % width, h = at / width % height, c = at / width / height % channels;
    const int n = at / width / height / channels;
    REAL sum = 0;
    for (int b = box_starts[n]; b < box_starts[n + 1]; b++) {
        const int k = boxes[b], row = k * height + h, col = k * width + w;
        __global const REAL *plane = grad_output + (k * channels + c) * out_height * out_width;
        for (int r = row_starts[row]; r < row_starts[row + 1]; r++) {
            REAL line = 0;
            for (int s = col_starts[col]; s < col_starts[col + 1]; s++) {
                line += col_weights[s] * plane[row_bins[r] * out_width + col_bins[s]];
            }
            sum += row_weights[r] * line;
        }
    }
    grad_x[at] = sum;
}
