//! Square: `y = x^2`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Square of each element.
///
/// # Formula
/// `y = x^2`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = 2 x dy`
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 1.0]).into());
/// let y = termwise_ops::square(&x);
/// assert_eq!(y.value().as_slice(), [9.0, 1.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 5.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [-12.0, 10.0]);
/// ```
pub fn square<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Square, x)
}

#[derive(Clone, Copy)]
struct Square;

impl Elementwise for Square {
    const NAME: &'static str = "square";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x * x
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        x + x
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("square", "", shape, |shape, samples| {
            Built::new([("x", samples.normal(shape))], |v| square(&v[0]))
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
        check(Square, &numbers(200, 18, -3.0, 3.0), [|x| x * x, |x| 2.0 * x], 1.0, 0.0);
    }
}
