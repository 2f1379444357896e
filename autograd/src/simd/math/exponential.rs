//! The exponential, and functions made of it.

use num_traits::Float;

use super::{Vector, at_least, polynomial, single};
use crate::Scalar;

/// `exp(x)`. Below about -87.34, where the result would be denormal, it is 0.
#[inline(always)]
pub fn exp<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::exp);
    }
    let (n, r) = reduce(V::of(LOWEST).max(V::of(HIGHEST).min(x)));
    let y = exp_reduced(r).ldexp(n);
    let y = V::select(x.lt(V::of(LOWEST)), V::zero(), y);
    let y = V::select(V::of(HIGHEST).lt(x), V::splat(V::Element::infinity()), y);
    V::select(x.is_nan(), x, y)
}

/// `exp(x)` for `x <= 0`, `-inf` included; unspecified for other `x`. NaN stays NaN. About half the work.
#[inline(always)]
pub fn exp_nonpositive<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::exp);
    }
    let (n, r) = reduce(at_least(x, V::of(ZERO)));
    exp_reduced(r).mul_exp2(n)
}

/// `2^x` for `x <= 127`, `-inf` included; unspecified above, NaN for NaN. At -127 and below it is 0.
///
/// `x = n + f` with whole `n` and `|f| <= 1/2`; a polynomial gives `2^f`.
#[inline(always)]
pub fn exp2<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::exp2);
    }
    // At the lower end n = -127, for which 2^n counts as 0.
    let x = V::of(-127.0).max(x);
    let n = x.round();
    let f = x - n;
    let p = polynomial(
        f,
        [
            1.0,
            6.931_472_028_6e-1,
            2.402_264_791_4e-1,
            5.550_332_471e-2,
            9.618_437_357_6e-3,
            1.339_887_445_3e-3,
            1.535_336_200_4e-4,
        ],
    );
    p.mul_exp2(n)
}

/// Logarithm of the smallest normal number, rounded up.
const LOWEST: f64 = -87.336_54;
/// Logarithm of the largest number, rounded down.
const HIGHEST: f64 = 88.722_83;
/// Here the power of two is the one that counts as 0.
const ZERO: f64 = -88.0;

/// `(n, r)` with `x = n ln 2 + r`, `n` whole and `|r| <= ln 2 / 2`.
#[inline(always)]
pub(super) fn reduce<V: Vector>(x: V) -> (V, V) {
    let n = (x * V::of(std::f64::consts::LOG2_E)).round();
    // In two parts: the first has so few digits that its products with n are exact.
    let r = n.neg_mul_add(V::of(0.693_359_375), x);
    (n, n.neg_mul_add(V::of(-2.121_944_400_547e-4), r))
}

/// `exp r = 1 + r + r^2 p(r)` for `|r| <= ln 2 / 2`.
const P: [f64; 5] = [
    0.499_999_934_333_5,
    0.166_665_203_976_2,
    0.041_668_390_467_62,
    0.008_368_745_253_264,
    0.001_381_455_827_68,
];

/// `exp(r)` for `|r|` up to about `ln 2 / 2`.
#[inline(always)]
pub(super) fn exp_reduced<V: Vector>(r: V) -> V {
    let one = V::of(1.0);
    if V::FUSED {
        polynomial(r, P).mul_add(r, one).mul_add(r, one)
    } else {
        // One product more, so that what is rounded twice is small.
        polynomial(r, P).mul_add(r * r, r) + one
    }
}

/// `x^exponent`: lane by lane through the standard library, but for the exponents 0, 1 and 2.
#[inline(always)]
pub fn pow<V: Vector>(x: V, exponent: f64) -> V {
    match exponent {
        0.0 => V::of(1.0),
        1.0 => x,
        2.0 => x * x,
        _ => {
            let exponent = V::Element::of(exponent);
            x.map(|x| x.powf(exponent))
        }
    }
}

/// The logistic function `1 / (1 + exp(-x))`.
#[inline(always)]
pub fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::of(1.0);
    // Through e = exp(-|x|), which does not overflow: e / (1 + e) below 0.
    let negative = x.lt(V::zero());
    let size = -x.abs();
    if !single::<V>() {
        let e = exp_nonpositive(size);
        return V::select(negative, e, one) / (one + e);
    }
    let (n, r) = reduce(at_least(size, V::of(ZERO)));
    let above_one = polynomial(r, P).mul_add(r * r, r);
    let rounded = one + above_one;
    let (e, e_lost) = (rounded.mul_exp2(n), (above_one - (rounded - one)).mul_exp2(n));
    let dividend = V::select(negative, e, one);
    let divisor = one + e;
    // What rounding took off e and off the divisor counts up to 1.5 units in the last place; it is added
    // after the division, itself divided by about 1 + e.
    let divisor_lost = e - (divisor - one);
    let lost = divisor_lost.neg_mul_add(dividend, V::select(negative, e_lost, V::zero()));
    lost.mul_add(e.neg_mul_add(V::of(0.5), one), dividend / divisor)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::tanh);
    }
    const TANH: [f64; 6] = [
        1.0,
        -0.333_332_819_421_6,
        0.133_314_422_023_3,
        -0.053_739_715_425_11,
        0.020_639_088_306_11,
        -0.005_704_988_118_215,
    ];
    let size = x.abs();
    let near = polynomial(x * x, TANH) * x;
    let e = exp_nonpositive(size * V::of(-2.0));
    let one = V::of(1.0);
    let far = ((one - e) / (one + e)).copysign(x);
    V::select(size.lt(V::of(0.625)), near, far)
}
