//! Multiple: `y = factor * x`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Multiple of each element.
///
/// # Formula
/// `y = factor * x`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = factor * dy`
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 1.0]).into());
/// let y = termwise_ops::scale(&x, 0.5);
/// assert_eq!(y.value().as_slice(), [-1.5, 0.5]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 5.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [1.0, 2.5]);
/// ```
pub fn scale<B: ElementwiseKernel>(x: &Var<B>, factor: f64) -> Var<B> {
    elementwise(Scale { factor }, x)
}

#[derive(Clone, Copy)]
struct Scale {
    factor: f64,
}

impl Elementwise for Scale {
    const NAME: &'static str = "scale";
    const SAVES: Saves = Saves::Nothing;

    fn parameters(&self) -> [f64; 2] {
        [self.factor, 0.0]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        V::of(self.factor) * x
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, _: V) -> V {
        V::of(self.factor)
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |factor: f64, shape: &[usize]| {
        Case::new("scale", format!("factor {factor}"), shape, move |shape, samples| {
            Built::new([("x", samples.normal(shape))], move |v| scale(&v[0], factor))
        })
    };
    vec![case(-0.5, &[1]), case(3.0, &[3, 7]), case(0.0, &[2, 2, 3]), case(2.0, &[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        check(Scale { factor: -0.75 }, &numbers(200, 16, -3.0, 3.0), [|x| -0.75 * x, |_| -0.75], 1.0, 0.0);
    }
}
