//! The error function and the normal distribution.

use std::f64::consts::FRAC_1_SQRT_2;

use super::exponential::exp_of_sum;
use super::{Vector, at_most, exp_nonpositive, polynomial, single};
use crate::Scalar;

/// The error function, `2 / sqrt(pi)` times the integral of `exp(-t^2)` over 0 .. x.
#[inline(always)]
pub fn erf<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(|x| V::Element::of(libm::erf(x.as_f64())));
    }
    // erf x = x + x p(x^2) near 0, 1 - exp(-t q(t)) elsewhere
    const P: [f64; 6] = [
        0.128_379_147_690_2,
        -0.376_124_810_984_4,
        0.112_816_825_217_7,
        -0.026_761_719_099_17,
        0.004_985_939_442_268,
        -5.953_735_882_788e-4,
    ];
    const Q: [f64; 6] = [
        -1.128_511_148_964,
        -0.635_729_119_586,
        -0.105_247_675_052_9,
        0.022_880_917_533_76,
        -0.003_212_144_414_589,
        2.136_449_667_172e-4,
    ];
    const SCALE: f64 = 256.0;
    let size = x.abs();
    // Scaled up, so that no part of the sum is denormal where the sum is not.
    let large = x * V::of(SCALE);
    let near = polynomial(x * x, P).mul_add(large, large) * V::of(1.0 / SCALE);
    // Beyond 4 it is 1 to the last digit.
    let t = V::of(4.0).min(size);
    let far = (V::of(1.0) - exp_nonpositive(polynomial(t, Q) * t)).copysign(x);
    let y = V::select(size.lt(V::of(0.93)), near, far);
    V::select(x.is_nan(), x, y)
}

/// `(P(X <= x), exp(-x^2 / 2))` for a standard normal `X`: `(1 + erf(x / sqrt 2)) / 2` with all digits of the
/// lower tail, and `sqrt(2 pi)` times its derivative.
///
/// In `f32` at most 6 units in the last place from the true values; 0 where they would be denormal.
#[inline(always)]
pub fn normal<V: Vector>(x: V) -> (V, V) {
    if !single::<V>() {
        let below = x.map(|x| V::Element::of(0.5 * libm::erfc(-x.as_f64() * FRAC_1_SQRT_2)));
        return (below, exp_nonpositive(x * x * V::of(-0.5)));
    }
    // P(X <= -t) = exp(-t^2 / 2) p(t) / q(t) for t >= 0
    const P: [f64; 5] = [
        0.500_000_002_463_9,
        0.435_569_354_366_2,
        0.181_220_583_645_2,
        0.039_955_241_179_85,
        0.004_015_923_889_034,
    ];
    const Q: [f64; 6] = [
        1.0,
        1.669_023_625_091,
        1.194_125_240_974,
        0.464_152_903_783_5,
        0.100_160_362_484_3,
        0.010_066_284_024_69,
    ];
    // At 13.3 both are 0.
    let t = at_most(x.abs(), V::of(13.3));
    let kernel = exp_minus_half_square(t);
    let tail = kernel * polynomial(t, P) / polynomial(t, Q);
    (V::select(x.lt(V::zero()), tail, V::of(1.0) - tail), kernel)
}

/// `exp(-t^2 / 2)` for `t >= 0`. The rounding error of a large square would be many units in the last
/// place of its exponential, so the square is taken in two parts.
#[inline(always)]
fn exp_minus_half_square<V: Vector>(t: V) -> V {
    let half = V::of(0.5);
    if V::FUSED {
        let square = t * t;
        let rest = t.mul_sub(t, square);
        exp_of_sum(square * -half, rest * -half)
    } else {
        // The upper 12 bits of t (Veltkamp), whose square is exact.
        let shifted = t * V::of(4097.0);
        let upper = shifted - (shifted - t);
        exp_of_sum(upper * upper * -half, (upper - t) * (upper + t) * half)
    }
}
