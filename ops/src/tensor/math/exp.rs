//! Exponential: `y = exp(x)`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Exponential of each element.
///
/// # Formula
/// `y = exp(x)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = y dy`
///
/// # Edge cases
/// Overflows to infinity above about 88.7 in `f32` and 709.8 in `f64`, underflows to 0.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, f64::NEG_INFINITY]).into());
/// let y = termwise_ops::exp(&x);
/// assert_eq!(y.value().as_slice(), [1.0, 0.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 2.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 0.0]);
/// ```
pub fn exp<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Exp, x)
}

#[derive(Clone, Copy)]
struct Exp;

impl Elementwise for Exp {
    const NAME: &'static str = "exp";
    const SAVES: Saves = Saves::Output;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        math::exp(x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, y: V) -> V {
        y
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("exp", "", shape, |shape, samples| {
            Built::new([("x", samples.normal(shape))], |v| exp(&v[0]))
        })
    };
    vec![case(&[1]), case(&[3, 7]), case(&[2, 3, 2, 5]), case(&[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        check(Exp, &numbers(400, 12, -80.0, 80.0), [f64::exp, f64::exp], 2.0, 0.0);
        check(Exp, &[f64::NAN, f64::INFINITY, -f64::INFINITY, 0.0], [f64::exp, f64::exp], 0.0, 0.0);
    }
}
