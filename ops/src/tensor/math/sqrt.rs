//! Square root: `y = sqrt(x)`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Square root of each element.
///
/// # Formula
/// `y = sqrt(x)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = dy / (2 y)`
///
/// # Edge cases
/// At 0 the derivative is infinite; below it the root is NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[4.0, 0.25]).into());
/// let y = termwise_ops::sqrt(&x);
/// assert_eq!(y.value().as_slice(), [2.0, 0.5]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.25, 1.0]);
/// ```
pub fn sqrt<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Sqrt, x)
}

#[derive(Clone, Copy)]
struct Sqrt;

impl Elementwise for Sqrt {
    const NAME: &'static str = "sqrt";
    const SAVES: Saves = Saves::Output;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x.sqrt()
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, y: V) -> V {
        V::of(0.5) / y
    }
}

/// Test cases: inputs in [0.2, 3).
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("sqrt", "", shape, |shape, samples| {
            Built::new([("x", samples.uniform(shape, 0.2, 3.0))], |v| sqrt(&v[0]))
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
        check(Sqrt, &numbers(200, 17, 0.0, 9.0), [f64::sqrt, |x| 0.5 / x.sqrt()], 2.0, 0.0);
    }
}
