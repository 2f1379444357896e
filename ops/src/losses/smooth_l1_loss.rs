//! Smooth L1 (a scaled Huber loss): quadratic for small errors, linear for large ones.
//!
//! Source: Girshick, "Fast R-CNN", ICCV 2015.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use super::Reduction;
use super::l1_loss::sign;
use super::pointwise::{PointwiseLoss, PointwiseLossKernel, pointwise_loss};

/// Smooth L1 loss.
///
/// # Formula
/// With `d = x - t`: `l = d^2 / (2 beta)` where `|d| < beta`, else `|d| - beta / 2`; reduced.
///
/// # Shapes
/// `x`, `target`: any, the same; the loss: that shape or a scalar, by `reduction`.
///
/// # Gradient
/// `dx = d / beta dl` where `|d| < beta`, else `sign(d) dl`; `dt = -dx`; divided by the number of
/// elements for a mean. The derivative is continuous; the second one jumps at `|d| = beta`.
///
/// # Edge cases
/// `beta = 0` is [`l1_loss`](super::l1_loss()).
///
/// # Panics
/// If the shapes differ or `beta` is negative or NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::{Reduction, smooth_l1_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1.0, 5.0]).into());
/// let target = tape.constant(ndarray::arr1(&[2.0, 9.0]).into());
/// let loss = smooth_l1_loss(&x, &target, 2.0, Reduction::None);
/// assert_eq!(loss.value().as_slice(), [0.25, 3.0]);
/// ```
#[track_caller]
pub fn smooth_l1_loss<B: PointwiseLossKernel>(
    x: &Var<B>,
    target: &Var<B>,
    beta: f64,
    reduction: Reduction,
) -> Var<B> {
    assert!(beta >= 0.0, "smooth_l1_loss: beta must be at least 0, it is {beta}");
    pointwise_loss(SmoothL1Loss { beta }, x, target, reduction)
}

#[derive(Clone, Copy)]
struct SmoothL1Loss {
    beta: f64,
}

impl PointwiseLoss for SmoothL1Loss {
    const NAME: &'static str = "smooth_l1_loss";

    fn parameters(&self) -> [f64; 2] {
        [self.beta, 0.0]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V, t: V) -> V {
        let (d, beta, half) = ((x - t).abs(), V::of(self.beta), V::of(0.5));
        V::select(d.lt(beta), half * d * d / beta, d - half * beta)
    }

    #[inline(always)]
    fn derivatives<V: Vector>(&self, x: V, t: V) -> [V; 2] {
        let (d, beta) = (x - t, V::of(self.beta));
        let dx = V::select(d.abs().lt(beta), d / beta, sign(d));
        [dx, -dx]
    }
}

/// Test cases of [`smooth_l1_loss`]: differences at least 0.05 from where the formula changes.
pub fn cases<B: PointwiseLossKernel>() -> Vec<Case<B>> {
    let case = |beta: f64, reduction: Reduction, shape: &[usize]| {
        let label = format!("beta {beta}, {reduction:?}");
        Case::new("smooth_l1_loss", label, shape, move |shape, samples| {
            let target = samples.normal(shape);
            let x = &target + &samples.away_from(shape, &[0.0, beta, -beta], 0.05);
            Built::new([("x", x), ("target", target)], move |v| smooth_l1_loss(&v[0], &v[1], beta, reduction))
        })
    };
    vec![
        case(1.0, Reduction::Mean, &[1]),
        case(1.0, Reduction::Mean, &[3, 5]),
        case(0.3, Reduction::Sum, &[2, 3, 3]),
        case(2.0, Reduction::None, &[4, 3]),
        case(0.0, Reduction::Sum, &[5]),
        case(1.0, Reduction::Mean, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Array, Cpu, Tape};

    use super::*;
    use crate::losses::l1_loss;

    #[test]
    fn value_and_slope_are_continuous_at_beta() {
        let loss = SmoothL1Loss { beta: 0.7 };
        let (below, above) = (0.7 - 1e-12, 0.7 + 1e-12);
        assert!((loss.value(below, 0.0) - loss.value::<f64>(above, 0.0)).abs() < 1e-11);
        assert!((loss.derivatives(below, 0.0)[0] - loss.derivatives::<f64>(above, 0.0)[0]).abs() < 1e-11);
    }

    #[test]
    fn beta_zero_is_l1() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[4], vec![-1.5, 0.0, 1e-9, 3.0]));
        let target = tape.constant(Array::zeros(&Cpu::new(), &[4]));
        let smooth = smooth_l1_loss(&x, &target, 0.0, Reduction::None);
        let l1 = l1_loss(&x, &target, Reduction::None);
        assert_eq!(smooth.value().as_slice(), l1.value().as_slice());
    }
}
