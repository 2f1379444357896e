//! Operations of `termwise_ops::losses`.

mod bce_with_logits;
mod cross_entropy;
mod giou_loss;
mod pointwise;

use termwise_autograd::Array;
use termwise_ops::Reduction;
use termwise_ops::broadcast::BroadcastKernel;

use crate::{OpenCl, Real};

/// What is returned of the losses of `losses.len()` elements.
fn reduce<T: Real>(losses: Array<OpenCl<T>>, reduction: Reduction) -> Array<OpenCl<T>> {
    match (reduction, losses.len()) {
        (Reduction::None, _) => losses,
        // The mean of nothing is 0.
        (_, 0) => Array::zeros(losses.backend(), &[]),
        (Reduction::Sum, _) => OpenCl::sum_to(&losses, &[], 1.0),
        (Reduction::Mean, len) => OpenCl::sum_to(&losses, &[], (len as f64).recip()),
    }
}

/// The gradient in each element's loss as kernels take it: a factor of the gradient in the reduced loss, and whether
/// that has a number for each element.
fn spread(reduction: Reduction, len: usize) -> (f64, bool) {
    match reduction {
        Reduction::None => (1.0, true),
        Reduction::Sum => (1.0, false),
        Reduction::Mean => ((len.max(1) as f64).recip(), false),
    }
}
