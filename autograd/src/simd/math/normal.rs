//! The error function and the normal distribution.

use std::f64::consts::FRAC_1_SQRT_2;

use super::exponential::{exp_reduced, reduce};
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
    let (tail, kernel) = normal_tail(x.abs());
    (V::select(x.lt(V::zero()), tail, V::of(1.0) - tail), kernel)
}

/// `(P(X > t), exp(-t^2 / 2))` for a standard normal `X` and `t >= 0`; as [`normal`].
#[inline(always)]
pub fn normal_tail<V: Vector>(t: V) -> (V, V) {
    if !single::<V>() {
        let tail = t.map(|t| V::Element::of(0.5 * libm::erfc(t.as_f64() * FRAC_1_SQRT_2)));
        return (tail, exp_nonpositive(t * t * V::of(-0.5)));
    }
    // exp(-t^2 / 2) p(t) / q(t)
    const P: [f64; 5] =
        [0.500_000_002_464, 0.435_569_354_366, 0.181_220_583_645, 0.039_955_241_179_8, 4.015_923_889_03e-3];
    const Q: [f64; 6] =
        [1.0, 1.669_023_625_09, 1.194_125_240_97, 0.464_152_903_784, 0.100_160_362_484, 0.010_066_284_024_7];
    let t = at_most(t, V::of(FAR));
    let kernel = exp_minus_half_square(t);
    (kernel * polynomial(t, P) / polynomial(t, Q), kernel)
}

/// Here `t^2 / 2` is just below 88, where the exponential is 0.
const FAR: f64 = 13.266;

/// `exp(-t^2 / 2)` for `t` in 0 .. `FAR`. The rounding error of a large square would be many units in the
/// last place of its exponential, so the square is taken in two parts.
#[inline(always)]
fn exp_minus_half_square<V: Vector>(t: V) -> V {
    let half = V::of(0.5);
    let (square, rest) = if V::FUSED {
        let square = t * t;
        (square, t.mul_sub(t, square))
    } else {
        // The upper 12 bits of t (Veltkamp), whose square is exact.
        let shifted = t * V::of(4097.0);
        let upper = shifted - (shifted - t);
        (upper * upper, (t - upper) * (t + upper))
    };
    let (n, r) = reduce(square * -half);
    exp_reduced(rest.neg_mul_add(half, r)).mul_exp2(n)
}
