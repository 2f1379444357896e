// scale: y = p x. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) scale_##what

inline REAL scale_value(REAL x, REAL p, REAL q)
{
    return p * x;
}

// dy/dx = p
inline REAL scale_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return p;
}
