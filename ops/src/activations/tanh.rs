//! Hyperbolic tangent, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Hyperbolic tangent.
///
/// # Formula
/// `y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = (1 - y^2) dy`
///
/// # Edge cases
/// Exactly -1 and 1 at large magnitudes, with derivative 0.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, -1000.0]).into());
/// let y = termwise_ops::tanh(&x);
/// assert_eq!(y.value().as_slice(), [0.0, -1.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [4.0, 0.0]);
/// ```
pub fn tanh<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Tanh, x)
}

#[derive(Clone, Copy)]
struct Tanh;

impl Elementwise for Tanh {
    const NAME: &'static str = "tanh";
    const SAVES: Saves = Saves::Output;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        math::tanh(x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, y: V) -> V {
        V::of(1.0) - y * y
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |scale: f64, shape: &[usize]| {
        Case::new("tanh", format!("scale {scale}"), shape, move |shape, samples| {
            Built::new([("x", samples.normal(shape) * scale)], |v| tanh(&v[0]))
        })
    };
    vec![case(1.0, &[1]), case(1.0, &[3, 7]), case(2.0, &[2, 3, 2, 5]), case(30.0, &[9]), case(1.0, &[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        let x = numbers(400, 5, -12.0, 12.0);
        check(Tanh, &x, [f64::tanh, |x| 1.0 / x.cosh().powi(2)], 4.0, 1.0);
    }
}
