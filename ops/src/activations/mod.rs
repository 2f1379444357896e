//! Activation functions and the softmax family, one file each.

mod gelu;
mod glu;
mod leaky_relu;
mod log_softmax;
mod masked_softmax;
mod relu;
mod sigmoid;
mod silu;
mod softmax;
mod softmax_kernel;
mod tanh;

pub use gelu::{gelu, gelu_tanh};
pub use glu::{GluKernel, glu};
pub use leaky_relu::leaky_relu;
pub use log_softmax::{LogSoftmaxKernel, log_softmax};
pub use masked_softmax::{MaskedSoftmaxKernel, masked_softmax};
pub use relu::relu;
pub use sigmoid::sigmoid;
pub use silu::silu;
pub use softmax::{SoftmaxKernel, softmax};
pub use tanh::tanh;

use termwise_autograd::gradcheck::Case;

use crate::elementwise::ElementwiseKernel;

/// What a backend must offer for every operation in this folder.
pub trait ActivationKernels:
    ElementwiseKernel + SoftmaxKernel + LogSoftmaxKernel + MaskedSoftmaxKernel + GluKernel
{
}

impl<B> ActivationKernels for B where
    B: ElementwiseKernel + SoftmaxKernel + LogSoftmaxKernel + MaskedSoftmaxKernel + GluKernel
{
}

/// Test cases of every operation in this folder.
pub fn cases<B: ActivationKernels>() -> Vec<Case<B>> {
    [
        gelu::cases::<B>(),
        glu::cases::<B>(),
        leaky_relu::cases::<B>(),
        log_softmax::cases::<B>(),
        masked_softmax::cases::<B>(),
        relu::cases::<B>(),
        sigmoid::cases::<B>(),
        silu::cases::<B>(),
        softmax::cases::<B>(),
        tanh::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
