// minimum: y = min(a, b), NaN if there is one. Operands broadcast; kernels are those of common/binary.cl.
#define NAME(what) minimum_##what

inline REAL minimum_value(REAL a, REAL b)
{
    return isnan(a) ? a : (a < b ? a : b);
}

// dy/da = 1 where a < b, 1/2 where they are equal
inline REAL minimum_derivative_a(REAL a, REAL b)
{
    return a < b ? 1 : (a == b ? (REAL)0.5 : 0);
}

// dy/db = 1 where b < a, 1/2 where they are equal
inline REAL minimum_derivative_b(REAL a, REAL b)
{
    return b < a ? 1 : (a == b ? (REAL)0.5 : 0);
}
