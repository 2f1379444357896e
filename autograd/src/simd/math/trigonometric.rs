//! Sine and cosine.

use std::f64::consts::FRAC_2_PI;

use num_traits::{Float, One};

use super::{Vector, polynomial, single};
use crate::Scalar;

/// `sin(x)`; NaN for infinities.
#[inline(always)]
pub fn sin<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::sin);
    }
    let (n, r) = reduce(x);
    // So close to 0 that the cubic term is nothing; -0 stays -0.
    let y = V::select(x.abs().lt(V::of(1.0 / 4096.0)), x, sin_of_turns(n, r));
    by_library_if_large(x, y, Float::sin)
}

/// `cos(x)`; NaN for infinities.
#[inline(always)]
pub fn cos<V: Vector>(x: V) -> V {
    if !single::<V>() {
        return x.map(Float::cos);
    }
    let (n, r) = reduce(x);
    // cos x = sin(x + pi / 2)
    by_library_if_large(x, sin_of_turns(n + V::splat(V::Element::one()), r), Float::cos)
}

/// Up to here products of the parts of pi/2 with the number of quarter turns are exact.
const LARGE: f64 = 8192.0;

/// `(n, r)` with `x = n pi / 2 + r`, `n` whole and `|r| <= pi / 4`, for `|x| <= LARGE` (Cody and Waite).
#[inline(always)]
fn reduce<V: Vector>(x: V) -> (V, V) {
    // Each but the last has 11 digits, n at most 13: their products are exact.
    const HALF_PI: [f64; 5] = [
        1.570_312_5,
        4.837_512_969_970_703e-4,
        7.549_533_620_476_723e-8,
        2.563_282_919_254_561_4e-12,
        6.123_234_262_925_839e-17,
    ];
    let n = (x * V::of(FRAC_2_PI)).round();
    let parts = HALF_PI.map(V::of);
    // Exact: the digits that remain fit.
    let first = n.neg_mul_add(parts[1], n.neg_mul_add(parts[0], x));
    // Rounded, unless most digits cancel; what rounding took off goes on to the next difference.
    let second = n.neg_mul_add(parts[2], first);
    let lost = n.neg_mul_add(parts[2], first - second);
    let third = second - n.mul_sub(parts[3], lost);
    (n, n.neg_mul_add(parts[4], third))
}

/// `sin(n pi / 2 + r)`.
#[inline(always)]
fn sin_of_turns<V: Vector>(n: V, r: V) -> V {
    const S: [f64; 3] = [-0.166_666_545_366_4, 0.008_332_156_054_354, -1.951_463_195_863e-4];
    const C: [f64; 3] = [0.041_666_645_554_95, -0.001_388_730_988_378, 2.443_241_439_976e-5];
    let square = r * r;
    let sin = polynomial(square, S).mul_add(square * r, r);
    let one = V::of(1.0);
    let cos = polynomial(square, C).mul_add(square * square, square.neg_mul_add(V::of(0.5), one));
    // m = n modulo 4, from -2 to 2: sin r, cos r, -sin r, -cos r for 0, 1, +-2, -1
    let m = (n * V::of(0.25)).round().neg_mul_add(V::of(4.0), n);
    let odd = (m.abs() - one).abs().lt(V::of(0.5));
    let y = V::select(odd, cos, sin);
    let y = V::select(m.lt(V::of(-0.5)), -y, y);
    V::select(V::of(1.5).lt(m), -y, y)
}

/// `y`, or the library's answers for all lanes where one of `x` is too large for `y` to be right.
#[inline(always)]
fn by_library_if_large<V: Vector>(x: V, y: V, f: impl Fn(V::Element) -> V::Element) -> V {
    let size = V::select(x.is_nan(), V::zero(), x.abs());
    if size.max_lane() > V::Element::of(LARGE) { x.map(f) } else { y }
}
