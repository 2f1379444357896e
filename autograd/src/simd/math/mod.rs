//! Exponential and its kin on vectors: in `f32` at most 2 units in the last place from the true value
//! ([`normal`]: 6) over the whole range of arguments, exact at the ends (infinities, NaN, zero).
//!
//! | function | how | largest error, fused / not fused |
//! |---|---|---|
//! | [`exp`], [`exp_nonpositive`] | `2^n exp r` with `|r| <= ln 2 / 2`, a polynomial in `r` | 0.87 / 0.95 |
//! | [`exp2`] | the same of 2 | 0.86 / 1.05 |
//! | [`sigmoid`] | by `exp(-|x|)` in two parts | 1.65 / 1.62 |
//! | [`tanh`] | by `exp(-2 |x|)`, near 0 an odd polynomial | 1.50 / 1.50 |
//! | [`ln`] | `e ln 2 + ln m` with `m` about 1, a polynomial in `m - 1` | 0.84 / 0.84 |
//! | [`ln_1p`] | by `ln` of the rounded sum, corrected | 1.24 / 1.24 |
//! | [`erf`] | `1 - exp(-p(|x|))`, near 0 an odd polynomial | 1.18 / 1.38 |
//! | [`normal`] | `exp(-x^2 / 2)` times a rational function of `|x|` | 5.6 / 5.6 |
//! | [`sin`], [`cos`] | polynomials on -pi/4 .. pi/4; beyond 8192 lane by lane | 1.55 / 1.55 |
//!
//! The errors are the largest over every 151st `f32`. The coefficients are minimax fits (Remez exchange) of
//! the relative error of the result, made for this module.
//!
//! `f64` goes through the standard library lane by lane: it checks gradients, it does not train.
//!
//! ```
//! use termwise_autograd::Scalar;
//! use termwise_autograd::simd::{self, Kernel, Vector, math};
//!
//! /// `x = sigmoid(x)`
//! struct Sigmoid<'a, T>(&'a mut [T]);
//!
//! impl<T: Scalar> Kernel<T> for Sigmoid<'_, T> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn run<V: Vector<Element = T>>(self) {
//!         for x in self.0.chunks_mut(V::LANES) {
//!             math::sigmoid(V::from_slice(x)).write_to(x);
//!         }
//!     }
//! }
//!
//! let mut x = [0.0f32, -200.0, 200.0, 3f32.ln(), f32::NAN];
//! simd::run(Sigmoid(&mut x));
//! assert_eq!(x[..3], [0.5, 0.0, 1.0]);
//! assert!((x[3] - 0.75).abs() < 1e-6 && x[4].is_nan());
//! ```

mod exponential;
mod logarithm;
mod normal;
mod trigonometric;

#[cfg(test)]
mod tests;

pub use exponential::{exp, exp_nonpositive, exp2, pow, sigmoid, tanh};
pub use logarithm::{ln, ln_1p};
pub use normal::{erf, normal, normal_tail};
pub use trigonometric::{cos, sin};

use super::Vector;

/// Whether the lanes are `f32`, for which there are polynomials.
#[inline(always)]
const fn single<V: Vector>() -> bool {
    size_of::<V::Element>() == size_of::<f32>()
}

/// `coefficients[0] + coefficients[1] x + ..`, by Horner's rule.
#[inline(always)]
fn polynomial<V: Vector, const N: usize>(x: V, coefficients: [f64; N]) -> V {
    let mut sum = V::of(coefficients[N - 1]);
    for i in (0..N - 1).rev() {
        sum = sum.mul_add(x, V::of(coefficients[i]));
    }
    sum
}

/// The larger of both; NaN where `x` is.
#[inline(always)]
fn at_least<V: Vector>(x: V, low: V) -> V {
    if cfg!(target_arch = "x86_64") { low.max(x) } else { V::select(x.lt(low), low, x) }
}

/// The smaller of both; NaN where `x` is.
#[inline(always)]
fn at_most<V: Vector>(x: V, high: V) -> V {
    if cfg!(target_arch = "x86_64") { high.min(x) } else { V::select(high.lt(x), high, x) }
}
