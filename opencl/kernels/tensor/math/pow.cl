// pow: y = x^p. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) pow_##what

inline REAL pow_value(REAL x, REAL p, REAL q)
{
    return pow(x, p);
}

// dy/dx = p x^(p - 1)
inline REAL pow_derivative(REAL x, REAL y, REAL p, REAL q)
{
    // Not 0 x^-1, which is NaN at 0.
    return p == 0 ? 0 : p * pow(x, p - 1);
}
