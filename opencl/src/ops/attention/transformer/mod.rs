//! Transformer attention: forward by blocks of keys, backward by blocks of queries. No array of queries by keys.

mod backward;
mod operands;
#[cfg(test)]
mod tests;
mod tiles;

use std::ops::Range;

use termwise_autograd::Array;
use termwise_ops::attention::{AttentionSpec, Terms, TransformerAttentionKernel};
use termwise_ops::broadcast::BroadcastKernel;

use crate::{OpenCl, Real};
use operands::{Operands, VALUE};

/// Numbers that a block of queries may need at a time, besides what depends on queries or keys alone.
const BUDGET: usize = 1 << 24;

/// Blocks of queries of which each needs at most `budget` numbers where a query needs `per_query`.
fn blocks(queries: usize, per_query: usize, budget: usize) -> impl Iterator<Item = Range<usize>> {
    const WHOLE: usize = 32;
    let length = (budget / per_query.max(1)).max(1);
    let length = if length > WHOLE { length / WHOLE * WHOLE } else { length };
    (0..queries).step_by(length).map(move |first| first..(first + length).min(queries))
}

/// The output (N, rows, M d_v) and the logarithms of the normalisers (N, M, rows).
fn forward<T: Real>(
    spec: &AttentionSpec,
    inputs: [&Array<OpenCl<T>>; 7],
    budget: usize,
) -> (Array<OpenCl<T>>, Array<OpenCl<T>>) {
    let &AttentionSpec { batch, num_heads: heads, value_dim, .. } = spec;
    let (backend, rows) = (inputs[VALUE].backend(), spec.rows());
    let operands = Operands::new(spec, inputs, rows);
    let output = backend.arbitrary(&[batch, rows, heads * value_dim]);
    let normalisers = backend.arbitrary(&[batch, heads, rows]);
    for block in blocks(rows, operands.strip_numbers(), budget) {
        let strips = operands.strips(&block);
        let launch = backend.launch(operands.tiles.kernels(), "transformer_forward");
        let launch = operands.arguments(launch, &strips, &block).array(inputs[VALUE]);
        let launch = launch.array(&output).array(&normalisers).int(value_dim);
        // Without values the normalisers are still wanted.
        launch.groups(operands.tiles.of_output().cover(block.len(), value_dim.max(1)) * heads * batch);
    }
    (output, normalisers)
}

/// Numbers of all pairs (N, M, rows, K), to be looked at: weights where there are normalisers, else energies.
fn pairs<T: Real>(
    spec: &AttentionSpec,
    inputs: [&Array<OpenCl<T>>; 7],
    rows: usize,
    normalisers: Option<&Array<OpenCl<T>>>,
) -> Array<OpenCl<T>> {
    let &AttentionSpec { batch, num_heads: heads, keys, value_dim, .. } = spec;
    let (backend, all) = (inputs[VALUE].backend(), 0..rows);
    let (operands, pairs) =
        (Operands::new(spec, inputs, rows), backend.arbitrary(&[batch, heads, rows, keys]));
    let strips = operands.strips(&all);
    let launch = backend.launch(operands.tiles.kernels(), "transformer_pairs");
    let launch = operands.arguments(launch, &strips, &all).array(inputs[VALUE]).optional(None);
    let launch = launch.optional(normalisers).optional(None).array(&pairs).optional(None).int(value_dim);
    launch.groups(operands.tiles.of_pairs().cover(rows, keys) * heads * batch);
    pairs
}

impl<T: Real> TransformerAttentionKernel for OpenCl<T> {
    fn transformer_attention_forward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> (Array<Self>, Array<Self>) {
        let (output, normalisers) = forward(spec, inputs, BUDGET);
        let shape = [spec.batch, spec.queries, spec.num_heads * spec.value_dim];
        (Self::broadcast_to(&output, &shape, 1.0), normalisers)
    }

    fn transformer_attention_backward(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
        forward: (&Array<Self>, &Array<Self>),
        grad_output: &Array<Self>,
        needs: [bool; 7],
    ) -> [Option<Array<Self>>; 7] {
        backward::backward(spec, inputs, forward, grad_output, needs, BUDGET)
    }

    fn transformer_attention_weights(spec: &AttentionSpec, inputs: [&Array<Self>; 7]) -> Array<Self> {
        let (_, normalisers) = forward(spec, inputs, BUDGET);
        pairs(spec, inputs, spec.rows(), Some(&normalisers))
    }

    fn transformer_attention_energies(
        spec: &AttentionSpec,
        inputs: [&Array<Self>; 7],
    ) -> [Option<Array<Self>>; 4] {
        std::array::from_fn(|term| {
            spec.terms.flags()[term].then(|| {
                // The same with one term on; operands of the others go unread.
                let terms = Terms::from_flags(std::array::from_fn(|i| i == term));
                pairs(&AttentionSpec { terms, ..spec.clone() }, inputs, spec.rows(), None)
            })
        })
    }
}
