// sub: y = a - b. Operands broadcast; kernels are those of common/binary.cl.
#define NAME(what) sub_##what

inline REAL sub_value(REAL a, REAL b)
{
    return a - b;
}

// dy/da = 1
inline REAL sub_derivative_a(REAL a, REAL b)
{
    return 1;
}

// dy/db = -1
inline REAL sub_derivative_b(REAL a, REAL b)
{
    return -1;
}
