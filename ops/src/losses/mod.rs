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
pub use cross_entropy::{CrossEntropy, CrossEntropyKernel, Labels, Target, cross_entropy};
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

#[cfg(test)]
mod tests {
    use termwise_autograd::gradcheck::Samples;

    use super::*;
    use crate::same_bits::assert_same_bits;

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let pair: &[&[usize]] = &[&[300, 310], &[300, 310]];
        assert_same_bits("mse_loss", pair, |v| mse_loss(&v[0], &v[1], Reduction::Mean));
        assert_same_bits("bce_with_logits", pair, |v| bce_with_logits(&v[0], &v[1], None, Reduction::Sum));
        let boxes: &[&[usize]] = &[&[5000, 4], &[5000, 4]];
        assert_same_bits("giou_loss", boxes, |v| giou_loss(&v[0], &v[1], 1e-7, Reduction::Mean));
        let mut samples = Samples::new(1);
        let target = samples.integers(&[5, 70, 80], 0, 7);
        let settings = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
        assert_same_bits("cross_entropy", &[&[5, 7, 70, 80]], |v| {
            cross_entropy(&v[0], &target, None, &settings)
        });
    }
}
