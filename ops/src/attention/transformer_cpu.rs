//! [`transformer_attention`](super::transformer_attention) on the CPU: which of its forms a call takes.

use termwise_autograd::simd;
use termwise_autograd::{Array, Cpu, Scalar};

use super::transformer::{AttentionSpec, TransformerAttentionKernel};
use super::{factorised, tiles, transformer_shared_row as shared_row, transformer_simple as simple};

/// The forms of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// One row of weights for all queries.
    SharedRow,
    /// E1 off, a separable position, no limit by position: the exponential factorises.
    Factorised,
    /// Tiles of queries by keys.
    Tiles,
    /// Energies in full: tables of positions that are not those of the lattice, or nothing to compute.
    Simple,
}

/// The form that a call takes; it depends on its description alone.
pub(super) fn path(spec: &AttentionSpec) -> Path {
    let separable = || match spec.relative.as_slice() {
        [x, y] => spec.lattice.is_index(0, x) && spec.lattice.is_index(1, y),
        _ => false,
    };
    let sizes = [spec.batch, spec.queries, spec.keys, spec.value_dim];
    if sizes.contains(&0) || spec.head_dim == 0 && spec.terms.flags().contains(&true) {
        Path::Simple
    } else if spec.shares_row() {
        Path::SharedRow
    } else if !spec.terms.query_key && !spec.visibility.by_position() && separable() {
        Path::Factorised
    } else if tiles::covers(spec) {
        Path::Tiles
    } else {
        Path::Simple
    }
}

impl<T: Scalar> TransformerAttentionKernel for Cpu<T> {
    fn transformer_attention_forward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> (Array<Self>, Array<Self>) {
        match path(spec) {
            Path::SharedRow => shared_row::forward(simd::isa(), spec, inputs),
            Path::Factorised => factorised::forward(simd::isa(), spec, inputs),
            Path::Tiles => tiles::forward(simd::isa(), spec, inputs),
            Path::Simple => simple::forward(spec, inputs),
        }
    }

    fn transformer_attention_backward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
        forward: (&Array<Self>, &Array<Self>),
        grad_output: &Array<Self>,
        needs: [bool; 7],
    ) -> [Option<Array<Self>>; 7] {
        match path(spec) {
            Path::SharedRow => shared_row::backward(simd::isa(), spec, inputs, forward.1, grad_output, needs),
            Path::Factorised => factorised::backward(simd::isa(), spec, inputs, forward, grad_output, needs),
            Path::Tiles => tiles::backward(simd::isa(), spec, inputs, forward, grad_output, needs),
            Path::Simple => simple::backward(spec, inputs, grad_output, needs),
        }
    }

    fn transformer_attention_weights(spec: &AttentionSpec, inputs: [&Array<Self>; 7]) -> Array<Self> {
        simple::weights(spec, inputs)
    }

    fn transformer_attention_energies(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> [Option<Array<Self>>; 4] {
        simple::energies(spec, inputs)
    }
}
