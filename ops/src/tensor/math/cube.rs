//! Cube: `y = x^3`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Cube of each element.
///
/// # Formula
/// `y = x^3`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = 3 x^2 dy`
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 1.0]).into());
/// let y = termwise_ops::cube(&x);
/// assert_eq!(y.value().as_slice(), [-27.0, 1.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 5.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [54.0, 15.0]);
/// ```
pub fn cube<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Cube, x)
}

#[derive(Clone, Copy)]
struct Cube;

impl Elementwise for Cube {
    const NAME: &'static str = "cube";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x * x * x
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        V::of(3.0) * x * x
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("cube", "", shape, |shape, samples| {
            Built::new([("x", samples.normal(shape))], |v| cube(&v[0]))
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
        check(Cube, &numbers(200, 11, -3.0, 3.0), [|x| x * x * x, |x| 3.0 * x * x], 2.0, 0.0);
    }
}
