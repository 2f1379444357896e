//! Absolute error: `|x - t|` for each element.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use super::Reduction;
use super::pointwise::{PointwiseLoss, PointwiseLossKernel, pointwise_loss};

/// Absolute error.
///
/// # Formula
/// `l = |x - t|`, reduced.
///
/// # Shapes
/// `x`, `target`: any, the same; the loss: that shape or a scalar, by `reduction`.
///
/// # Gradient
/// `dx = sign(x - t) dl`, `dt = -dx`; divided by the number of elements for a mean.
///
/// # Edge cases
/// At the kink `x = t` the derivative is 0.
///
/// # Panics
/// If the shapes differ.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::{Reduction, l1_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1.0, 5.0]).into());
/// let target = tape.constant(ndarray::arr1(&[3.0, 5.0]).into());
/// assert_eq!(l1_loss(&x, &target, Reduction::Sum).value().item(), 2.0);
/// ```
#[track_caller]
pub fn l1_loss<B: PointwiseLossKernel>(x: &Var<B>, target: &Var<B>, reduction: Reduction) -> Var<B> {
    pointwise_loss(L1Loss, x, target, reduction)
}

#[derive(Clone, Copy)]
struct L1Loss;

impl PointwiseLoss for L1Loss {
    const NAME: &'static str = "l1_loss";

    #[inline(always)]
    fn value<V: Vector>(&self, x: V, t: V) -> V {
        (x - t).abs()
    }

    #[inline(always)]
    fn derivatives<V: Vector>(&self, x: V, t: V) -> [V; 2] {
        let dx = sign(x - t);
        [dx, -dx]
    }
}

/// -1, 0 or 1; NaN for NaN.
#[inline(always)]
pub(crate) fn sign<V: Vector>(x: V) -> V {
    let sign = V::select(x.eq(V::zero()), V::zero(), V::of(1.0).copysign(x));
    V::select(x.is_nan(), x, sign)
}

/// Test cases of [`l1_loss`]: differences at least 0.05 from the kink.
pub fn cases<B: PointwiseLossKernel>() -> Vec<Case<B>> {
    let case = |reduction: Reduction, shape: &[usize]| {
        Case::new("l1_loss", format!("{reduction:?}"), shape, move |shape, samples| {
            let target = samples.normal(shape);
            let x = &target + &samples.away_from(shape, &[0.0], 0.05);
            Built::new([("x", x), ("target", target)], move |v| l1_loss(&v[0], &v[1], reduction))
        })
    };
    vec![
        case(Reduction::Mean, &[1]),
        case(Reduction::Mean, &[3, 5]),
        case(Reduction::Sum, &[2, 3, 3]),
        case(Reduction::None, &[4, 3]),
        case(Reduction::Mean, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    fn the_derivative_at_the_kink_is_zero() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(ndarray::arr1(&[2.0, 2.0, 2.0]).into());
        let target = tape.leaf(ndarray::arr1(&[2.0, 1.0, 3.0]).into());
        let gradients = tape.backward(&l1_loss(&x, &target, Reduction::Sum));
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 1.0, -1.0]);
        assert_eq!(gradients.of(&target).unwrap().as_slice(), [0.0, -1.0, 1.0]);
    }
}
