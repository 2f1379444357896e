// gelu: y = x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2. Elementwise on any shape; kernels are those of
// common/elementwise.cl.
#define NAME(what) gelu_##what

// P(x), with all digits far below 0.
inline REAL normal_below(REAL x)
{
    return (REAL)0.5 * erfc(-x * (REAL)0.70710678118654752440);
}

inline REAL gelu_value(REAL x, REAL p, REAL q)
{
    return x * normal_below(x);
}

// dy/dx = P(x) + x exp(-x^2 / 2) / sqrt(2 pi)
inline REAL gelu_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return normal_below(x) + x * exp((REAL)-0.5 * x * x) * (REAL)0.39894228040143267794;
}
