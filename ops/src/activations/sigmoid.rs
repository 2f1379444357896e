//! Logistic function: `y = 1 / (1 + exp(-x))`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Logistic function.
///
/// # Formula
/// `y = 1 / (1 + exp(-x))`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = y (1 - y) dy`
///
/// # Edge cases
/// Finite at any magnitude: far below 0 it is exactly 0, far above exactly 1.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, -1000.0, 1000.0]).into());
/// let y = termwise_ops::sigmoid(&x);
/// assert_eq!(y.value().as_slice(), [0.5, 0.0, 1.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 4.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [1.0, 0.0, 0.0]);
/// ```
pub fn sigmoid<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Sigmoid, x)
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Elementwise for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const SAVES: Saves = Saves::Output;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        math::sigmoid(x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, y: V) -> V {
        y * (V::of(1.0) - y)
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |scale: f64, shape: &[usize]| {
        Case::new("sigmoid", format!("scale {scale}"), shape, move |shape, samples| {
            Built::new([("x", samples.normal(shape) * scale)], |v| sigmoid(&v[0]))
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
        let x = numbers(400, 3, -30.0, 30.0);
        let value = |x: f64| 1.0 / (1.0 + (-x).exp());
        // y (1 - y) loses the digits in which y and 1 agree: its error is that of 1.
        check(Sigmoid, &x, [value, |x| 1.0 / (2.0 + x.exp() + (-x).exp())], 4.0, 1.0);
        check(
            Sigmoid,
            &[f64::NAN, f64::INFINITY, -f64::INFINITY],
            [value, |x| if x.is_nan() { x } else { 0.0 }],
            0.0,
            0.0,
        );
    }
}
