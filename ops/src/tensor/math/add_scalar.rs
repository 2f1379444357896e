//! Sum with a constant: `y = x + constant`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Sum with a constant of each element.
///
/// # Formula
/// `y = x + constant`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = dy`
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 1.0]).into());
/// let y = termwise_ops::add_scalar(&x, 0.5);
/// assert_eq!(y.value().as_slice(), [-2.5, 1.5]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 5.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 5.0]);
/// ```
pub fn add_scalar<B: ElementwiseKernel>(x: &Var<B>, constant: f64) -> Var<B> {
    elementwise(AddScalar { constant }, x)
}

#[derive(Clone, Copy)]
struct AddScalar {
    constant: f64,
}

impl Elementwise for AddScalar {
    const NAME: &'static str = "add_scalar";
    const SAVES: Saves = Saves::Nothing;

    fn parameters(&self) -> [f64; 2] {
        [self.constant, 0.0]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x + V::of(self.constant)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, _: V) -> V {
        V::of(1.0)
    }
}

/// Test cases.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |constant: f64, shape: &[usize]| {
        Case::new("add_scalar", format!("constant {constant}"), shape, move |shape, samples| {
            Built::new([("x", samples.normal(shape))], move |v| add_scalar(&v[0], constant))
        })
    };
    vec![case(-0.5, &[1]), case(3.0, &[3, 7]), case(2.0, &[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        check(AddScalar { constant: 0.5 }, &numbers(200, 9, -3.0, 3.0), [|x| x + 0.5, |_| 1.0], 1.0, 0.0);
    }
}
