// cumsum: y_i = x_0 + .. + x_i along an axis, arrays (outer, len, inner); a work-item computes one line.

KERNEL void cumsum_forward(__global const REAL *x, __global REAL *y, int len, int inner, int lines)
{
    const int line = get_global_id(0);
    if (line >= lines) return;
    const int begin = line / inner * len * inner + line % inner;
    REAL sum = 0;
    for (int i = 0; i < len; i++) {
        sum += x[begin + i * inner];
        y[begin + i * inner] = sum;
    }
}

// dx_i = dy_i + .. + dy_(len - 1)
KERNEL void cumsum_backward(__global const REAL *grad_output, __global REAL *grad_x, int len, int inner, int lines)
{
    const int line = get_global_id(0);
    if (line >= lines) return;
    const int begin = line / inner * len * inner + line % inner;
    REAL sum = 0;
    for (int i = len - 1; i >= 0; i--) {
        sum += grad_output[begin + i * inner];
        grad_x[begin + i * inner] = sum;
    }
}
