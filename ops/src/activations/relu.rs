//! Rectified linear unit: `y = max(x, 0)`, elementwise on any shape.
//!
//! Source: Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", ICML 2010.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Rectified linear unit.
///
/// # Formula
/// `y = max(x, 0)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = dy` where `x > 0`, else 0.
///
/// # Edge cases
/// At the kink `x = 0` the derivative is the left one, 0. NaN stays NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-1.0, 0.0, 2.0]).into());
/// assert_eq!(termwise_ops::relu(&x).value().as_slice(), [0.0, 0.0, 2.0]);
/// ```
pub fn relu<B: ElementwiseKernel>(x: &Var<B>) -> Var<B> {
    elementwise(Relu, x)
}

#[derive(Clone, Copy)]
struct Relu;

impl Elementwise for Relu {
    const NAME: &'static str = "relu";
    const SAVES: Saves = Saves::Output;

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        // Not the maximum, which may turn NaN into 0.
        V::select(x.lt(V::zero()), V::zero(), x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, _: V, y: V) -> V {
        V::select(V::zero().lt(y), V::of(1.0), V::zero())
    }
}

/// Test cases: inputs at least 0.05 from the kink.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |shape: &[usize]| {
        Case::new("relu", "", shape, |shape, samples| {
            Built::new([("x", samples.away_from(shape, &[0.0], 0.05))], |v| relu(&v[0]))
        })
    };
    vec![case(&[1]), case(&[3, 7]), case(&[2, 3, 4, 5]), case(&[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        let x = numbers(200, 1, -3.0, 3.0);
        check(Relu, &x, [|x| x.max(0.0), |x| f64::from(x > 0.0)], 0.0, 0.0);
        check(
            Relu,
            &[f64::NAN, f64::INFINITY, -f64::INFINITY],
            [|x| if x < 0.0 { 0.0 } else { x }, |x| f64::from(x > 0.0)],
            0.0,
            0.0,
        );
    }
}
