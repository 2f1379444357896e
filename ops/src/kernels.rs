//! The one bound that models use, and the list of every operation's test cases.

use termwise_autograd::gradcheck::Case;

use crate::{activations, attention, conv, losses, norms, optim, spatial, tensor};

/// A backend on which every operation runs.
pub trait Kernels:
    activations::ActivationKernels
    + attention::AttentionKernels
    + conv::ConvKernels
    + losses::LossKernels
    + norms::NormKernels
    + optim::OptimizerKernel
    + spatial::SpatialKernels
    + tensor::TensorKernels
{
}

impl<B> Kernels for B where
    B: activations::ActivationKernels
        + attention::AttentionKernels
        + conv::ConvKernels
        + losses::LossKernels
        + norms::NormKernels
        + optim::OptimizerKernel
        + spatial::SpatialKernels
        + tensor::TensorKernels
{
}

/// The test cases of every operation, on one backend.
pub fn all_cases<B: Kernels>() -> Vec<Case<B>> {
    [
        tensor::cases::<B>(),
        activations::cases::<B>(),
        norms::cases::<B>(),
        losses::cases::<B>(),
        conv::cases::<B>(),
        spatial::cases::<B>(),
        attention::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
