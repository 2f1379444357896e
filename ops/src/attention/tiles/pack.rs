//! Operands of one head, copied into the order in which tiles read them.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Vector, prefetch, transpose};

use super::Shared;
use super::plan::{Chunk, Plan, Relative, padding};

/// One operand of the keys of one head, chunk after chunk.
pub(super) struct Packed<T: Scalar> {
    data: Buffer<T>,
    first: usize,
    /// Numbers of a chunk.
    pub size: usize,
    /// Numbers from one row of a chunk to the next.
    pub row: usize,
}

impl<T: Scalar> Packed<T> {
    /// Room for the chunks `chunks`, of `rows` rows of `row` numbers each.
    pub fn arbitrary(chunks: Range<usize>, rows: usize, row: usize) -> Self {
        let size = rows * row;
        Packed { data: Buffer::arbitrary(chunks.len() * size), first: chunks.start, size, row }
    }

    /// Zeros for the chunks.
    pub fn zeros(chunks: Range<usize>, rows: usize, row: usize) -> Self {
        let mut packed = Packed::arbitrary(chunks, rows, row);
        packed.data.fill(T::zero());
        packed
    }

    /// The chunk.
    pub fn chunk(&self, chunk: usize) -> &[T] {
        &self.data[(chunk - self.first) * self.size..][..self.size]
    }

    /// The chunk, to be written.
    pub fn chunk_mut(&mut self, chunk: usize) -> &mut [T] {
        &mut self.data[(chunk - self.first) * self.size..][..self.size]
    }

    /// All chunks one after the other.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The chunk, where it is among these.
    pub fn get(&self, chunk: usize) -> Option<&[T]> {
        let i = chunk.checked_sub(self.first)?;
        self.data.chunks_exact(self.size).nth(i)
    }
}

/// Which head of which sample, and which chunks of its keys.
#[derive(Clone)]
pub(super) struct Head {
    pub n: usize,
    pub m: usize,
    pub chunks: Range<usize>,
}

/// The numbers of row `row` of sample `n` that belong to head `m`: `source` is (N, rows, M dim).
#[inline(always)]
pub(super) fn head_row<T>(
    source: &[T],
    [n, rows, row]: [usize; 3],
    [heads, m]: [usize; 2],
    dim: usize,
) -> &[T] {
    &source[((n * rows + row) * heads + m) * dim..][..dim]
}

/// Channels as rows, keys as columns: each chunk is (channels, width), channels a multiple of 4; zero where
/// there is no key or no channel.
///
/// # Safety
/// `V` must be of the plan's instruction set.
#[inline(always)]
pub(super) unsafe fn transposed<T: Scalar, V: Vector<Element = T>>(
    plan: &Plan<T>,
    head: &Head,
    source: &[T],
    dim: usize,
) -> Packed<T> {
    let mut packed = Packed::arbitrary(head.chunks.clone(), dim.next_multiple_of(4), plan.width);
    for i in head.chunks.clone() {
        let chunk = &plan.chunks[i];
        let from = plan.rows_of(source, head, chunk, dim);
        let into = packed.chunk_mut(i);
        // SAFETY: the rows of the chunk's keys, channels of the head, are within the source; the packed chunk has
        // a row for each channel and a column for each key.
        unsafe {
            transpose::<V>([chunk.len, dim], from.as_ptr(), plan.stride(dim), into.as_mut_ptr(), plan.width);
        }
        for channel in into[..dim * plan.width].chunks_exact_mut(plan.width) {
            channel[chunk.len..].fill(T::zero());
        }
        into[dim * plan.width..].fill(T::zero());
    }
    packed
}

/// Keys as rows: each chunk is (width, row), a row the channels and zeros up to a multiple of the lanes.
#[inline(always)]
pub(super) fn rows<T: Scalar, V: Vector<Element = T>>(
    plan: &Plan<T>,
    head: &Head,
    source: &[T],
    dim: usize,
) -> Packed<T> {
    let row = dim.next_multiple_of(V::LANES);
    let mut packed = Packed::arbitrary(head.chunks.clone(), plan.width, row);
    for i in head.chunks.clone() {
        let chunk = &plan.chunks[i];
        let from = plan.rows_of(source, head, chunk, dim).chunks(plan.stride(dim));
        let into = packed.chunk_mut(i);
        for (into, from) in into.chunks_exact_mut(row).zip(from) {
            for (into, from) in into.chunks_exact_mut(V::LANES).zip(from[..dim].chunks(V::LANES)) {
                V::from_slice(from).write_to(into);
            }
        }
        into[chunk.len * row..].fill(T::zero());
    }
    packed
}

impl<T: Scalar> Plan<'_, T> {
    /// Numbers from one key or query to the next in an operand (N, .., M dim).
    fn stride(&self, dim: usize) -> usize {
        self.spec.num_heads * dim
    }

    /// From the numbers of a chunk's first key in an operand (N, K, M dim) to those of its last.
    #[inline(always)]
    fn rows_of<'s>(&self, source: &'s [T], head: &Head, chunk: &Chunk, dim: usize) -> &'s [T] {
        let start = ((head.n * self.spec.keys + chunk.start) * self.spec.num_heads + head.m) * dim;
        &source[start..][..(chunk.len - 1) * self.stride(dim) + dim]
    }

    /// Writes a gradient (N, K, M dim) of one head: `factor` times the sum of transposed parts, in order; keys
    /// that none of them has seen get zero.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set, and nobody else may use the keys of this head in `into`.
    #[inline(always)]
    pub unsafe fn write_keys<V: Vector<Element = T>>(
        &self,
        [n, m]: [usize; 2],
        parts: &[&Packed<T>],
        dim: usize,
        factor: T,
        into: Shared<T>,
    ) {
        let mut sums = scratch::<T>(dim.next_multiple_of(4), self.width);
        for (i, chunk) in self.chunks.iter().enumerate() {
            sums.fill(T::zero());
            for part in parts.iter().filter_map(|part| part.get(i)) {
                for (sum, part) in sums.chunks_exact_mut(V::LANES).zip(part.chunks_exact(V::LANES)) {
                    (V::from_slice(sum) + V::from_slice(part)).write_to(sum);
                }
            }
            for sum in sums.chunks_exact_mut(V::LANES) {
                (V::from_slice(sum) * V::splat(factor)).write_to(sum);
            }
            let start = ((n * self.spec.keys + chunk.start) * self.spec.num_heads + m) * dim;
            // SAFETY: the rows of the chunk's keys lie in the gradient, the channels in the sums.
            unsafe {
                let into = into.slice(start, (chunk.len - 1) * self.stride(dim) + dim).as_mut_ptr();
                transpose::<V>([dim, chunk.len], sums.as_ptr(), self.width, into, self.stride(dim));
            }
        }
    }

    /// The bias of each key: scaled E3 where it is not folded into the query, and `-inf` where nobody may look.
    pub fn key_biases(&self, head: &Head) -> KeyBiases<T> {
        let (spec, d) = (self.spec, self.spec.head_dim);
        let mut biases = Packed::zeros(head.chunks.clone(), 1, self.width);
        let mut used = vec![self.has_key_bias(); head.chunks.len()];
        let bias = self.key_bias.filter(|_| self.has_key_bias()).map(|u| &u[head.m * d..][..d]);
        for i in head.chunks.clone() {
            let chunk = &self.chunks[i];
            let row = biases.chunk_mut(i);
            row[chunk.len..].fill(T::neg_infinity());
            used[i - head.chunks.start] |= !chunk.len.is_multiple_of(self.lanes);
            if let (Some(u), Some(key)) = (bias, self.key) {
                for (j, bias) in row[..chunk.len].iter_mut().enumerate() {
                    let at = [head.n, spec.keys, chunk.start + j];
                    let key = head_row(key, at, [spec.num_heads, head.m], d);
                    *bias = self.scale() * key.iter().zip(u).map(|(&k, &u)| k * u).sum::<T>();
                }
            }
            if let Some(padding) = &spec.visibility.key_padding {
                for (j, bias) in row[..chunk.len].iter_mut().enumerate() {
                    if padding[[head.n, chunk.start + j]] {
                        *bias = T::neg_infinity();
                        used[i - head.chunks.start] = true;
                    }
                }
            }
        }
        KeyBiases { biases, used }
    }

    /// Queries of a block: `(b1 q + b3 u) c` for content and `(b2 q + b4 v) c` for positions, (block,
    /// channels) each, with `c` the scale in base 2; rows beyond the last query are zero.
    #[inline(always)]
    pub fn pack_queries<V: Vector<Element = T>>(
        &self,
        head: &Head,
        block: usize,
        content: &mut [T],
        position: &mut [T],
    ) {
        let terms = self.spec.terms;
        let key_bias = self.key_bias.filter(|_| terms.query_key);
        let query = self.query.filter(|_| terms.query_key);
        self.pack_sums::<V>(head, block, query, key_bias, content);
        if self.relative != Relative::Absent {
            let query = self.query.filter(|_| terms.query_position);
            self.pack_sums::<V>(head, block, query, self.position_bias, position);
        }
    }

    /// Asks for the rows of an operand (N, Q, M dim) that a block of queries reads.
    #[inline(always)]
    pub fn prefetch_queries(&self, head: &Head, block: usize, source: &[T], dim: usize) {
        let spec = self.spec;
        if dim == 0 || block * self.block >= spec.queries {
            return;
        }
        for q in self.queries(block) {
            let row = head_row(source, [head.n, spec.queries, q], [spec.num_heads, head.m], dim);
            row.iter().step_by(padding::<T>()).for_each(|x| prefetch(x));
        }
    }

    /// The sum of a query and a bias, scaled.
    #[inline(always)]
    fn pack_sums<V: Vector<Element = T>>(
        &self,
        head: &Head,
        block: usize,
        query: Option<&[T]>,
        bias: Option<&[T]>,
        into: &mut [T],
    ) {
        let (spec, d, scale) = (self.spec, self.spec.head_dim, V::splat(self.scale()));
        let Some(channels) = Some(self.channels()).filter(|_| query.is_some() || bias.is_some()) else {
            into.fill(T::zero());
            return;
        };
        let bias = bias.map(|bias| &bias[head.m * d..][..d]);
        let queries = self.queries(block);
        for (i, q) in queries.clone().enumerate() {
            let into = &mut into[i * channels..][..channels];
            into[d..].fill(T::zero());
            let query =
                query.map(|query| head_row(query, [head.n, spec.queries, q], [spec.num_heads, head.m], d));
            for c in (0..d).step_by(V::LANES) {
                let end = d.min(c + V::LANES);
                let mut sum = V::zero();
                if let Some(query) = query {
                    sum = V::from_slice(&query[c..end]);
                }
                if let Some(bias) = bias {
                    sum += V::from_slice(&bias[c..end]);
                }
                (sum * scale).write_to(&mut into[c..end]);
            }
        }
        into[queries.len() * channels..].fill(T::zero());
    }
}

/// Biases of keys.
pub(super) struct KeyBiases<T: Scalar> {
    /// (1, width) a chunk.
    pub biases: Packed<T>,
    used: Vec<bool>,
}

impl<T: Scalar> KeyBiases<T> {
    /// Whether any of the chunk is not zero.
    pub fn used(&self, chunk: usize) -> bool {
        self.used[chunk - self.biases.first]
    }
}

/// A block's worth of scratch, whatever it holds: `rows` rows of `row` numbers, and a cache line to write past
/// the end.
pub(super) fn scratch<T: Scalar>(rows: usize, row: usize) -> Buffer<T> {
    Buffer::arbitrary(rows * row + padding::<T>())
}
