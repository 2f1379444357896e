//! Negative: `y = -x`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Negative of each element.
///
/// # Formula
/// `y = -x`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = -dy`
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 1.0]).into());
/// let y = termwise_ops::neg(&x);
/// assert_eq!(y.value().as_slice(), [3.0, -1.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 5.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [-2.0, -5.0]);
/// ```
pub fn neg<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Neg, x)
}

#[derive(Clone, Copy)]
struct Neg;

impl Elementwise for Neg {
    const NAME: &'static str = "neg";
    const SAVES: Saves = Saves::Nothing;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        -x
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, _: V) -> V {
        V::of(-1.0)
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("neg", "", shape, |shape, samples| {
            Built::new([("x", samples.normal(shape))], |v| neg(&v[0]))
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
        check(Neg, &numbers(200, 14, -3.0, 3.0), [|x| -x, |_| -1.0], 0.0, 0.0);
    }
}
