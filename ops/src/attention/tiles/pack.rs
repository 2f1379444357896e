//! Operands of one head, copied into the order in which tiles read them.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;

use super::plan::{Plan, padding};

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
    /// Zeros for the chunks `chunks`, of `rows` rows of `row` numbers each.
    pub fn zeros(chunks: Range<usize>, rows: usize, row: usize) -> Self {
        let size = rows * row;
        Packed { data: Buffer::zeros(chunks.len() * size), first: chunks.start, size, row }
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
pub(super) fn transposed<T: Scalar>(plan: &Plan<T>, head: &Head, source: &[T], dim: usize) -> Packed<T> {
    let channels = dim.next_multiple_of(4);
    let mut packed = Packed::zeros(head.chunks.clone(), channels, plan.width);
    for i in head.chunks.clone() {
        let chunk = &plan.chunks[i];
        let into = packed.chunk_mut(i);
        for j in 0..chunk.len {
            let row = plan.row_of(source, head, chunk.start + j, dim);
            for (c, &value) in row.iter().enumerate() {
                into[c * plan.width + j] = value;
            }
        }
    }
    packed
}

/// Keys as rows: each chunk is (width, row), a row the channels and zeros up to a multiple of the lanes.
pub(super) fn rows<T: Scalar>(plan: &Plan<T>, head: &Head, source: &[T], dim: usize) -> Packed<T> {
    let row = dim.next_multiple_of(plan.lanes);
    let mut packed = Packed::zeros(head.chunks.clone(), plan.width, row);
    for i in head.chunks.clone() {
        let chunk = &plan.chunks[i];
        for (j, into) in packed.chunk_mut(i).chunks_mut(row).take(chunk.len).enumerate() {
            into[..dim].copy_from_slice(plan.row_of(source, head, chunk.start + j, dim));
        }
    }
    packed
}

impl<T: Scalar> Plan<'_, T> {
    /// The numbers of key `k` in an operand (N, K, M dim).
    #[inline(always)]
    fn row_of<'s>(&self, source: &'s [T], head: &Head, k: usize, dim: usize) -> &'s [T] {
        head_row(source, [head.n, self.spec.keys, k], [self.spec.num_heads, head.m], dim)
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
                    let key = self.row_of(key, head, chunk.start + j, d);
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
    pub fn pack_queries(&self, head: &Head, block: usize, content: &mut [T], position: &mut [T]) {
        let (spec, d, channels) = (self.spec, self.spec.head_dim, self.channels());
        let terms = spec.terms;
        content.fill(T::zero());
        position.fill(T::zero());
        let bias = |bias: Option<&'_ [T]>, c: usize| bias.map_or(T::zero(), |b| b[head.m * d + c]);
        for (i, q) in self.queries(block).enumerate() {
            let at = [head.n, spec.queries, q];
            let query = self.query.map(|query| head_row(query, at, [spec.num_heads, head.m], d));
            for c in 0..d {
                let value = query.map_or(T::zero(), |query| query[c]);
                if terms.query_key {
                    content[i * channels + c] = (value + bias(self.key_bias, c)) * self.scale();
                }
                if self.relative != super::plan::Relative::Absent {
                    let value = if terms.query_position { value } else { T::zero() };
                    position[i * channels + c] = (value + bias(self.position_bias, c)) * self.scale();
                }
            }
        }
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

/// A block's worth of scratch: `rows` rows of `row` numbers, and a cache line to write past the end.
pub(super) fn scratch<T: Scalar>(rows: usize, row: usize) -> Buffer<T> {
    Buffer::zeros(rows * row + padding::<T>())
}
