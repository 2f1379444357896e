// maximum: y = max(a, b), NaN if there is one. Operands broadcast; kernels are those of common/binary.cl.
#define NAME(what) maximum_##what

inline REAL maximum_value(REAL a, REAL b)
{
    return max_or_nan(a, b);
}

// dy/da = 1 where a > b, 1/2 where they are equal
inline REAL maximum_derivative_a(REAL a, REAL b)
{
    return b < a ? 1 : (a == b ? (REAL)0.5 : 0);
}

// dy/db = 1 where b > a, 1/2 where they are equal
inline REAL maximum_derivative_b(REAL a, REAL b)
{
    return a < b ? 1 : (a == b ? (REAL)0.5 : 0);
}
