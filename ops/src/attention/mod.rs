//! Every spatial attention mechanism, one file each.

mod code;
mod geometry;
mod transformer;
mod transformer_cpu;

pub use code::{AttentionCode, AttentionModule, Terms, UnknownCode};
pub use geometry::{Lattice, Range, RelativeIndex, Visibility, sinusoidal_embedding};
pub use transformer::{
    AttentionMaps, AttentionSpec, Operands, TransformerAttentionKernel, transformer_attention,
    transformer_attention_with_maps,
};

use termwise_autograd::gradcheck::Case;

/// What a backend must offer for every operation in this folder.
pub trait AttentionKernels: TransformerAttentionKernel {}

impl<B> AttentionKernels for B where B: TransformerAttentionKernel {}

/// Test cases of every operation in this folder.
pub fn cases<B: AttentionKernels>() -> Vec<Case<B>> {
    Vec::new()
}
