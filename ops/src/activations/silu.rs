//! Sigmoid linear unit, also known as swish: `y = x sigmoid(x)`, elementwise on any shape.
//!
//! Source: Elfwing et al., "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in
//! Reinforcement Learning", Neural Networks 2018.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Sigmoid linear unit.
///
/// # Formula
/// `y = x sigmoid(x)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = s (1 + x (1 - s)) dy` with `s = sigmoid(x)`
///
/// # Edge cases
/// Finite for every finite `x`; `-inf` gives NaN, as the product `-inf 0`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, 1000.0]).into());
/// let y = termwise_ops::silu(&x);
/// assert_eq!(y.value().as_slice(), [0.0, 1000.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 4.0]);
/// ```
pub fn silu<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Silu, x)
}

#[derive(Clone, Copy)]
struct Silu;

impl Elementwise for Silu {
    const NAME: &'static str = "silu";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x * math::sigmoid(x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        let s = math::sigmoid(x);
        s * (V::of(1.0) + x * (V::of(1.0) - s))
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |scale: f64, shape: &[usize]| {
        Case::new("silu", format!("scale {scale}"), shape, move |shape, samples| {
            Built::new([("x", samples.normal(shape) * scale)], |v| silu(&v[0]))
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
        let x = numbers(400, 4, -30.0, 30.0);
        fn s(x: f64) -> f64 {
            1.0 / (1.0 + (-x).exp())
        }
        // The derivative holds a product with x, whose rounding grows with it: up to 30.
        check(Silu, &x, [|x| x * s(x), |x| s(x) * (1.0 + x * s(-x))], 6.0, 30.0);
    }
}
