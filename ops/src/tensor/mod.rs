//! Arithmetic with broadcasting, reductions, matrix products, indexing and shape, one file each.

mod add;
mod amax;
mod cat;
mod cumsum;
mod div;
mod dropout;
mod embedding;
mod expand;
mod gather;
mod index_select;
mod linear;
mod logsumexp;
mod masked_fill;
mod math;
mod matmul;
mod maximum;
mod mean;
mod minimum;
mod mul;
mod pad;
mod pairs;
mod permute;
mod positions;
mod reduction;
mod reshape;
mod scatter_add;
mod slice;
mod split;
mod strided;
mod sub;
mod sum;
mod topk;
mod var;
mod where_;

pub use add::add;
pub use amax::{AmaxKernel, amax};
pub use cat::cat;
pub use cumsum::{CumsumKernel, cumsum};
pub use div::div;
pub use dropout::{DropoutKernel, dropout, dropout_keeps, dropout_start, dropout_threshold};
pub use embedding::{EmbeddingKernel, embedding};
pub use expand::expand;
pub use gather::{GatherKernel, gather};
pub use index_select::{IndexSelectKernel, index_select};
pub use linear::{LinearKernel, linear};
pub use logsumexp::{LogsumexpKernel, logsumexp};
pub use masked_fill::masked_fill;
pub use math::{abs, add_scalar, clamp, cube, exp, log, neg, pow, scale, sqrt, square};
pub use matmul::{MatmulKernel, MatmulPlan, matmul};
pub use maximum::maximum;
pub use mean::mean;
pub use minimum::minimum;
pub use mul::mul;
pub use pad::{PadMode, pad};
pub use permute::{permute, transpose};
pub use positions::sinusoidal_positions;
pub use reshape::reshape;
pub use scatter_add::scatter_add;
pub use slice::{narrow, slice};
pub use split::split;
pub use strided::{StridedKernel, Window};
pub use sub::sub;
pub use sum::sum;
pub use topk::{TopkKernel, topk};
pub use var::{VarKernel, var};
pub use where_::{WhereKernel, where_};

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
    + WhereKernel
    + CumsumKernel
    + GatherKernel
    + IndexSelectKernel
    + TopkKernel
    + EmbeddingKernel
    + DropoutKernel
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
        + WhereKernel
        + CumsumKernel
        + GatherKernel
        + IndexSelectKernel
        + TopkKernel
        + EmbeddingKernel
        + DropoutKernel
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
        pad::cases::<B>(),
        where_::cases::<B>(),
        masked_fill::cases::<B>(),
        cumsum::cases::<B>(),
        gather::cases::<B>(),
        scatter_add::cases::<B>(),
        index_select::cases::<B>(),
        topk::cases::<B>(),
        embedding::cases::<B>(),
        dropout::cases::<B>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
