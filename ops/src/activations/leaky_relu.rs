//! Leaky rectified linear unit: `y = x` above 0, a small multiple of it below, elementwise on any shape.
//!
//! Source: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models", ICML 2013.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Leaky rectified linear unit.
///
/// # Formula
/// `y = x where x > 0, else negative_slope x`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = dy` where `x > 0`, else `negative_slope dy`
///
/// # Edge cases
/// At the kink `x = 0` the derivative is the left one, `negative_slope`. NaN stays NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-2.0, 0.0, 3.0]).into());
/// let y = termwise_ops::leaky_relu(&x, 0.5);
/// assert_eq!(y.value().as_slice(), [-1.0, 0.0, 3.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 4.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 2.0, 4.0]);
/// ```
pub fn leaky_relu<B: ElementwiseKernel>(x: &Var<B>, negative_slope: f64) -> Var<B> {
    elementwise(LeakyRelu { negative_slope }, x)
}

#[derive(Clone, Copy)]
struct LeakyRelu {
    negative_slope: f64,
}

impl Elementwise for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const SAVES: Saves = Saves::Input;

    fn parameters(&self) -> [f64; 2] {
        [self.negative_slope, 0.0]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        V::select(V::zero().lt(x), x, V::of(self.negative_slope) * x)
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        V::select(V::zero().lt(x), V::of(1.0), V::of(self.negative_slope))
    }
}

/// Test cases: inputs at least 0.05 from the kink.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |negative_slope: f64, shape: &[usize]| {
        Case::new("leaky_relu", format!("slope {negative_slope}"), shape, move |shape, samples| {
            let x = samples.away_from(shape, &[0.0], 0.05);
            Built::new([("x", x)], move |v| leaky_relu(&v[0], negative_slope))
        })
    };
    vec![case(0.01, &[1]), case(0.2, &[3, 7]), case(-0.5, &[2, 3, 2, 5]), case(0.0, &[5]), case(0.1, &[0, 3])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        let x = numbers(200, 2, -3.0, 3.0);
        let f = LeakyRelu { negative_slope: 0.25 };
        check(
            f,
            &x,
            [|x| if x > 0.0 { x } else { 0.25 * x }, |x| if x > 0.0 { 1.0 } else { 0.25 }],
            0.0,
            0.0,
        );
    }
}
