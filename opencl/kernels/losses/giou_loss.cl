// giou_loss: l = 1 - I / (U + eps) + (A - U) / (A + eps) of pairs of boxes (x1, y1, x2, y2), I their intersection, U their
// union, A the box around both. A work-item computes one pair.

typedef struct {
    REAL inner[2];  // width and height of the intersection, 0 where there is none
    REAL outer[2];  // width and height of the box around both
    REAL intersection, all, enclosing;
} Pair;

inline Pair pair_of(__global const REAL *a, __global const REAL *b)
{
    Pair pair;
    for (int axis = 0; axis < 2; axis++) {
        pair.inner[axis] = fmax(fmin(a[axis + 2], b[axis + 2]) - fmax(a[axis], b[axis]), (REAL)0);
        pair.outer[axis] = fmax(a[axis + 2], b[axis + 2]) - fmin(a[axis], b[axis]);
    }
    pair.intersection = pair.inner[0] * pair.inner[1];
    pair.all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - pair.intersection;
    pair.enclosing = pair.outer[0] * pair.outer[1];
    return pair;
}

// The losses, not reduced yet.
KERNEL void giou_loss_forward(
    __global const REAL *a, __global const REAL *b, __global REAL *losses, REAL eps, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const Pair pair = pair_of(a + 4 * i, b + 4 * i);
    losses[i] = 1 - pair.intersection / (pair.all + eps) + (pair.enclosing - pair.all) / (pair.enclosing + eps);
}

// The derivative of max(p, q) in p; that of min(p, q) is larger(q, p).
inline REAL larger(REAL p, REAL q)
{
    return p > q ? 1 : (p == q ? (REAL)0.5 : 0);
}

// The gradient in box a; the loss is symmetric. dl is factor times grad_output, which has one number for all where `each`
// is 0.
KERNEL void giou_loss_backward(
    __global const REAL *boxes_a, __global const REAL *boxes_b, __global const REAL *grad_output, __global REAL *grad,
    REAL eps, REAL factor, int each, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    __global const REAL *a = boxes_a + 4 * i, *b = boxes_b + 4 * i;
    const Pair pair = pair_of(a, b);
    const REAL up = factor * grad_output[each ? i : 0];
    const REAL all = pair.all + eps, enclosing = pair.enclosing + eps;
    // U = area(a) + area(b) - I
    const REAL d_all = pair.intersection / (all * all) - 1 / enclosing;
    const REAL d_intersection = -1 / all - d_all;
    const REAL d_enclosing = all / (enclosing * enclosing);
    const int overlap = pair.inner[0] > 0 && pair.inner[1] > 0;
    for (int axis = 0; axis < 2; axis++) {
        const int low = axis, high = axis + 2, other = 1 - axis;
        const REAL d_side = d_all * (a[other + 2] - a[other]);
        const REAL d_inner = overlap ? d_intersection * pair.inner[other] : 0;
        const REAL d_outer = d_enclosing * pair.outer[other];
        const REAL d_low = -d_side - d_inner * larger(a[low], b[low]) - d_outer * larger(b[low], a[low]);
        const REAL d_high = d_side + d_inner * larger(b[high], a[high]) + d_outer * larger(a[high], b[high]);
        grad[4 * i + low] = up * d_low;
        grad[4 * i + high] = up * d_high;
    }
}
