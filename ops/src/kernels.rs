//! The one bound that models use, and the list of every operation's test cases.

use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::Case;

use crate::{activations, attention, conv, losses, norms, optim, spatial, tensor};

/// A backend on which every operation runs.
///
/// ```
/// use termwise_autograd::{Cpu, Tape, Var};
/// use termwise_ops::{Kernels, add, scale};
/// fn triple<B: Kernels>(x: &Var<B>) -> Var<B> {
///     add(x, &scale(x, 2.0))
/// }
/// let x = Tape::new(Cpu::<f32>::new()).leaf(ndarray::arr1(&[1.0, -2.0]).into());
/// assert_eq!(triple(&x).value().as_slice(), [3.0, -6.0]);
/// ```
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

/// The test cases of every operation in `f32` on the host.
///
/// Compiling this here compiles every kernel once; crates that depend on this one then link to them instead
/// of compiling them anew.
pub fn cases_f32() -> Vec<Case<Cpu<f32>>> {
    all_cases()
}

/// The test cases of every operation in `f64` on the host; see [`cases_f32`].
pub fn cases_f64() -> Vec<Case<Cpu<f64>>> {
    all_cases()
}
