// add_scalar: y = x + p. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) add_scalar_##what

inline REAL add_scalar_value(REAL x, REAL p, REAL q)
{
    return x + p;
}

// dy/dx = 1
inline REAL add_scalar_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return 1;
}
