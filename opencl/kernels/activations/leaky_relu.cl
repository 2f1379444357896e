// leaky_relu: y = x where x > 0, else p x; p is the slope below 0. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) leaky_relu_##what

inline REAL leaky_relu_value(REAL x, REAL p, REAL q)
{
    return 0 < x ? x : p * x;
}

// dy/dx = 1 where x > 0, else p
inline REAL leaky_relu_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return 0 < x ? 1 : p;
}
