// Follows the file of an op, in which #define NAME(what) sum_##what makes the names.
// Reduces an array over some axes. NAME(start)() is the result of nothing, NAME(step)(so_far, x, pivot)
// takes in an element, NAME(merge)(a, b) joins two parts; pivot is an array of the result's shape, or null for 0.
//
// x[kept offset of o + reduced offset of r] belongs to result o; the r are dealt out to `parts` of `length` each, and
// part p of result o is out[p * results + o]. With one part the result is multiplied by factor.

// A work-item computes one part of one result: for neighbouring results that are neighbours in x.
KERNEL void NAME(fold_items)(
    __global const REAL *x, __global const REAL *pivot, __global REAL *out, Strides kept, Strides reduced,
    int results, int count, int parts, int length, REAL factor)
{
    const int id = get_global_id(0);
    if (id >= results * parts) return;
    const int result = id % results, first = id / results * length;
    const int last = min(first + length, count);
    const int base = strides_offsets(kept, result).x;
    const REAL centre = pivot ? pivot[result] : 0;
    REAL so_far = NAME(start)();
    for (int r = first; r < last; r++) {
        so_far = NAME(step)(so_far, x[base + strides_offsets(reduced, r).x], centre);
    }
    out[id] = factor * so_far;
}

// A work-group computes one part of one result: for few results, or where what is reduced are neighbours in x.
KERNEL void NAME(fold_groups)(
    __global const REAL *x, __global const REAL *pivot, __global REAL *out, Strides kept, Strides reduced,
    int results, int count, int parts, int length, REAL factor)
{
    __local REAL scratch[GROUP];
    const int id = get_group_id(0), item = get_local_id(0);
    const int result = id % results, first = id / results * length;
    const int last = min(first + length, count);
    const int base = strides_offsets(kept, result).x;
    const REAL centre = pivot ? pivot[result] : 0;
    REAL so_far = NAME(start)();
    for (int r = first + item; r < last; r += GROUP) {
        so_far = NAME(step)(so_far, x[base + strides_offsets(reduced, r).x], centre);
    }
    scratch[item] = so_far;
    for (int half_of = GROUP / 2; half_of > 0; half_of /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_of) scratch[item] = NAME(merge)(scratch[item], scratch[item + half_of]);
    }
    if (item == 0) out[id] = factor * scratch[0];
}

// Joins the parts of each result. A work-item computes one result.
KERNEL void NAME(fold_parts)(__global const REAL *partial, __global REAL *out, int results, int parts, REAL factor)
{
    const int result = get_global_id(0);
    if (result >= results) return;
    REAL so_far = partial[result];
    for (int part = 1; part < parts; part++) so_far = NAME(merge)(so_far, partial[part * results + result]);
    out[result] = factor * so_far;
}
