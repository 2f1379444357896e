// cube: y = x^3. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) cube_##what

inline REAL cube_value(REAL x, REAL p, REAL q)
{
    return x * x * x;
}

// dy/dx = 3 x^2
inline REAL cube_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return 3 * x * x;
}
