// sqrt: y = sqrt(x). Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) sqrt_##what

inline REAL sqrt_value(REAL x, REAL p, REAL q)
{
    return sqrt(x);
}

// dy/dx = 1 / (2 y)
inline REAL sqrt_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return (REAL)0.5 / y;
}
