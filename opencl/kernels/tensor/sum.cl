// sum: y = the sum of x over some axes. Kernels are those of common/fold.cl.
#define NAME(what) sum_##what

inline REAL sum_start(void)
{
    return 0;
}

inline REAL sum_step(REAL so_far, REAL x, REAL pivot)
{
    return so_far + x;
}

inline REAL sum_merge(REAL a, REAL b)
{
    return a + b;
}
