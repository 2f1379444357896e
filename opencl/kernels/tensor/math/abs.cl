// abs: y = |x|. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) abs_##what

inline REAL abs_value(REAL x, REAL p, REAL q)
{
    return fabs(x);
}

// dy/dx = the sign of x, 0 at 0, NaN at NaN
inline REAL abs_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return sign_of(x);
}
