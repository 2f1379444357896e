// What a device can do at most. A work-item works on its own numbers alone.

// CHAINS independent chains of multiply-adds in registers, each of 16 * rounds; what they come to is written so that
// nothing is left out.
#define CHAINS 16
KERNEL void rate_fma(__global REAL *y, REAL factor, REAL term, int rounds)
{
    REAL chains[CHAINS];
#pragma unroll
    for (int c = 0; c < CHAINS; c++) chains[c] = c;
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < 16; i++) {
#pragma unroll
            for (int c = 0; c < CHAINS; c++) chains[c] = fma(chains[c], factor, term);
        }
    }
    REAL sum = 0;
#pragma unroll
    for (int c = 0; c < CHAINS; c++) sum += chains[c];
    y[get_global_id(0)] = sum;
}

// 4 chains of exponentials, each of rounds.
KERNEL void rate_exp(__global REAL *y, REAL factor, int rounds)
{
    REAL chains[4];
#pragma unroll
    for (int c = 0; c < 4; c++) chains[c] = c;
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int c = 0; c < 4; c++) chains[c] = exp(factor * chains[c]);
    }
    y[get_global_id(0)] = chains[0] + chains[1] + chains[2] + chains[3];
}

// a = b + s c
KERNEL void rate_triad(__global REAL *a, __global const REAL *b, __global const REAL *c, REAL s, int count)
{
    const int i = get_global_id(0);
    if (i < count) a[i] = fma(s, c[i], b[i]);
}
