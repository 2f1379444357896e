// dropout: y_i = keep_i factor x_i, forward and backward alike. keep_i is 1 where the upper 32 bits of SplitMix64's
// hash at step i + 1 from `start`, the hashed seed, are at least `threshold`: the mask of termwise_ops::dropout_keeps,
// the same bits on every device. A work-item computes one element.

// The finaliser of SplitMix64.
inline ulong mix(ulong z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
    return z ^ (z >> 31);
}

KERNEL void dropout(
    __global const REAL *x, __global REAL *y, ulong start, ulong threshold, REAL factor, int count)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    const ulong state = start + ((ulong)i + 1) * 0x9e3779b97f4a7c15UL;
    // A selection and no product, which would make NaN of an infinite factor.
    y[i] = mix(state) >> 32 >= threshold ? factor * x[i] : 0;
}
