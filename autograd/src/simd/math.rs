//! Exponential and its kin on vectors: at most 2 units in the last place from the true value in `f32`,
//! exact at the ends (infinities, NaN, zero).
//!
//! `f64` goes through the standard library lane by lane: it checks gradients, it does not train.

use num_traits::Float;

use super::Vector;
use crate::Scalar;

/// Whether the lanes are `f32`, for which there are polynomials.
#[inline(always)]
const fn single<V: Vector>() -> bool {
    size_of::<V::Element>() == size_of::<f32>()
}

#[inline(always)]
fn c<V: Vector>(value: f64) -> V {
    V::splat(V::Element::of(value))
}

/// `exp(x)`. Below about -87.34, where the result would be denormal, it is 0.
#[inline(always)]
pub fn exp<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::exp);
    }
    let y = exp_normal(x);
    let y = V::select(x.lt(c(LOWEST)), V::zero(), y);
    let y = V::select(c::<V>(HIGHEST).lt(x), V::splat(V::Element::infinity()), y);
    V::select(x.is_nan(), x, y)
}

/// `exp(x)` for `x <= 0`, `-inf` included; unspecified for other `x` and for NaN. A little faster.
#[inline(always)]
pub fn exp_nonpositive<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::exp);
    }
    V::select(x.lt(c(LOWEST)), V::zero(), exp_normal(x))
}

/// `2^x` for `x < 128`, `-inf` included; unspecified above, NaN for NaN. At -127 and below it is 0.
///
/// `x = n + f` with whole `n` and `|f| <= 1/2`; a polynomial gives `2^f`.
#[inline(always)]
pub fn exp2<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::exp2);
    }
    // At the lower end n = -127 and f = 0, so that 1 * 2^n has no bit set but, at most, a denormal's.
    let x = c::<V>(-127.0).max(x);
    let n = x.round();
    let f = x - n;
    let p = c::<V>(1.535_336_200_4e-4);
    let p = p.mul_add(f, c(1.339_887_445_3e-3));
    let p = p.mul_add(f, c(9.618_437_357_6e-3));
    let p = p.mul_add(f, c(5.550_332_471e-2));
    let p = p.mul_add(f, c(2.402_264_791_4e-1));
    let p = p.mul_add(f, c(6.931_472_028_6e-1));
    let p = p.mul_add(f, c(1.0));
    p.ldexp(n)
}

/// Logarithm of the smallest normal number, rounded up.
const LOWEST: f64 = -87.336_54;
/// Logarithm of the largest number, rounded down.
const HIGHEST: f64 = 88.722_83;

/// `exp` where the result is normal; elsewhere some number.
///
/// `x = n ln 2 + r` with whole `n`, so `exp x = 2^n exp r`, `|r| <= ln 2 / 2`, and a polynomial gives
/// `exp r = 1 + r + r^2 (1/2 + ...)`. `n ln 2` is subtracted in two parts, the first of them exact.
#[inline(always)]
fn exp_normal<V: Vector>(x: V) -> V {
    let x = c::<V>(LOWEST).max(c::<V>(HIGHEST).min(x));
    let n = (x * c(std::f64::consts::LOG2_E)).round();
    let r = n.neg_mul_add(c(0.693_359_375), x);
    let r = n.neg_mul_add(c(-2.121_944_400_546_905_8e-4), r);
    let p = c::<V>(1.987_569_15e-4);
    let p = p.mul_add(r, c(1.398_199_950_7e-3));
    let p = p.mul_add(r, c(8.333_451_907_3e-3));
    let p = p.mul_add(r, c(4.166_579_589_4e-2));
    let p = p.mul_add(r, c(1.666_666_545_9e-1));
    let p = p.mul_add(r, c(5.000_000_120_1e-1));
    let p = p.mul_add(r * r, r) + c(1.0);
    p.ldexp(n)
}
