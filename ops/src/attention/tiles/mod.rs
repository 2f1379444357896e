//! [`transformer_attention`](super::transformer_attention) on the CPU by tiles of queries by keys: nothing
//! of the size of all pairs is ever in memory.
//!
//! ```text
//! for each block of queries
//!     for each chunk of keys that some of them sees
//!         S = relative terms + (b1 q + b3 u) K^T        (log2 e times the scale is folded into the queries)
//!         P = 2^(S - m)                                 m the maximum so far, l the sum of P
//!         o = o + P V
//!     o = o / l,  normaliser = log l + m
//! ```
//!
//! Backward computes `P = exp(S - normaliser)` of each tile again: `dS = P (do V^T - do . o)`.
//!
//! | file | what |
//! |---|---|
//! | `plan` | operands, blocks, chunks, tasks |
//! | `pack`, `tables` | operands and tables of positions in the order in which they are read |
//! | `bias`, `start`, `bias_gradient`, `cross_sums` | relative terms, biases and masks, which the energies start from |
//! | `product` | the products of tiles |
//! | `forward`, `backward`, `backward_tile` | the two passes |
//! | `gradients` | what tasks leave, added up |
//!
//! The partition into blocks, chunks and tasks depends on the shapes alone, and sums over tasks are added in
//! order: the same bits for any number of threads.

mod backward;
mod backward_tile;
mod bias;
mod bias_gradient;
mod cross_sums;
mod forward;
mod gradients;
mod pack;
mod plan;
mod product;
mod start;
mod tables;
#[cfg(test)]
mod tests;

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa};
use termwise_autograd::{Array, Cpu, Scalar};

use super::transformer::AttentionSpec;
use crate::par;
use forward::Forward;
use gradients::Gradients;
use plan::{Plan, Relative};
use tables::Tables;

/// Whether a call can be computed by tiles: there is something to compute, and its tables are those of the
/// lattice.
pub(super) fn covers(spec: &AttentionSpec) -> bool {
    let sizes = [spec.batch, spec.queries, spec.keys, spec.value_dim];
    let has_channels = spec.head_dim > 0 || !(spec.terms.uses_query() || spec.terms.position);
    !spec.shares_row() && !sizes.contains(&0) && has_channels && Relative::of(spec).is_some()
}

/// Output and logarithms of the normalisers; see the kernel trait.
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
) -> (Array<Cpu<T>>, Array<Cpu<T>>) {
    let plan = Plan::new(isa, spec, inputs, Relative::of(spec).expect("covered"));
    let tables = Tables::new(&plan, false);
    let shape = [spec.batch, spec.queries, spec.num_heads * spec.value_dim];
    let mut output = Buffer::arbitrary(shape.iter().product());
    let mut normalisers = Buffer::arbitrary(spec.batch * spec.num_heads * spec.queries);
    {
        let (output, normalisers) = (Shared::new(&mut output), Shared::new(&mut normalisers));
        par::map(plan.tasks(), plan.work(), |task| {
            simd::run_on(isa, Forward { plan: &plan, tables: &tables, task, output, normalisers });
        });
    }
    let rows = [spec.batch, spec.num_heads, spec.queries];
    (Array::from_buffer(&shape, output), Array::from_buffer(&rows, normalisers))
}

/// The gradient of each input that needs one; see the kernel trait.
pub(super) fn backward<T: Scalar>(
    isa: Isa,
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
    (output, normalisers): (&Array<Cpu<T>>, &Array<Cpu<T>>),
    grad_output: &Array<Cpu<T>>,
    needs: [bool; 7],
) -> [Option<Array<Cpu<T>>>; 7] {
    let plan = Plan::new(isa, spec, inputs, Relative::of(spec).expect("covered")).with_shared_tables();
    let needs: [bool; 7] = std::array::from_fn(|i| needs[i] && !inputs[i].is_absent());
    let tables = Tables::new(&plan, true);
    let mut gradients = Gradients::new(inputs, needs);
    gradients.compute(&plan, &tables, [output, normalisers, grad_output].map(Array::as_slice));
    gradients.into_arrays(inputs)
}

/// A buffer that tasks write disjoint parts of.
#[derive(Clone, Copy)]
struct Shared<T> {
    data: *mut T,
    len: usize,
}

// SAFETY: a `Shared` does nothing by itself; who takes a slice of it vouches for that nobody else does.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(buffer: &mut [T]) -> Self {
        Shared { data: buffer.as_mut_ptr(), len: buffer.len() }
    }

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part from `start` on.
    ///
    /// # Safety
    /// The buffer must still be there, and nobody else may use that part at the same time.
    #[inline(always)]
    unsafe fn slice<'s>(self, start: usize, len: usize) -> &'s mut [T] {
        assert!(start + len <= self.len, "a part of {} from {start} of {}", len, self.len);
        // SAFETY: within the buffer; the rest is the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}
