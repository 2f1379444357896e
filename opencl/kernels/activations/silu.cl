// silu: y = x sigmoid(x). Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) silu_##what

inline REAL silu_value(REAL x, REAL p, REAL q)
{
    return x * sigmoid_of(x);
}

// dy/dx = s (1 + x (1 - s)) with s = sigmoid(x)
inline REAL silu_derivative(REAL x, REAL y, REAL p, REAL q)
{
    const REAL s = sigmoid_of(x);
    return s * (1 + x * (1 - s));
}
