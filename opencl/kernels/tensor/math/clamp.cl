// clamp: y = min(max(x, p), q); NaN stays NaN. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) clamp_##what

inline REAL clamp_value(REAL x, REAL p, REAL q)
{
    return x < p ? p : (q < x ? q : x);
}

// dy/dx = 1 between p and q, else 0
inline REAL clamp_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return x < p || q < x ? 0 : 1;
}
