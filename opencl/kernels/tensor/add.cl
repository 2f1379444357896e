// add: y = a + b. Operands broadcast; kernels are those of common/binary.cl.
#define NAME(what) add_##what

inline REAL add_value(REAL a, REAL b)
{
    return a + b;
}

// dy/da = 1
inline REAL add_derivative_a(REAL a, REAL b)
{
    return 1;
}

// dy/db = 1
inline REAL add_derivative_b(REAL a, REAL b)
{
    return 1;
}
