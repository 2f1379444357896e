// div: y = a / b. Operands broadcast; kernels are those of common/binary.cl.
#define NAME(what) div_##what

inline REAL div_value(REAL a, REAL b)
{
    return a / b;
}

// dy/da = 1 / b
inline REAL div_derivative_a(REAL a, REAL b)
{
    return 1 / b;
}

// dy/db = -a / b^2
inline REAL div_derivative_b(REAL a, REAL b)
{
    return -a / (b * b);
}
