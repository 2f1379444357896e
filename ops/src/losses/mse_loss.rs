//! Squared error: `(x - t)^2` for each element.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;

use super::Reduction;
use super::pointwise::{PointwiseLoss, PointwiseLossKernel, pointwise_loss};

/// Squared error.
///
/// # Formula
/// `l = (x - t)^2`, reduced.
///
/// # Shapes
/// `x`, `target`: any, the same; the loss: that shape or a scalar, by `reduction`.
///
/// # Gradient
/// `dx = 2 (x - t) dl`, `dt = -dx`; divided by the number of elements for a mean.
///
/// # Panics
/// If the shapes differ.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::{Reduction, mse_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1.0, 5.0]).into());
/// let target = tape.constant(ndarray::arr1(&[3.0, 5.0]).into());
/// assert_eq!(mse_loss(&x, &target, Reduction::Mean).value().item(), 2.0);
/// ```
#[track_caller]
pub fn mse_loss<B: PointwiseLossKernel>(x: &Var<B>, target: &Var<B>, reduction: Reduction) -> Var<B> {
    pointwise_loss(MseLoss, x, target, reduction)
}

#[derive(Clone, Copy)]
struct MseLoss;

impl PointwiseLoss for MseLoss {
    const NAME: &'static str = "mse_loss";

    #[inline(always)]
    fn value<V: Vector>(&self, x: V, t: V) -> V {
        (x - t) * (x - t)
    }

    #[inline(always)]
    fn derivatives<V: Vector>(&self, x: V, t: V) -> [V; 2] {
        let dx = V::of(2.0) * (x - t);
        [dx, -dx]
    }
}

/// Test cases of [`mse_loss`].
pub fn cases<B: PointwiseLossKernel>() -> Vec<Case<B>> {
    let case = |reduction: Reduction, shape: &[usize]| {
        Case::new("mse_loss", format!("{reduction:?}"), shape, move |shape, samples| {
            let inputs = [("x", samples.normal(shape)), ("target", samples.normal(shape))];
            Built::new(inputs, move |v| mse_loss(&v[0], &v[1], reduction))
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
