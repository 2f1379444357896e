//! Gaussian error linear unit: `y = x P(X <= x)` for a standard normal `X`, elementwise on any shape.
//!
//! Exact, by the error function, and in the approximation by `tanh`. Source: Hendrycks and Gimpel,
//! "Gaussian Error Linear Units", arXiv 1606.08415.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Gaussian error linear unit, exact.
///
/// # Formula
/// `y = x P(x)`, `P(x) = (1 + erf(x / sqrt 2)) / 2`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = (P(x) + x exp(-x^2 / 2) / sqrt(2 pi)) dy`
///
/// # Edge cases
/// Far below 0 exactly 0, far above exactly `x`; `-inf` gives NaN, as the product `-inf 0`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, 1.0, 50.0, -50.0]).into());
/// let y = termwise_ops::gelu(&x);
/// assert!((y.value().as_slice()[1] - 0.841344746068543).abs() < 1e-15);
/// assert_eq!(y.value().as_slice()[2..], [50.0, 0.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 0.0, 4.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 0.0, 4.0, 0.0]);
/// ```
pub fn gelu<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Gelu, x)
}

/// Gaussian error linear unit in its approximation by `tanh`.
///
/// # Formula
/// `y = x (1 + tanh u) / 2`, `u = sqrt(2 / pi) (x + 0.044715 x^3)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = ((1 + t) / 2 + x (1 - t^2) u' / 2) dy` with `t = tanh u`, `u' = sqrt(2 / pi) (1 + 3 0.044715 x^2)`
///
/// # Edge cases
/// Far below 0 exactly 0, far above exactly `x`; `-inf` gives NaN, as the product `-inf 0`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, 1.0, 50.0, -50.0]).into());
/// let y = termwise_ops::gelu_tanh(&x);
/// assert!((y.value().as_slice()[1] - 0.8411919906082768).abs() < 1e-15);
/// assert_eq!(y.value().as_slice()[2..], [50.0, 0.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 0.0, 4.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 0.0, 4.0, 0.0]);
/// ```
pub fn gelu_tanh<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(GeluTanh, x)
}

#[derive(Clone, Copy)]
struct Gelu;

/// From here on `P` is 1 to the last digit in any number type.
const BEYOND: f64 = 100.0;

impl Elementwise for Gelu {
    const NAME: &'static str = "gelu";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        // x P(x) = max(x, 0) - |x| P(-|x|). The minimum is for infinite x: the product with 0 is to be
        // NaN at the lower end only.
        let size = V::of(BEYOND).min(x).abs();
        let (tail, _) = math::normal_tail(size);
        size.neg_mul_add(tail, V::zero().max(x))
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        let (below, kernel) = math::normal(x);
        let density = kernel * V::of(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
        below + x * density
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

/// `sqrt(2 / pi)`
const SLOPE: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f64 = 0.044715;

impl Elementwise for GeluTanh {
    const NAME: &'static str = "gelu_tanh";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x * gate(x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        let gate = gate(x);
        let slope = V::of(2.0 * SLOPE) * (V::of(1.0) + V::of(3.0 * CUBIC) * x * x);
        // Far out the gate is 0 or 1 to the last digit, and the slope may have overflowed.
        let bend = gate * (V::of(1.0) - gate);
        V::select(bend.eq(V::zero()), gate, gate + x * bend * slope)
    }
}

/// `(1 + tanh u) / 2`, which is the logistic function of `2 u`: as exact, and cheaper.
#[inline(always)]
fn gate<V: Vector>(x: V) -> V {
    math::sigmoid(V::of(2.0 * SLOPE) * (x + V::of(CUBIC) * x * x * x))
}

/// Test cases of [`gelu`] and [`gelu_tanh`].
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |tanh: bool, scale: f64, shape: &[usize]| {
        let op = if tanh { "gelu_tanh" } else { "gelu" };
        Case::new(op, format!("scale {scale}"), shape, move |shape, samples| {
            let x = samples.normal(shape) * scale;
            Built::new([("x", x)], move |v| if tanh { gelu_tanh(&v[0]) } else { gelu(&v[0]) })
        })
    };
    let both = |scale: f64, shape: &[usize]| [case(false, scale, shape), case(true, scale, shape)];
    [both(1.0, &[1]), both(1.0, &[3, 7]), both(2.0, &[2, 3, 2, 5]), both(30.0, &[9]), both(1.0, &[0, 3])]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::{check, check_value};
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        fn below(x: f64) -> f64 {
            0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
        }
        fn derivative(x: f64) -> f64 {
            below(x) + x * (-0.5 * x * x).exp() * 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2
        }
        let x = numbers(2000, 6, -12.5, 12.5);
        check(Gelu, &x, [|x| x * below(x), derivative], 4.0, 1.0);
        // All digits of the value, down to the far end of the tail.
        check_value(Gelu, &x, |x| x * below(x), 8.0, 0.0);
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        check(Gelu, &[-inf, nan, -50.0, 50.0], [|x| x * below(x), derivative], 0.0, 0.0);
    }

    #[test]
    fn the_approximation_by_tanh_agrees_with_numbers() {
        fn inner(x: f64) -> f64 {
            SLOPE * (x + CUBIC * x * x * x)
        }
        fn derivative(x: f64) -> f64 {
            let t = inner(x).tanh();
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SLOPE * (1.0 + 3.0 * CUBIC * x * x)
        }
        let x = numbers(400, 7, -6.0, 6.0);
        // The derivative holds a product with x^3, whose rounding grows with it.
        check(GeluTanh, &x, [|x| 0.5 * x * (1.0 + inner(x).tanh()), derivative], 8.0, 10.0);
    }
}
