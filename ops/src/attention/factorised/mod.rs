//! [`transformer_attention`](super::transformer_attention) on images where E1 is off: the weights factorise,
//! so nothing of size queries times keys is ever exponentiated or stored.
//!
//! With two tables of positions and no mask by position the energy of query `q` and key `(ky, kx)` is a
//! sum of three parts, and its exponential a product:
//!
//! ```text
//! S(q, k) = ex[q, kx] + ey[q, ky] + b[k]        ex, ey = c (b2 Q_q + b4 v) . P     b = c u . K_k
//! A(q, k) = px[q, kx] py[q, ky] pb[k] / Z[q]    px = exp(ex - max ex), py and pb likewise
//! ```
//!
//! The columns `V' = [pb V | pb]` bring the normaliser along as one more channel, so that
//!
//! ```text
//! [o Z | Z]_q = sum_ky py[q, ky] sum_kx px[q, kx] V'[ky, kx]
//! ```
//!
//! is a matrix product over kx whose result never leaves the registers, folded over ky on the way out.
//! A key that is padding has `pb = 0`. Without E3 and padding `pb = 1` and `Z` is the product of two
//! sums: then `V' = V`. Where E2 is on every query has factors of its own ([`per_query`]); with E4 alone
//! they depend on the query's column or row only and the two sums are done one after the other for all
//! queries at once, in `N (W + H) C` ([`per_axis`]).
//!
//! Backward, with `g' = [g / Z | -(g . o) / Z]`:
//!
//! ```text
//! P[q, k]  = g'_q . V'_k        dex[q, kx] = px sum_ky py P     dey[q, ky] = py sum_kx px P
//! dV'_k    = sum_q px py g'_q   dV = pb dV'                     db_k = V'_k . dV'_k
//! ```
//!
//! Each maximum is subtracted on its own. With pb the joint maximum may lie so far below their sum that
//! `Z` nearly vanishes; a query to which that happens is computed from its energies ([`direct`]).

mod axis;
mod block;
mod direct;
mod gradients;
mod keys;
mod per_axis;
mod per_query;
mod per_query_backward;
mod per_query_forward;
mod table;
#[cfg(test)]
mod tests;
mod tile;

use ndarray::Array2;
use termwise_autograd::simd::Isa;
use termwise_autograd::{Array, Cpu, Scalar};

use self::axis::Axis;
use self::gradients::{Gradients, Needs};
use super::transformer::AttentionSpec;

/// Queries that are worked on at a time: their factors stay in the first-level cache.
const BLOCK: usize = 64;

/// Everything that the kernels of this folder read.
struct Problem<'a, T> {
    pub batch: usize,
    pub heads: usize,
    /// d, channels per head of query, key and positions.
    pub head_dim: usize,
    /// d_v, channels per head of value.
    pub value_dim: usize,
    /// The x-axis, then the y-axis.
    pub axes: [Axis; 2],
    /// c.
    pub scale: T,
    /// With E2. (N, Q, M d)
    pub query: Option<&'a [T]>,
    /// v, with E4. (M, d)
    pub position_bias: Option<&'a [T]>,
    /// For x and for y. (rows, M d)
    pub tables: [&'a [T]; 2],
    /// Key (N, K, M d) and u (M, d), with E3.
    pub key: Option<(&'a [T], &'a [T])>,
    /// (N, K, M d_v)
    pub value: &'a [T],
    /// True where a key is padding. (N, K)
    pub padding: Option<&'a Array2<bool>>,
}

impl<'a, T: Scalar> Problem<'a, T> {
    fn of(spec: &'a AttentionSpec, inputs: [&'a Array<Cpu<T>>; 7]) -> Self {
        let operand = |i: usize| inputs[i].present().map(Array::as_slice);
        Problem {
            batch: spec.batch,
            heads: spec.num_heads,
            head_dim: spec.head_dim,
            value_dim: spec.value_dim,
            axes: Axis::both(&spec.lattice),
            scale: T::of(spec.scale),
            query: operand(0),
            position_bias: operand(6),
            tables: [operand(3).unwrap_or_default(), operand(4).unwrap_or_default()],
            key: operand(1).zip(operand(5)),
            value: inputs[2].as_slice(),
            padding: spec.visibility.key_padding.as_ref(),
        }
    }

    pub fn queries(&self) -> usize {
        self.axes[0].queries * self.axes[1].queries
    }

    pub fn keys(&self) -> usize {
        self.axes[0].keys * self.axes[1].keys
    }

    /// Whether keys have a weight `pb` of their own.
    pub fn weighted(&self) -> bool {
        self.key.is_some() || self.padding.is_some()
    }

    /// Columns of V'.
    pub fn columns(&self) -> usize {
        self.value_dim + usize::from(self.weighted())
    }

    /// Below this a normaliser is not to be trusted: the terms that make it up may have underflowed.
    pub fn smallest_normaliser() -> T {
        T::min_positive_value().sqrt()
    }
}

/// Elements to a cache line, or a multiple of it.
const LINE: usize = 16;

/// Elements of a piece of memory that [`carve`] can cut into parts of these lengths.
fn carved<const N: usize>(lens: [usize; N]) -> usize {
    lens.into_iter().map(|len| len.next_multiple_of(LINE)).sum()
}

/// Cuts memory that begins on a cache line into parts that each do.
fn carve<T, const N: usize>(mut memory: &mut [T], lens: [usize; N]) -> [&mut [T]; N] {
    lens.map(|len| {
        let (part, rest) = std::mem::take(&mut memory).split_at_mut(len.next_multiple_of(LINE));
        memory = rest;
        &mut part[..len]
    })
}

/// A buffer that several tasks write at once, each its own elements.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

// SAFETY: the tasks that share one write disjoint elements, which each of them vouches for.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn of(buffer: &mut [T]) -> Self {
        Shared(buffer.as_mut_ptr())
    }

    /// # Safety
    /// The element must lie in the buffer; what is reached through the pointer must be used by no other
    /// task.
    #[inline(always)]
    unsafe fn at(self, start: usize) -> *mut T {
        // SAFETY: the caller vouches for it.
        unsafe { self.0.add(start) }
    }

    /// # Safety
    /// The range must lie in the buffer, and no other task may use any of it.
    #[inline(always)]
    unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller vouches for it.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// Output (N, Q, M d_v) and, for each query, the log-sum-exp of its energies (N, M, Q).
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
) -> (Array<Cpu<T>>, Array<Cpu<T>>) {
    let p = &Problem::of(spec, inputs);
    let (output, statistics) =
        if p.query.is_some() { per_query::forward(isa, p) } else { per_axis::forward(isa, p) };
    (
        Array::from_buffer(&[p.batch, p.queries(), p.heads * p.value_dim], output),
        Array::from_buffer(&[p.batch, p.heads, p.queries()], statistics),
    )
}

/// The gradient of each input that needs one, from what [`forward`] returned.
pub(super) fn backward<T: Scalar>(
    isa: Isa,
    spec: &AttentionSpec,
    inputs: [&Array<Cpu<T>>; 7],
    (output, statistics): (&Array<Cpu<T>>, &Array<Cpu<T>>),
    grad_output: &Array<Cpu<T>>,
    needs: [bool; 7],
) -> [Option<Array<Cpu<T>>>; 7] {
    let p = &Problem::of(spec, inputs);
    let [query, key, value, x, y, key_bias, position_bias] =
        std::array::from_fn(|i| needs[i] && !inputs[i].is_absent());
    let needs = &Needs { query, key, value, tables: [x, y], key_bias, position_bias };
    let (output, statistics, grad) = (output.as_slice(), statistics.as_slice(), grad_output.as_slice());
    let grads = if p.query.is_some() {
        per_query::backward(isa, p, output, statistics, grad, needs)
    } else {
        per_axis::backward(isa, p, output, statistics, grad, needs)
    };
    let [x, y] = grads.tables;
    let grads = [grads.query, grads.key, grads.value, x, y, grads.key_bias, grads.position_bias];
    let mut inputs = inputs.into_iter();
    grads.map(|grad| {
        let shape = inputs.next().expect("as many inputs as gradients").shape();
        grad.map(|grad| Array::from_buffer(shape, grad))
    })
}
