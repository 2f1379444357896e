//! Activation functions and the softmax family, one file each.

mod relu;
mod softmax;

pub use relu::relu;
pub use softmax::{SoftmaxKernel, softmax};

use termwise_autograd::gradcheck::Case;

use crate::elementwise::ElementwiseKernel;

/// What a backend must offer for every operation in this folder.
pub trait ActivationKernels: ElementwiseKernel + SoftmaxKernel {}

impl<B> ActivationKernels for B where B: ElementwiseKernel + SoftmaxKernel {}

/// Test cases of every operation in this folder.
pub fn cases<B: ActivationKernels>() -> Vec<Case<B>> {
    [relu::cases::<B>(), softmax::cases::<B>()].into_iter().flatten().collect()
}
