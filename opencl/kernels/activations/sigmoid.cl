// sigmoid: y = 1 / (1 + exp(-x)). Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) sigmoid_##what

inline REAL sigmoid_value(REAL x, REAL p, REAL q)
{
    return sigmoid_of(x);
}

// dy/dx = y (1 - y)
inline REAL sigmoid_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return y * (1 - y);
}
