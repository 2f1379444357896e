// gelu_tanh: y = x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3). Elementwise on any shape; kernels are those
// of common/elementwise.cl.
#define NAME(what) gelu_tanh_##what

#define SLOPE ((REAL)0.79788456080286535588)
#define CUBIC ((REAL)0.044715)

// (1 + tanh u) / 2, which is the logistic function of 2 u.
inline REAL gate(REAL x)
{
    return sigmoid_of(2 * SLOPE * (x + CUBIC * x * x * x));
}

inline REAL gelu_tanh_value(REAL x, REAL p, REAL q)
{
    return x * gate(x);
}

// dy/dx = s + x s (1 - s) 2 u' with s the gate
inline REAL gelu_tanh_derivative(REAL x, REAL y, REAL p, REAL q)
{
    const REAL s = gate(x), bend = s * (1 - s);
    // Far out s is 0 or 1 to the last digit, and the slope may have overflowed.
    return bend == 0 ? s : s + x * bend * 2 * SLOPE * (1 + 3 * CUBIC * x * x);
}
