// log: y = ln(x). Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) log_##what

inline REAL log_value(REAL x, REAL p, REAL q)
{
    return log(x);
}

// dy/dx = 1 / x
inline REAL log_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return 1 / x;
}
