// mse_loss: l = (x - t)^2. Kernels are those of common/pointwise_loss.cl.
#define NAME(what) mse_loss_##what

inline REAL mse_loss_value(REAL x, REAL t, REAL p, REAL q)
{
    return (x - t) * (x - t);
}

// dl/dx = 2 (x - t)
inline REAL mse_loss_derivative_x(REAL x, REAL t, REAL p, REAL q)
{
    return 2 * (x - t);
}

inline REAL mse_loss_derivative_t(REAL x, REAL t, REAL p, REAL q)
{
    return -2 * (x - t);
}
