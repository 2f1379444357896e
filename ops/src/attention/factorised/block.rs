//! The factors `px` and `py` of a block of queries.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Vector, math, transpose};

use super::axis::Axis;
use super::table::Table;
use super::{BLOCK, Problem};

/// The factors of a block of queries along one axis: queries along the lanes.
pub(super) struct Factors<'a, T> {
    /// `exp(e - max e)`. (keys, BLOCK)
    pub weights: &'a mut [T],
    /// `max e`. (BLOCK)
    pub largest: [T; BLOCK],
    /// Sum of the weights over the keys. (BLOCK)
    pub sums: [T; BLOCK],
}

impl<'a, T: Scalar> Factors<'a, T> {
    /// Room for the factors, to be filled. (keys, BLOCK)
    pub fn new(weights: &'a mut [T]) -> Self {
        Factors { weights, largest: [T::zero(); BLOCK], sums: [T::zero(); BLOCK] }
    }

    /// Those of the queries at the given positions, whose scaled content is `queries` (BLOCK, dim_padded).
    /// `energies` is scratch: (BLOCK, keys rounded up to whole vectors).
    #[inline(always)]
    pub fn fill<V: Vector<Element = T>>(
        &mut self,
        axis: &Axis,
        table: &Table<T>,
        positions: &[usize; BLOCK],
        queries: &[T],
        energies: &mut [T],
    ) {
        let padded = axis.keys.next_multiple_of(V::LANES);
        // (1) e = q . P
        table.energies::<V>(positions, queries, energies);
        assert!(energies.len() >= BLOCK * padded && self.weights.len() == axis.keys * BLOCK);
        // SAFETY: both matrices are as long as just checked.
        unsafe {
            transpose::<V>([BLOCK, axis.keys], energies.as_ptr(), padded, self.weights.as_mut_ptr(), BLOCK);
        }
        // (2) p = exp(e - max e)
        for q in (0..BLOCK).step_by(V::LANES) {
            let mut largest = V::splat(T::neg_infinity());
            for weights in self.weights.chunks_exact(BLOCK) {
                largest = largest.max(V::from_slice(&weights[q..]));
            }
            let mut sum = V::zero();
            for weights in self.weights.chunks_exact_mut(BLOCK) {
                let weight = math::exp(V::from_slice(&weights[q..]) - largest);
                weight.write_to(&mut weights[q..]);
                sum += weight;
            }
            largest.write_to(&mut self.largest[q..]);
            sum.write_to(&mut self.sums[q..]);
        }
    }
}

/// `c (b2 Q + b4 v)` of the `count` queries from `start`, zeros where there is no query or channel.
/// (BLOCK, dim_padded)
#[inline(always)]
pub(super) fn load_queries<V: Vector>(
    p: &Problem<V::Element>,
    (n, m): (usize, usize),
    (start, count): (usize, usize),
    into: &mut [V::Element],
) {
    let dim = p.head_dim;
    let dim_padded = dim.next_multiple_of(V::LANES);
    let scale = V::splat(p.scale);
    let bias = p.position_bias.map(|bias| &bias[m * dim..][..dim]);
    for (i, into) in into.chunks_exact_mut(dim_padded).enumerate() {
        for c in (0..dim_padded).step_by(V::LANES) {
            let mut query = V::zero();
            if i < count {
                if let Some(all) = p.query {
                    let at = ((n * p.queries() + start + i) * p.heads + m) * dim;
                    query = V::from_slice(&all[at + c..at + dim.min(c + V::LANES)]);
                }
                if let Some(bias) = bias {
                    query += V::from_slice(&bias[c..dim.min(c + V::LANES)]);
                }
            }
            (scale * query).write_to(&mut into[c..]);
        }
    }
}

/// Rows of the heads of an array (N, Q, M dim), transposed: (dim, BLOCK), zeros beyond `count`.
#[inline(always)]
pub(super) fn load_transposed<V: Vector>(
    all: &[V::Element],
    (row, stride): (usize, usize),
    (count, dim): (usize, usize),
    into: &mut [V::Element],
) {
    if count < BLOCK {
        into[..dim * BLOCK].fill(V::Element::of(0.0));
    }
    let from = &all[row..];
    assert!(from.len() >= (count - 1) * stride + dim && into.len() >= dim * BLOCK && count <= BLOCK);
    // SAFETY: both matrices are as long as just checked.
    unsafe { transpose::<V>([count, dim], from.as_ptr(), stride, into.as_mut_ptr(), BLOCK) }
}
