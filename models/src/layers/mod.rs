//! Layers: parameters around the operations of `termwise-ops`.

mod attended;
mod backbone;
mod batch_norm;
mod conv;
mod deformable;
mod deformable_1d;
mod dropout;
mod dynamic;
mod dynamic_1d;
mod flops;
mod fpn;
mod layer_norm;
mod linear;
mod mmcv;
mod self_attention;
mod transformer;
mod transformer_cache;

pub use attended::{AttentionLayer, AttentionSpec, Bottleneck, BottleneckConfig, SpatialConv};
pub use backbone::{Attend, Backbone, ConvNormRelu};
pub use batch_norm::BatchNorm2d;
pub use conv::Conv2d;
pub use deformable::{DeformConv2d, OffsetPredictor};
pub use deformable_1d::DeformConv1d;
pub use dropout::Dropout;
pub use dynamic::DynamicAttention2d;
pub use dynamic_1d::DynamicAttention1d;
pub use flops::{Extent, attention_flops, cross_attention_flops};
pub use fpn::Fpn;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mmcv::MmcvAttention;
pub use self_attention::{SelfAttention, SelfAttentionBlock, SelfAttentionState};
pub use transformer::{AttentionInput, TransformerAttention, TransformerAttention2d};
pub use transformer_cache::{KeyValueCache, Memory};

/// Whether a layer trains or evaluates: batch normalisation and dropout differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, dropout on.
    Train,
    /// Running statistics, dropout off.
    Eval,
}

/// Multiplies fresh parameters.
fn scale_param<B: termwise_ops::Kernels>(param: &termwise_autograd::Param<B>, factor: f64) {
    let value = param.value();
    let scaled = value.to_f64().mapv(|v| factor * v);
    param.set(termwise_autograd::Array::from_f64(value.backend(), &scaled));
}
