// What every kernel file begins with. REAL is float, or double where DOUBLE is defined.

#ifdef DOUBLE
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#define REAL double
#else
#define REAL float
#endif

// Work-items of a work-group, the same for all kernels: GROUP in launch.rs.
#define GROUP 64
#define KERNEL __kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))

#define MAX_AXES 8
#define MAX_OPERANDS 3

// How up to three arrays lie under one shape: a nest of loops, outermost first, and the step of each array
// in each loop. Made by Strides in layout.rs.
typedef struct {
    int axes;
    int extents[MAX_AXES];
    int steps[MAX_OPERANDS][MAX_AXES];
} Strides;

// Offset of each array at a row-major position. Indices into the struct are constants once the loop is
// unrolled, so that it stays where arguments lie.
inline int3 strides_offsets(const Strides s, int position)
{
    int3 offsets = (int3)(0, 0, 0);
#pragma unroll
    for (int axis = MAX_AXES - 1; axis > 0; axis--) {
        if (axis < s.axes) {
            const int outer = position / s.extents[axis];
            const int at = position - outer * s.extents[axis];
            offsets += at * (int3)(s.steps[0][axis], s.steps[1][axis], s.steps[2][axis]);
            position = outer;
        }
    }
    return offsets + position * (int3)(s.steps[0][0], s.steps[1][0], s.steps[2][0]);
}

inline REAL sigmoid_of(REAL x)
{
    // No overflow on either side.
    const REAL e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

// The sum over a work-group, in a fixed order; every work-item gets it. All must call it.
inline REAL group_sum(REAL value, __local REAL *scratch)
{
    const int item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[item] = value;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] += scratch[item + half_of];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return scratch[0];
}

// The maximum of two numbers, NaN if there is one.
inline REAL max_or_nan(REAL a, REAL b)
{
    return isnan(a) ? a : (b < a ? a : b);
}

// The maximum over a work-group, NaN if there is one; every work-item gets it. All must call it.
inline REAL group_max(REAL value, __local REAL *scratch)
{
    const int item = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[item] = value;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] = max_or_nan(scratch[item], scratch[item + half_of]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return scratch[0];
}

// The sign of x, 0 at 0, NaN at NaN.
inline REAL sign_of(REAL x)
{
    return isnan(x) ? x : (x == 0 ? 0 : copysign((REAL)1, x));
}

// log(1 + exp(x)), finite for any finite x.
inline REAL softplus_of(REAL x)
{
    return log1p(exp(-fabs(x))) + (x < 0 ? 0 : x);
}
