// relu: y = max(x, 0); NaN stays NaN. Elementwise on any shape; kernels are those of common/elementwise.cl.
#define NAME(what) relu_##what

inline REAL relu_value(REAL x, REAL p, REAL q)
{
    return x < 0 ? 0 : x;
}

// dy/dx = 1 where y > 0, else 0
inline REAL relu_derivative(REAL x, REAL y, REAL p, REAL q)
{
    return y > 0 ? 1 : 0;
}
