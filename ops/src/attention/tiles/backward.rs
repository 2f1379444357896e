//! Backward: the tiles of forward again, and the products of their gradients.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Kernel, Vector};

use super::Shared;
use super::backward_tile::{Block, Tile};
use super::bias::{Bias, Seen, seen};
use super::bias_gradient::{RelativeGradients, Slopes, margin};
use super::gradients::Partial;
use super::pack::{self, Head, Packed, head_row, scratch};
use super::plan::{Plan, Relative, Visible, use_dots};
use super::product::collapse;
use super::tables::Tables;

/// One task: a head of some samples and some blocks of its queries.
pub(super) struct Backward<'a, T: Scalar> {
    pub plan: &'a Plan<'a, T>,
    pub tables: &'a Tables<T>,
    pub task: usize,
    /// Output, normalisers, gradient of the output.
    pub given: [&'a [T]; 3],
    pub needs: [bool; 7],
    /// Gradients to be written.
    pub query: Shared<T>,
    pub key: Shared<T>,
    pub value: Shared<T>,
}

/// Which parts of the computation are wanted.
#[derive(Clone, Copy)]
struct Wanted {
    /// Gradients of the energies.
    slopes: bool,
    /// Of `b1 q + b3 u`.
    content: bool,
    /// Of `b2 q + b4 v`.
    position: bool,
    tables: bool,
    /// Of biases of keys.
    key_biases: bool,
}

impl Wanted {
    fn of<T: Scalar>(plan: &Plan<T>, needs: [bool; 7]) -> Self {
        let terms = plan.spec.terms;
        Wanted {
            slopes: needs.iter().enumerate().any(|(i, &needs)| needs && i != 2),
            content: terms.query_key && (needs[0] || needs[5]),
            position: needs[0] && terms.query_position || needs[6],
            tables: needs[3] || needs[4],
            key_biases: plan.has_key_bias() && (needs[1] || needs[5]),
        }
    }
}

/// What a task keeps while it goes through blocks and samples.
struct Scratch<'a, T: Scalar> {
    operands: Block<T>,
    /// (block, width)
    weights: Buffer<T>,
    /// (block, width and a margin on both sides)
    slopes: Buffer<T>,
    margin: usize,
    /// Gradient of the content query, see [`RelativeGradients`]. (block, per_query)
    grad_content: Buffer<T>,
    per_query: usize,
    relative: RelativeGradients<'a, T>,
    /// Gradients of content and position query. (block, channels)
    content: Buffer<T>,
    position: Buffer<T>,
    /// Their sums over all queries.
    key_bias: Vec<T>,
    position_bias: Vec<T>,
}

/// The operands of the keys of one head, and their gradients.
struct Keys<T: Scalar> {
    /// (channels, width) a chunk.
    keys: Option<Packed<T>>,
    values: Option<Packed<T>>,
    /// (width, row) a chunk.
    rows: Option<Packed<T>>,
    /// Transposed.
    grad_keys: Option<Packed<T>>,
    grad_values: Option<Packed<T>>,
    /// (1, width) a chunk.
    grad_biases: Option<Packed<T>>,
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = Partial<T>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Partial<T> {
        let (plan, d, channels) = (self.plan, self.plan.spec.head_dim, self.plan.channels());
        let wanted = Wanted::of(plan, self.needs);
        let (samples, m, blocks) = plan.task(self.task);
        let margin = margin(plan);
        let row = if use_dots(d, V::LANES) { channels * V::LANES } else { d.next_multiple_of(V::LANES) };
        let per_query = if wanted.content { row } else { 0 };
        let mut scratch = Scratch {
            operands: Block::new(plan),
            weights: scratch(plan.block, plan.width),
            slopes: scratch(plan.block, plan.width + 2 * margin),
            margin,
            grad_content: scratch(plan.block, per_query),
            per_query,
            relative: RelativeGradients::new(plan, self.tables, m, wanted.position, wanted.tables),
            content: Buffer::zeros(plan.block * channels),
            position: Buffer::zeros(plan.block * channels),
            key_bias: vec![T::zero(); d],
            position_bias: vec![T::zero(); d],
        };
        let (mut key, mut value) = (None, None);
        for n in samples {
            let head = Head { n, m, chunks: plan.chunks_of(&blocks) };
            let mut keys = self.keys::<V>(&head, wanted);
            let mut bias = Bias::new(plan, self.tables, &head);
            for block in blocks.clone() {
                // SAFETY: `V` is what the plan was made for.
                unsafe { self.block::<V>(&head, block, wanted, &mut keys, &mut bias, &mut scratch) };
            }
            let Keys { grad_keys, grad_values, grad_biases, .. } = &mut keys;
            if let Some(sums) = grad_biases {
                plan.key_bias_gradient(&head, sums.as_mut_slice(), grad_keys.as_mut(), &mut scratch.key_bias);
            }
            if plan.groups > 1 {
                (key, value) = (grad_keys.take(), grad_values.take());
                continue;
            }
            // SAFETY: `V` is what the plan was made for; no other task has this head.
            unsafe {
                if let Some(grad) = grad_keys {
                    plan.write_keys::<V>([n, m], &[grad], d, plan.unscale(), self.key);
                }
                if let Some(grad) = grad_values {
                    plan.write_keys::<V>([n, m], &[grad], plan.spec.value_dim, T::one(), self.value);
                }
            }
        }
        let Scratch { relative, key_bias, position_bias, .. } = scratch;
        Partial { key, value, tables: relative.packed, key_bias, position_bias }
    }
}

impl<T: Scalar> Backward<'_, T> {
    /// Packs what the keys of a head offer.
    #[inline(always)]
    fn keys<V: Vector<Element = T>>(&self, head: &Head, wanted: Wanted) -> Keys<T> {
        let (plan, spec) = (self.plan, self.plan.spec);
        let zeros = |rows: usize| Packed::zeros(head.chunks.clone(), rows, plan.width);
        let mut keys = Keys {
            keys: None,
            values: None,
            rows: None,
            grad_keys: self.needs[1].then(|| zeros(plan.channels())),
            grad_values: self.needs[2].then(|| zeros(plan.value_channels())),
            grad_biases: wanted.key_biases.then(|| zeros(1)),
        };
        // SAFETY: `V` is what the plan was made for.
        unsafe {
            if let Some(key) = plan.key.filter(|_| spec.terms.query_key) {
                keys.keys = Some(pack::transposed::<T, V>(plan, head, key, spec.head_dim));
                if wanted.content && !use_dots(spec.head_dim, V::LANES) {
                    keys.rows = Some(pack::rows::<T, V>(plan, head, key, spec.head_dim));
                }
            }
            if wanted.slopes {
                keys.values = Some(pack::transposed::<T, V>(plan, head, plan.value, spec.value_dim));
            }
        }
        keys
    }

    /// All tiles of a block of queries.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set.
    #[inline(always)]
    unsafe fn block<V: Vector<Element = T>>(
        &self,
        head: &Head,
        block: usize,
        wanted: Wanted,
        keys: &mut Keys<T>,
        bias: &mut Bias<T>,
        scratch: &mut Scratch<T>,
    ) {
        let (plan, channels) = (self.plan, self.plan.channels());
        let queries = plan.queries(block);
        let visible = plan.visible(block);
        scratch.operands.load::<V>(plan, head, block, self.given);
        scratch.grad_content.fill(T::zero());
        scratch.relative.begin();
        self.prefetch(head, block + 1);
        // SAFETY: the caller's; all extents are the plan's.
        unsafe {
            bias.begin::<V>(block, &scratch.operands.position);
            for chunk in head.chunks.clone() {
                if let Some(seen) = seen(&plan.chunks[chunk], visible.as_ref(), V::LANES) {
                    let at = (block, chunk, &seen, visible.as_ref());
                    self.tile::<V>(at, wanted, keys, bias, scratch);
                }
            }
            if wanted.position || wanted.tables {
                let (position, into) = (&scratch.operands.position, &mut scratch.position);
                scratch.relative.finish::<V>(bias, block, position, into);
            }
        }
        if wanted.content {
            let from = scratch.grad_content.chunks_exact(scratch.per_query).take(queries.len());
            let lanes = use_dots(plan.spec.head_dim, V::LANES);
            for (from, into) in from.zip(scratch.content.chunks_exact_mut(channels)) {
                collapse::<V>(from, lanes, &mut into[..plan.spec.head_dim]);
            }
        }
        self.finish_queries::<V>(head, queries, scratch);
    }

    /// One tile: a block of queries by the part of a chunk that it sees.
    ///
    /// # Safety
    /// As for `block`.
    #[inline(always)]
    unsafe fn tile<V: Vector<Element = T>>(
        &self,
        (block, chunk, seen, visible): (usize, usize, &Seen, Option<&Visible>),
        wanted: Wanted,
        keys: &mut Keys<T>,
        bias: &mut Bias<T>,
        scratch: &mut Scratch<T>,
    ) {
        let (plan, width, channels) = (self.plan, self.plan.width, self.plan.channels());
        let (d, dv, value_channels) = (plan.spec.head_dim, plan.spec.value_dim, plan.value_channels());
        let (operands, weights) = (&scratch.operands, &mut scratch.weights);
        let queries = plan.queries(block).len();
        let rows = queries.next_multiple_of(8);
        let tile = Tile { rows, queries, columns: seen.columns.clone(), width };
        // SAFETY: the caller's.
        unsafe {
            // (1) P = 2^(S - normaliser)
            let start = bias.start::<V>(block, chunk, seen, &operands.position, visible);
            let of = keys.keys.as_ref().map(|keys| (keys.chunk(chunk), d));
            tile.weights::<T, V>(start, operands, channels, of, weights);
            // (2) o = P V  =>  dV = P^T do
            if let Some(grad) = &mut keys.grad_values {
                let weights = (weights.as_ptr(), width);
                tile.transposed::<V>(&operands.grad, value_channels, weights, grad.chunk_mut(chunk));
            }
            let Some(values) = &keys.values else { return };
            // (3) dS = P (do V^T - do . o)
            let row = width + 2 * scratch.margin;
            let with_margin = scratch.slopes.as_mut_ptr();
            let into = with_margin.add(scratch.margin);
            let slopes = Slopes { data: into.cast_const(), row };
            tile.slopes::<T, V>(operands, value_channels, (values.chunk(chunk), dv), weights, (into, row));
            // (4) S = content K^T  =>  dcontent = dS K, dK = dS^T content
            if let (Some(grad), Some(_)) = (&mut keys.grad_keys, &keys.keys) {
                let into = grad.chunk_mut(chunk);
                tile.transposed::<V>(&operands.content, channels, (slopes.data, row), into);
            }
            if let (true, Some(of)) = (wanted.content, &keys.keys) {
                let rows = keys.rows.as_ref().map(|rows| (rows.chunk(chunk), rows.row));
                let len = plan.chunks[chunk].len;
                let into = &mut scratch.grad_content;
                tile.content::<V>(slopes, (of.chunk(chunk), channels), rows, len, into);
            }
            // (5) S = biases of keys + relative terms
            if let Some(grad) = &mut keys.grad_biases {
                tile.sum_rows::<V>(slopes, grad.chunk_mut(chunk));
            }
            if wanted.position || wanted.tables {
                if plan.relative == Relative::Line {
                    tile.clear_margins::<V>(with_margin, scratch.margin);
                }
                let at = (block, chunk, seen.columns.clone());
                scratch.relative.add::<V>(bias, at, slopes, &operands.position);
            }
        }
    }

    /// Asks for what the next block of queries reads.
    #[inline(always)]
    fn prefetch(&self, head: &Head, block: usize) {
        if let Some(query) = self.plan.query {
            self.plan.prefetch_queries(head, block, query, self.plan.spec.head_dim);
        }
        for of_output in [self.given[0], self.given[2]] {
            self.plan.prefetch_queries(head, block, of_output, self.plan.spec.value_dim);
        }
    }

    /// (6) `content = c (b1 q + b3 u)`, `position = c (b2 q + b4 v)  =>  dq = c (b1 dcontent + b2 dposition)`, and
    /// the biases get the sums over all queries; what is not wanted is zero.
    #[inline(always)]
    fn finish_queries<V: Vector<Element = T>>(
        &self,
        head: &Head,
        queries: Range<usize>,
        scratch: &mut Scratch<T>,
    ) {
        let (spec, d, channels) = (self.plan.spec, self.plan.spec.head_dim, self.plan.channels());
        let scale = V::splat(T::of(spec.scale));
        for (i, q) in queries.enumerate() {
            let at = ((head.n * spec.queries + q) * spec.num_heads + head.m) * d;
            for c in (0..d).step_by(V::LANES) {
                let range = c..d.min(c + V::LANES);
                let content = V::from_slice(&scratch.content[i * channels..][range.clone()]);
                let position = V::from_slice(&scratch.position[i * channels..][range.clone()]);
                for (bias, x) in [(&mut scratch.key_bias, content), (&mut scratch.position_bias, position)] {
                    let bias = &mut bias[range.clone()];
                    (V::from_slice(bias) + x).write_to(bias);
                }
                if self.needs[0] {
                    let sum = if spec.terms.query_position { content + position } else { content };
                    // SAFETY: no other task writes the queries of this head.
                    (sum * scale).write_to(unsafe { self.query.slice(at + c, range.len()) });
                }
            }
        }
    }
}

impl<T: Scalar> Plan<'_, T> {
    /// What turns products with packed queries into gradients: they carry the logarithm's base.
    pub fn unscale(&self) -> T {
        T::of(std::f64::consts::LN_2)
    }

    /// Bias `b_k = c u . K_k`: from `db` the gradients `dK_k = c db_k u`, added in the units of packed queries,
    /// and `du = c sum_k db_k K_k`, added without the scale.
    fn key_bias_gradient(
        &self,
        head: &Head,
        sums: &[T],
        mut grad_keys: Option<&mut Packed<T>>,
        key_bias: &mut [T],
    ) {
        let (spec, d) = (self.spec, self.spec.head_dim);
        let (Some(key), Some(u)) = (self.key, self.key_bias) else { return };
        let u = &u[head.m * d..][..d];
        for (sums, i) in sums.chunks_exact(self.width).zip(head.chunks.clone()) {
            let chunk = &self.chunks[i];
            for (j, &sum) in sums[..chunk.len].iter().enumerate() {
                let at = [head.n, spec.keys, chunk.start + j];
                let row = head_row(key, at, [spec.num_heads, head.m], d);
                key_bias.iter_mut().zip(row).for_each(|(bias, &k)| *bias += sum * k);
                if let Some(grad) = &mut grad_keys {
                    let grad = grad.chunk_mut(i);
                    for (c, &u) in u.iter().enumerate() {
                        grad[c * self.width + j] += sum * u * self.scale();
                    }
                }
            }
        }
    }
}
