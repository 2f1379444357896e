// sigmoid_focal_loss: l = alpha_t miss^gamma ce with miss = 1 - p_t, ce = -t log p - (1 - t) log(1 - p), p = sigmoid(x),
// alpha_t = alpha t + (1 - alpha) (1 - t), or 1 for a negative alpha. Kernels are those of common/pointwise_loss.cl;
// p is alpha, q gamma.
#define NAME(what) sigmoid_focal_loss_##what

inline REAL focal_weight(REAL t, REAL alpha)
{
    return alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
}

// 1 - p_t without a difference that cancels where p_t is near 1
inline REAL focal_miss(REAL x, REAL t)
{
    return sigmoid_of(-x) * t + sigmoid_of(x) * (1 - t);
}

inline REAL focal_ce(REAL x, REAL t)
{
    return t * softplus_of(-x) + (1 - t) * softplus_of(x);
}

// gamma miss^(gamma - 1); at miss = 0 its factor ce is 0 as well
inline REAL focal_slope(REAL miss, REAL ce, REAL gamma)
{
    return gamma == 0 || ce == 0 ? 0 : gamma * pow(miss, gamma - 1);
}

inline REAL sigmoid_focal_loss_value(REAL x, REAL t, REAL p, REAL q)
{
    return focal_weight(t, p) * pow(focal_miss(x, t), q) * focal_ce(x, t);
}

// d miss/dx = (1 - 2t) p (1 - p), d ce/dx = p - t
inline REAL sigmoid_focal_loss_derivative_x(REAL x, REAL t, REAL p, REAL q)
{
    const REAL miss = focal_miss(x, t), ce = focal_ce(x, t);
    const REAL miss_x = (1 - 2 * t) * sigmoid_of(x) * sigmoid_of(-x);
    return focal_weight(t, p) * (pow(miss, q) * (sigmoid_of(x) - t) + focal_slope(miss, ce, q) * miss_x * ce);
}

// d alpha_t/dt = 2 alpha - 1, d miss/dt = 1 - 2p, d ce/dt = -x
inline REAL sigmoid_focal_loss_derivative_t(REAL x, REAL t, REAL p, REAL q)
{
    const REAL miss = focal_miss(x, t), ce = focal_ce(x, t), modulation = pow(miss, q);
    const REAL weight_t = p < 0 ? 0 : 2 * p - 1, miss_t = sigmoid_of(-x) - sigmoid_of(x);
    return weight_t * modulation * ce
        + focal_weight(t, p) * (focal_slope(miss, ce, q) * miss_t * ce - modulation * x);
}
