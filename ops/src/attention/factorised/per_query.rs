//! Types with E2: the work split into tasks, and their results put together.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa};

use super::gradients::gather;
use super::per_query_backward::Backward;
use super::per_query_forward::Forward;
use super::{BLOCK, Gradients, Needs, Problem, Shared};
use crate::par;

/// Tasks to cut the work into, where samples and heads alone are fewer.
const MIN_TASKS: usize = 16;

/// Each head's queries in as many parts as it takes: they depend on the shape alone.
fn parts<T: Scalar>(p: &Problem<T>) -> Vec<Range<usize>> {
    let blocks = p.queries().div_ceil(BLOCK);
    let count = MIN_TASKS.div_ceil((p.batch * p.heads).max(1)).clamp(1, blocks.max(1));
    let bound = |i: usize| (i * blocks / count * BLOCK).min(p.queries());
    (0..count).map(|i| bound(i)..bound(i + 1)).collect()
}

/// Output (N, Q, M d_v) and log-sum-exp of the energies (N, M, Q).
pub(super) fn forward<T: Scalar>(isa: Isa, p: &Problem<T>) -> (Buffer<T>, Buffer<T>) {
    let mut output = Buffer::arbitrary(p.batch * p.queries() * p.heads * p.value_dim);
    let mut statistics = Buffer::arbitrary(p.batch * p.heads * p.queries());
    let (shared_output, shared_statistics) = (Shared::of(&mut output), Shared::of(&mut statistics));
    let parts = parts(p);
    let work = parts[0].len() * p.keys() * p.columns();
    par::map(p.batch * p.heads * parts.len(), work, |task| {
        let (head, part) = (task / parts.len(), &parts[task % parts.len()]);
        simd::run_on(
            isa,
            Forward {
                p,
                at: (head / p.heads, head % p.heads),
                queries: (part.start, part.len()),
                output: shared_output,
                statistics: shared_statistics,
            },
        );
    });
    (output, statistics)
}

/// The gradients of what `needs` them.
pub(super) fn backward<T: Scalar>(
    isa: Isa,
    p: &Problem<T>,
    output: &[T],
    statistics: &[T],
    grad_output: &[T],
    needs: &Needs,
) -> Gradients<T> {
    let mut grads = Gradients::new(p, needs);
    let parts = parts(p);
    let work = 3 * parts[0].len() * p.keys() * p.columns();
    let grad_query = grads.query.as_mut().map(|grad| Shared::of(grad));
    let partials = par::map(p.batch * p.heads * parts.len(), work, |task| {
        let (head, part) = (task / parts.len(), &parts[task % parts.len()]);
        simd::run_on(
            isa,
            Backward {
                p,
                at: (head / p.heads, head % p.heads),
                queries: (part.start, part.len()),
                output,
                statistics,
                grad_output,
                need_factors: needs.factors(),
                need_keys: needs.keys(),
                grad_query,
            },
        )
    });
    gather(isa, p, needs, partials, parts.len(), &mut grads);
    grads
}
