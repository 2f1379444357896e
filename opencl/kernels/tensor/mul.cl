// mul: y = a b. Operands broadcast; kernels are those of common/binary.cl.
#define NAME(what) mul_##what

inline REAL mul_value(REAL a, REAL b)
{
    return a * b;
}

// dy/da = b
inline REAL mul_derivative_a(REAL a, REAL b)
{
    return b;
}

// dy/db = a
inline REAL mul_derivative_b(REAL a, REAL b)
{
    return a;
}
