// avg_pool2d: y[i, j] = the sum of x over row bin i and column bin j, divided by the product of their counts, or by
// `divisor` where that is not 0. x (planes, height, width), y (planes, out_height, out_width). A bin is three numbers:
// first position, one past the last, count.

// A work-item computes one element of y.
KERNEL void avg_pool2d_forward(
    __global const REAL *x, __global const int *rows, __global const int *cols, __global REAL *y, int height, int width,
    int out_height, int out_width, REAL divisor, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int j = at % out_width, i = at / out_width % out_height;
    __global const int *row = rows + 3 * i, *col = cols + 3 * j;
    __global const REAL *plane = x + at / out_width / out_height * height * width;
    REAL sum = 0;
    for (int h = row[0]; h < row[1]; h++) {
        for (int w = col[0]; w < col[1]; w++) sum += plane[h * width + w];
    }
    y[at] = sum / (divisor == 0 ? (REAL)row[2] * (REAL)col[2] : divisor);
}

// dx[h, w] = the sum over all bins that hold it of dy / divisor. The bins that hold a row are those from row_users[h] to
// row_users[height + h] (not included), likewise columns. A work-item computes one element of dx.
KERNEL void avg_pool2d_backward(
    __global const REAL *grad_output, __global const int *rows, __global const int *cols,
    __global const int *row_users, __global const int *col_users, __global REAL *grad_x, int height, int width,
    int out_height, int out_width, REAL divisor, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int w = at % width, h = at / width % height;
    __global const REAL *plane = grad_output + at / width / height * out_height * out_width;
    REAL sum = 0;
    for (int i = row_users[h]; i < row_users[height + h]; i++) {
        for (int j = col_users[w]; j < col_users[width + w]; j++) {
            const REAL shared = divisor == 0 ? (REAL)rows[3 * i + 2] * (REAL)cols[3 * j + 2] : divisor;
            sum += plane[i * out_width + j] / shared;
        }
    }
    grad_x[at] = sum;
}
