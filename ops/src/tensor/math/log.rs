//! Natural logarithm: `y = ln(x)`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Natural logarithm of each element.
///
/// # Formula
/// `y = ln(x)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = dy / x`
///
/// # Edge cases
/// `ln 0` is negative infinity, the logarithm of a negative number NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1.0, 0.0]).into());
/// let y = termwise_ops::log(&x);
/// assert_eq!(y.value().as_slice(), [0.0, f64::NEG_INFINITY]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 0.5]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, f64::INFINITY]);
/// ```
pub fn log<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Log, x)
}

#[derive(Clone, Copy)]
struct Log;

impl Elementwise for Log {
    const NAME: &'static str = "log";
    const SAVES: Saves = Saves::Input;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        math::ln(x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        V::of(1.0) / x
    }
}

/// Test cases: inputs in [0.2, 3).
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("log", "", shape, |shape, samples| {
            Built::new([("x", samples.uniform(shape, 0.2, 3.0))], |v| log(&v[0]))
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
        check(Log, &numbers(400, 13, 1e-3, 50.0), [f64::ln, f64::recip], 2.0, 0.0);
        check(Log, &[f64::NAN, f64::INFINITY, 1.0], [f64::ln, f64::recip], 0.0, 0.0);
    }
}
