//! Every spatial attention mechanism, one file each.

mod attend;
mod code;
mod conv_cpu;
pub mod definition;
pub mod deformable_conv;
mod deformable_conv_1d;
mod deformable_conv_cases;
mod deformable_conv_pack;
#[cfg(test)]
mod deformable_conv_tests;
mod dual;
pub mod dynamic_conv;
pub mod dynamic_conv_2d;
mod dynamic_conv_block;
mod dynamic_conv_cases;
mod dynamic_conv_per_position;
mod dynamic_conv_per_step;
mod dynamic_conv_predicted;
mod dynamic_conv_state;
mod dynamic_conv_step_softmax;
#[cfg(test)]
mod dynamic_conv_tests;
mod factorised;
mod geometry;
mod key_rows;
mod lightweight_conv;
#[cfg(test)]
mod parity;
mod projected;
pub mod regular_conv;
mod settings;
mod shared_row_attention;
mod tiles;
mod transformer;
mod transformer_cases;
mod transformer_cpu;
mod transformer_shared_row;
mod transformer_simple;
mod visible_keys;

pub use attend::{AttendKernels, attention_1d, attention_1d_with_maps, attention_2d, attention_2d_with_maps};
pub use code::{AttentionCode, AttentionModule, Terms, UnknownCode};
pub use deformable_conv::{DeformConvKernel, DeformGeometry, Sampled, deform_conv2d};
pub use deformable_conv_1d::deform_conv1d;
pub use deformable_conv_pack::{deform_conv1d_pack, deform_conv2d_pack};
pub use dynamic_conv::{DynamicConvKernels, DynamicConvOptions, dynamic_conv};
pub use dynamic_conv_2d::{DynamicConv2dKernels, dynamic_conv_2d, dynamic_conv_2d_output};
pub use dynamic_conv_block::{BlockConv, ConvBlock1d, conv_block_1d};
pub use dynamic_conv_per_position::{PerPositionConvKernel, PositionGeometry, per_position_conv2d};
pub use dynamic_conv_per_step::{PerStepConvKernel, StepGeometry, per_step_conv};
pub use dynamic_conv_predicted::PredictedConvKernel;
pub use dynamic_conv_state::DynamicConvState;
pub use dynamic_conv_step_softmax::{SoftmaxConvKernel, TapRange};
pub use geometry::{Lattice, Range, RelativeIndex, Visibility, sinusoidal_embedding};
pub use lightweight_conv::lightweight_conv;
pub use projected::{Projected, Projections, projected_1d, projected_2d};
pub use regular_conv::regular_conv;
pub use settings::{OffsetSign, Position, Preset, Scale, TransformerSettings};
pub use shared_row_attention::{SharedRow, SharedRowKernel, SharedRowParts, shared_row_attention};
pub use transformer::{
    AttentionMaps, AttentionSpec, Operands, TransformerAttentionKernel, transformer_attention,
    transformer_attention_with_maps,
};
pub use visible_keys::VisibleKeys;

use termwise_autograd::gradcheck::Case;

use crate::activations::GluKernel;

/// What a backend must offer for every operation in this folder.
pub trait AttentionKernels:
    TransformerAttentionKernel
    + SharedRowKernel
    + DeformConvKernel
    + DynamicConvKernels
    + DynamicConv2dKernels
    + GluKernel
{
}

impl<B> AttentionKernels for B where
    B: TransformerAttentionKernel
        + SharedRowKernel
        + DeformConvKernel
        + DynamicConvKernels
        + DynamicConv2dKernels
        + GluKernel
{
}

/// Test cases of every operation in this folder.
pub fn cases<B: AttentionKernels>() -> Vec<Case<B>> {
    [
        transformer_cases::cases(),
        shared_row_attention::cases(),
        deformable_conv_cases::cases(),
        dynamic_conv_cases::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
