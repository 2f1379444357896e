// smooth_l1_loss: l = d^2 / (2 beta) where d = |x - t| is below beta, else d - beta / 2. Kernels are those of
// common/pointwise_loss.cl; p is beta.
#define NAME(what) smooth_l1_loss_##what

inline REAL smooth_l1_loss_value(REAL x, REAL t, REAL p, REAL q)
{
    const REAL d = fabs(x - t);
    return d < p ? (REAL)0.5 * d * d / p : d - (REAL)0.5 * p;
}

// dl/dx = (x - t) / beta near 0, else its sign
inline REAL smooth_l1_loss_derivative_x(REAL x, REAL t, REAL p, REAL q)
{
    const REAL d = x - t;
    return fabs(d) < p ? d / p : sign_of(d);
}

inline REAL smooth_l1_loss_derivative_t(REAL x, REAL t, REAL p, REAL q)
{
    return -smooth_l1_loss_derivative_x(x, t, p, q);
}
