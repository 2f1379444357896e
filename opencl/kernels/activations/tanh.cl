// tanh: y = tanh(x). Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) tanh_##what

inline REAL tanh_value(REAL x, REAL p, REAL q)
{
    return tanh(x);
}

// dy/dx = 1 - y^2
inline REAL tanh_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return 1 - y * y;
}
