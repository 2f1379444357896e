// l1_loss: l = |x - t|. Kernels are those of common/pointwise_loss.cl.
#define NAME(what) l1_loss_##what

inline REAL l1_loss_value(REAL x, REAL t, REAL p, REAL q)
{
    return fabs(x - t);
}

// dl/dx = sign(x - t)
inline REAL l1_loss_derivative_x(REAL x, REAL t, REAL p, REAL q)
{
    return sign_of(x - t);
}

inline REAL l1_loss_derivative_t(REAL x, REAL t, REAL p, REAL q)
{
    return -sign_of(x - t);
}
