//! The natural logarithm.

use num_traits::Float;

use super::{Vector, polynomial, single};
use crate::Scalar;

/// `ln(x)`: `-inf` at 0 (denormal numbers count as 0), NaN below.
#[inline(always)]
pub fn ln<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::ln);
    }
    const P: [f64; 8] = [
        0.333_333_167_394,
        -0.250_008_104_081_9,
        0.200_022_858_655_8,
        -0.166_245_541_758_7,
        0.141_811_953_447_7,
        -0.131_287_526_430_6,
        0.128_816_411_658_3,
        -0.078_596_246_242_17,
    ];
    // x = m 2^e with m in sqrt(1/2) .. sqrt(2), f = m - 1 exactly
    let (m, e) = x.frexp();
    let one = V::of(1.0);
    let high = V::of(std::f64::consts::SQRT_2).lt(m);
    let f = V::select(high, m * V::of(0.5), m) - one;
    let e = V::select(high, e + one, e);
    // ln m = f - f^2 / 2 + f^3 p(f); e ln 2 in two parts, the first of which is exact
    let square = f * f;
    let tail = e.mul_add(V::of(-2.121_944_400_547e-4), polynomial(f, P) * square * f);
    let tail = square.neg_mul_add(V::of(0.5), tail);
    let y = e.mul_add(V::of(0.693_359_375), f + tail);
    let infinite = V::splat(V::Element::infinity());
    let y = V::select(x.lt(infinite), y, x);
    let y = V::select(x.lt(V::splat(V::Element::of(f32::MIN_POSITIVE.into()))), -infinite, y);
    V::select(x.lt(V::zero()), V::splat(V::Element::nan()), y)
}

/// `ln(1 + x)` for `x >= 0`, with all digits for small `x`.
#[inline(always)]
pub fn ln_1p<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::ln_1p);
    }
    // ln(1 + x) = ln s + (1 + x - s) / s to first order, s being 1 + x rounded.
    let one = V::of(1.0);
    let sum = one + x;
    let lost = x - (sum - one);
    let y = ln(sum) + lost / sum;
    V::select(x.lt(V::splat(V::Element::infinity())), y, x)
}
