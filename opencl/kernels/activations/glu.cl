// glu: y = a sigmoid(b), a and b the halves of x along an axis; x (outer, 2 half), y (outer, half), half the extent of the
// half axis times all behind it. A work-item computes one element of y, and what it makes of x's two.

KERNEL void glu_forward(__global const REAL *x, __global REAL *y, int half_len, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int a = at / half_len * 2 * half_len + at % half_len;
    y[at] = x[a] * sigmoid_of(x[a + half_len]);
}

// da = s dy, db = a s (1 - s) dy, with s = sigmoid(b)
KERNEL void glu_backward(
    __global const REAL *x, __global const REAL *grad_output, __global REAL *grad_x, int half_len, int count)
{
    const int at = get_global_id(0);
    if (at >= count) return;
    const int a = at / half_len * 2 * half_len + at % half_len;
    const REAL gate = sigmoid_of(x[a + half_len]);
    grad_x[a] = gate * grad_output[at];
    grad_x[a + half_len] = x[a] * gate * (1 - gate) * grad_output[at];
}
