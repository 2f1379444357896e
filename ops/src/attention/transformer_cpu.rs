//! [`transformer_attention`](super::transformer_attention) on the CPU: which of its forms a call takes.

use termwise_autograd::{Array, Cpu, Scalar};

use super::transformer::{AttentionSpec, TransformerAttentionKernel};
use super::transformer_simple as simple;

/// The forms of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// One row of weights for all queries.
    SharedRow,
    /// E1 off, a separable position, no limit by position: the exponential factorises.
    Factorised,
    /// Tiles of queries by keys.
    Tiles,
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
    } else {
        Path::Tiles
    }
}

impl<T: Scalar> TransformerAttentionKernel for Cpu<T> {
    fn transformer_attention_forward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> (Array<Self>, Array<Self>) {
        match path(spec) {
            Path::SharedRow | Path::Factorised | Path::Tiles => simple::forward(spec, inputs),
        }
    }

    fn transformer_attention_backward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
        _: (&Array<Self>, &Array<Self>),
        grad_output: &Array<Self>,
        needs: [bool; 7],
    ) -> [Option<Array<Self>>; 7] {
        match path(spec) {
            Path::SharedRow | Path::Factorised | Path::Tiles => {
                simple::backward(spec, inputs, grad_output, needs)
            }
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
