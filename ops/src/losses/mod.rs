//! Loss functions, one file each.

mod bce_with_logits;
mod cross_entropy;
mod cross_entropy_kernel;
mod giou_loss;
mod l1_loss;
mod label_smoothed_nll_loss;
mod mse_loss;
pub mod pointwise;
mod reduction;
mod sigmoid_focal_loss;
mod smooth_l1_loss;

pub use bce_with_logits::{BceWithLogitsKernel, bce_with_logits};
pub use cross_entropy::{CrossEntropy, CrossEntropyKernel, Labels, cross_entropy};
pub use giou_loss::{GiouLossKernel, giou_loss};
pub use l1_loss::l1_loss;
pub use label_smoothed_nll_loss::label_smoothed_nll_loss;
pub use mse_loss::mse_loss;
pub use reduction::Reduction;
pub use sigmoid_focal_loss::sigmoid_focal_loss;
pub use smooth_l1_loss::smooth_l1_loss;

use termwise_autograd::gradcheck::Case;

use pointwise::PointwiseLossKernel;

/// What a backend must offer for every operation in this folder.
pub trait LossKernels:
    BceWithLogitsKernel + CrossEntropyKernel + GiouLossKernel + PointwiseLossKernel
{
}

impl<B> LossKernels for B where
    B: BceWithLogitsKernel + CrossEntropyKernel + GiouLossKernel + PointwiseLossKernel
{
}

/// Test cases of every operation in this folder.
pub fn cases<B: LossKernels>() -> Vec<Case<B>> {
    [
        cross_entropy::cases::<B>(),
        label_smoothed_nll_loss::cases::<B>(),
        bce_with_logits::cases::<B>(),
        sigmoid_focal_loss::cases::<B>(),
        mse_loss::cases::<B>(),
        l1_loss::cases::<B>(),
        smooth_l1_loss::cases::<B>(),
        giou_loss::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
