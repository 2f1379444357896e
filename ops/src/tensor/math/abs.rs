//! Absolute value: `y = |x|`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Absolute value of each element.
///
/// # Formula
/// `y = |x|`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = sign(x) dy`
///
/// # Edge cases
/// At the kink `x = 0` the derivative is 0, the mean of both sides.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 0.0]).into());
/// let y = termwise_ops::abs(&x);
/// assert_eq!(y.value().as_slice(), [3.0, 0.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 2.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [-2.0, 0.0]);
/// ```
pub fn abs<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Abs, x)
}

#[derive(Clone, Copy)]
struct Abs;

impl Elementwise for Abs {
    const NAME: &'static str = "abs";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        x.abs()
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        // Where x is neither below, at nor above 0 it is NaN.
        let sign = V::of(1.0).copysign(x);
        V::select(x.is_nan(), x, V::select(x.eq(V::zero()), V::zero(), sign))
    }
}

/// Test cases: inputs at least 0.05 from the kink.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("abs", "", shape, |shape, samples| {
            Built::new([("x", samples.away_from(shape, &[0.0], 0.05))], |v| abs(&v[0]))
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
        let x = numbers(200, 8, -3.0, 3.0);
        check(Abs, &x, [f64::abs, f64::signum], 0.0, 0.0);
        check(
            Abs,
            &[0.0, -0.0, f64::NAN, f64::INFINITY],
            [f64::abs, |x| if x == 0.0 { 0.0 } else { x.signum() }],
            0.0,
            0.0,
        );
    }
}
