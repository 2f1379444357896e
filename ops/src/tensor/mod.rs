//! Arithmetic with broadcasting, reductions, matrix products, indexing and shape, one file each.

mod add;
mod amax;
mod cat;
mod div;
mod expand;
mod linear;
mod logsumexp;
mod math;
mod matmul;
mod maximum;
mod mean;
mod minimum;
mod mul;
mod pairs;
mod permute;
mod reduction;
mod reshape;
mod slice;
mod split;
mod strided;
mod sub;
mod sum;
mod var;

pub use add::add;
pub use amax::{AmaxKernel, amax};
pub use cat::cat;
pub use div::div;
pub use expand::expand;
pub use linear::{LinearKernel, linear};
pub use logsumexp::{LogsumexpKernel, logsumexp};
pub use math::{abs, add_scalar, clamp, cube, exp, log, neg, pow, scale, sqrt, square};
pub use matmul::{MatmulKernel, MatmulPlan, matmul};
pub use maximum::maximum;
pub use mean::mean;
pub use minimum::minimum;
pub use mul::mul;
pub use permute::{permute, transpose};
pub use reshape::reshape;
pub use slice::{narrow, slice};
pub use split::split;
pub use strided::{StridedKernel, Window};
pub use sub::sub;
pub use sum::sum;
pub use var::{VarKernel, var};

use termwise_autograd::gradcheck::Case;

use crate::broadcast::{BinaryKernel, BroadcastKernel};
use crate::elementwise::ElementwiseKernel;

/// What a backend must offer for every operation in this folder.
pub trait TensorKernels:
    ElementwiseKernel
    + BroadcastKernel
    + BinaryKernel
    + MatmulKernel
    + LinearKernel
    + StridedKernel
    + AmaxKernel
    + VarKernel
    + LogsumexpKernel
{
}

impl<B> TensorKernels for B where
    B: ElementwiseKernel
        + BroadcastKernel
        + BinaryKernel
        + MatmulKernel
        + LinearKernel
        + StridedKernel
        + AmaxKernel
        + VarKernel
        + LogsumexpKernel
{
}

/// Test cases of every operation in this folder.
pub fn cases<B: TensorKernels>() -> Vec<Case<B>> {
    [
        add::cases::<B>(),
        sub::cases::<B>(),
        mul::cases::<B>(),
        div::cases::<B>(),
        maximum::cases::<B>(),
        minimum::cases::<B>(),
        math::cases::<B>(),
        matmul::cases::<B>(),
        linear::cases::<B>(),
        sum::cases::<B>(),
        mean::cases::<B>(),
        amax::cases::<B>(),
        var::cases::<B>(),
        logsumexp::cases::<B>(),
        reshape::cases::<B>(),
        permute::cases::<B>(),
        expand::cases::<B>(),
        cat::cases::<B>(),
        slice::cases::<B>(),
        split::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
