//! [`transformer_attention`](super::transformer_attention) on the CPU: which of its forms a call takes.

use termwise_autograd::simd;
use termwise_autograd::{Array, Cpu, Scalar};

use super::transformer::{AttentionSpec, TransformerAttentionKernel};
use super::{tiles, transformer_simple as simple};

/// The forms of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// One row of weights for all queries.
    SharedRow,
    /// E1 off, a separable position, no limit by position: the exponential factorises.
    Factorised,
    /// Tiles of queries by keys.
    Tiles,
    /// Energies in full: tables of positions that are not those of the lattice.
    Simple,
}

/// The form that a call takes; it depends on its description alone.
pub(super) fn path(spec: &AttentionSpec) -> Path {
    let separable = spec.relative.len() == 2
        && spec.relative[0] == spec.lattice.x_index()
        && spec.relative[1] == spec.lattice.y_index();
    if spec.shares_row() {
        Path::SharedRow
    } else if !spec.terms.query_key && separable && !spec.visibility.by_position() {
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
            Path::Factorised | Path::Tiles if tiles::covers(spec) => {
                tiles::forward(simd::isa(), spec, inputs)
            }
            _ => simple::forward(spec, inputs),
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
            Path::Factorised | Path::Tiles if tiles::covers(spec) => {
                tiles::backward(simd::isa(), spec, inputs, forward, grad_output, needs)
            }
            _ => simple::backward(spec, inputs, grad_output, needs),
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
