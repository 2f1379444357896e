// neg: y = -x. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) neg_##what

inline REAL neg_value(REAL x, REAL p, REAL q)
{
    return -x;
}

// dy/dx = -1
inline REAL neg_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return -1;
}
