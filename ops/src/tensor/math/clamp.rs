//! Clamping: `y = min(max(x, low), high)`, elementwise on any shape.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use crate::elementwise::{Elementwise, ElementwiseKernel, Saves, elementwise};

/// Clamping of each element.
///
/// # Formula
/// `y = min(max(x, low), high)`
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx = dy` where `low <= x <= high`, else 0
///
/// # Edge cases
/// At both kinks the derivative is that of the inside, 1. A bound may be infinite. NaN stays NaN.
///
/// # Panics
/// If `low > high`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[-3.0, 1.0, 0.5]).into());
/// let y = termwise_ops::clamp(&x, -1.0, 1.0);
/// assert_eq!(y.value().as_slice(), [-1.0, 1.0, 0.5]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[2.0, 5.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 5.0, 4.0]);
/// ```
#[track_caller]
pub fn clamp<B: ElementwiseKernel>(x: &Var<B>, low: f64, high: f64) -> Var<B> {
    assert!(low <= high, "clamp: low {low} is above high {high}");
    elementwise(Clamp { low, high }, x)
}

#[derive(Clone, Copy)]
struct Clamp {
    low: f64,
    high: f64,
}

impl Elementwise for Clamp {
    const NAME: &'static str = "clamp";
    const SAVES: Saves = Saves::Input;

    fn parameters(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V) -> V {
        let (low, high) = (V::of(self.low), V::of(self.high));
        // Selections, which keep NaN.
        V::select(x.lt(low), low, V::select(high.lt(x), high, x))
    }

    #[inline(always)]
    fn derivative<V: Vector>(&self, x: V, _: V) -> V {
        let (low, high) = (V::of(self.low), V::of(self.high));
        V::select(x.lt(low), V::zero(), V::select(high.lt(x), V::zero(), V::of(1.0)))
    }
}

/// Test cases: inputs at least 0.05 from both kinks.
pub fn cases<B: ElementwiseKernel>() -> Vec<Case<B>> {
    let case = |low: f64, high: f64, shape: &[usize]| {
        Case::new("clamp", format!("{low} to {high}"), shape, move |shape, samples| {
            Built::new([("x", samples.away_from(shape, &[low, high], 0.05))], move |v| {
                clamp(&v[0], low, high)
            })
        })
    };
    vec![
        case(-1.5, 1.5, &[1]),
        case(-1.5, 1.5, &[3, 7]),
        case(0.0, f64::INFINITY, &[2, 2, 3]),
        case(-1.0, 2.0, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::check;
    use crate::oracle::numbers;

    #[test]
    fn vectors_agree_with_numbers_on_every_instruction_set() {
        let value = |x: f64| x.clamp(-1.0, 2.0);
        let derivative = |x: f64| f64::from(x.is_nan() || (-1.0..=2.0).contains(&x));
        let f = Clamp { low: -1.0, high: 2.0 };
        check(f, &numbers(200, 10, -3.0, 3.0), [value, derivative], 0.0, 0.0);
        check(f, &[f64::NAN, f64::INFINITY, -f64::INFINITY, -1.0, 2.0], [value, derivative], 0.0, 0.0);
    }
}
