//! Backward: the tiles of forward again, and the products of their gradients.

use std::ops::Range;

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector, math};
use termwise_autograd::{Array, Cpu, Scalar};

use super::Shared;
use super::bias::{Bias, Origin, Start, seen};
use super::bias_gradient::{RelativeGradients, Slopes, collapse, margin};
use super::pack::{self, Head, Packed, head_row, scratch};
use super::plan::{Plan, Relative, use_dots};
use super::product::{Accumulate, Left, Right, Sweep, accumulate_lanes, sweep};
use super::tables::Tables;
use crate::par;

/// The gradients of a call: zeros, or to be overwritten, where needed; else empty.
pub(super) struct Gradients<T: Scalar> {
    needs: [bool; 7],
    buffers: [Buffer<T>; 7],
}

impl<T: Scalar> Gradients<T> {
    pub fn new(inputs: [&Array<Cpu<T>>; 7], needs: [bool; 7]) -> Self {
        // The gradients of query, key and value are written whole, those of tables and biases added to.
        let buffers = std::array::from_fn(|i| match (needs[i], i) {
            (false, _) => Buffer::arbitrary(0),
            (true, 0..3) => Buffer::arbitrary(inputs[i].len()),
            (true, _) => Buffer::zeros(inputs[i].len()),
        });
        Gradients { needs, buffers }
    }

    /// The gradients as arrays of the inputs' shapes.
    pub fn into_arrays(self, inputs: [&Array<Cpu<T>>; 7]) -> [Option<Array<Cpu<T>>>; 7] {
        let mut i = 0;
        self.buffers.map(|buffer| {
            i += 1;
            self.needs[i - 1].then(|| Array::from_buffer(inputs[i - 1].shape(), buffer))
        })
    }

    /// Computes them from output, normalisers and the gradient of the output.
    pub fn compute(&mut self, plan: &Plan<T>, tables: &Tables<T>, given: [&[T]; 3]) {
        let (spec, needs) = (plan.spec, self.needs);
        let [query, key, value, ..] = self.buffers.each_mut().map(|buffer| Shared::new(buffer));
        let results = par::map(plan.tasks(), plan.work(), |task| {
            let kernel = Backward { plan, tables, task, given, needs, query, key, value };
            simd::run_on(plan.isa, kernel)
        });
        // Whatever tasks share is added in their order.
        let (d, heads) = (spec.head_dim, spec.num_heads);
        if plan.groups > 1 {
            let per_head = plan.groups * (spec.keys * (d + spec.value_dim));
            par::map(spec.batch * heads, per_head, |i| {
                let parts = &results[i * plan.groups..(i + 1) * plan.groups];
                simd::run_on(plan.isa, WriteKeys { plan, head: [i / heads, i % heads], parts, key, value });
            });
        }
        let tables_of = |i: usize| (i / plan.groups % heads, &results[i].tables);
        if needs[3] || needs[4] {
            let all: Vec<_> = (0..results.len()).map(tables_of).collect();
            tables.gradients(plan, &all, plan.unscale(), &mut self.buffers[3..5]);
        }
        for (i, part) in results.iter().enumerate() {
            let m = i / plan.groups % heads;
            for (bias, from) in [(5, &part.key_bias), (6, &part.position_bias)] {
                if needs[bias] {
                    let into = &mut self.buffers[bias][m * d..(m + 1) * d];
                    into.iter_mut().zip(from).for_each(|(sum, &x)| *sum += T::of(spec.scale) * x);
                }
            }
        }
    }
}

/// Adds what the tasks of one head have left for its keys and values, and writes it.
struct WriteKeys<'a, T: Scalar> {
    plan: &'a Plan<'a, T>,
    head: [usize; 2],
    parts: &'a [Partial<T>],
    key: Shared<T>,
    value: Shared<T>,
}

impl<T: Scalar> Kernel<T> for WriteKeys<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (plan, head) = (self.plan, self.head);
        let keys: Vec<_> = self.parts.iter().filter_map(|part| part.key.as_ref()).collect();
        let values: Vec<_> = self.parts.iter().filter_map(|part| part.value.as_ref()).collect();
        // SAFETY: `V` is what the plan was made for, and no other task has this head.
        unsafe {
            if !keys.is_empty() {
                plan.write_keys::<V>(head, &keys, plan.spec.head_dim, plan.unscale(), self.key);
            }
            if !values.is_empty() {
                plan.write_keys::<V>(head, &values, plan.spec.value_dim, T::one(), self.value);
            }
        }
    }
}

/// What a task leaves to be added up.
pub(super) struct Partial<T: Scalar> {
    /// Transposed gradients of the keys' operands; where one task sees all queries it has written them.
    key: Option<Packed<T>>,
    value: Option<Packed<T>>,
    /// Packed gradients of the tables.
    tables: Buffer<T>,
    /// Without the scale. (d)
    key_bias: Vec<T>,
    position_bias: Vec<T>,
}

/// One task: a head of a sample and some blocks of its queries.
pub(super) struct Backward<'a, T: Scalar> {
    plan: &'a Plan<'a, T>,
    tables: &'a Tables<T>,
    task: usize,
    /// Output, normalisers, gradient of the output.
    given: [&'a [T]; 3],
    needs: [bool; 7],
    /// Gradients to be written.
    query: Shared<T>,
    key: Shared<T>,
    value: Shared<T>,
}

/// `P = 2^(S - normaliser)`, written.
struct Weights<V: Vector, O> {
    origin: O,
    normalisers: *const V::Element,
    into: *mut V::Element,
    row: usize,
}

impl<V: Vector, O: Origin<V>> Sweep<V> for Weights<V, O> {
    type Column = O::Column;

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> O::Column {
        // SAFETY: the starting values cover the tile.
        unsafe { self.origin.column(j) }
    }

    #[inline(always)]
    unsafe fn start(&self, i: usize, column: O::Column) -> V {
        // SAFETY: as above; there is a normaliser a row.
        unsafe { self.origin.at(i, column) - V::splat(*self.normalisers.add(i)) }
    }

    #[inline(always)]
    unsafe fn finish<const N: usize>(&mut self, i: usize, j: usize, values: [V; N]) {
        for (v, value) in values.into_iter().enumerate() {
            // SAFETY: the weights cover the tile.
            unsafe { math::exp2(value).store(self.into.add(i * self.row + j + v * V::LANES)) }
        }
    }
}

/// `dS = P (do V^T - do . o)`, written.
struct SlopesOf<V: Vector> {
    /// `-do . o` of each row.
    start: *const V::Element,
    weights: *const V::Element,
    row: usize,
    into: *mut V::Element,
    into_row: usize,
}

impl<V: Vector> Sweep<V> for SlopesOf<V> {
    type Column = ();

    #[inline(always)]
    unsafe fn column(&self, _: usize) {}

    #[inline(always)]
    unsafe fn start(&self, i: usize, (): ()) -> V {
        // SAFETY: there is a number a row.
        unsafe { V::splat(*self.start.add(i)) }
    }

    #[inline(always)]
    unsafe fn finish<const N: usize>(&mut self, i: usize, j: usize, values: [V; N]) {
        for (v, value) in values.into_iter().enumerate() {
            let j = j + v * V::LANES;
            // SAFETY: weights and slopes cover the tile.
            unsafe {
                let slope = V::load(self.weights.add(i * self.row + j)) * value;
                slope.store(self.into.add(i * self.into_row + j));
            }
        }
    }
}

/// The operands of a block of queries.
struct Block<T: Scalar> {
    /// Scaled queries, see `Plan::pack_queries`. (block, channels)
    content: Buffer<T>,
    position: Buffer<T>,
    /// (block, value channels)
    grad: Buffer<T>,
    /// In base 2; infinite for rows that see nothing, whose weights then are 0. (block)
    normalisers: Vec<T>,
    /// `-do . o` (block)
    minus_dot: Vec<T>,
}

impl<T: Scalar> Block<T> {
    fn new(plan: &Plan<T>) -> Self {
        Block {
            content: scratch(plan.block, plan.channels()),
            position: scratch(plan.block, plan.channels()),
            grad: scratch(plan.block, plan.value_channels()),
            normalisers: vec![T::zero(); plan.block],
            minus_dot: vec![T::zero(); plan.block],
        }
    }

    #[inline(always)]
    fn load<V: Vector<Element = T>>(
        &mut self,
        plan: &Plan<T>,
        head: &Head,
        block: usize,
        [output, normalisers, grad]: [&[T]; 3],
    ) {
        let (spec, dv, channels) = (plan.spec, plan.spec.value_dim, plan.value_channels());
        plan.pack_queries::<V>(head, block, &mut self.content, &mut self.position);
        self.grad.fill(T::zero());
        self.normalisers.fill(T::infinity());
        self.minus_dot.fill(T::zero());
        for (i, q) in plan.queries(block).enumerate() {
            let at = [head.n, spec.queries, q];
            let [output, grad] = [output, grad].map(|x| head_row(x, at, [spec.num_heads, head.m], dv));
            let into = &mut self.grad[i * channels..][..dv];
            let mut dot = V::zero();
            for c in (0..dv).step_by(V::LANES) {
                let end = dv.min(c + V::LANES);
                let grad = V::from_slice(&grad[c..end]);
                grad.write_to(&mut into[c..end]);
                dot = grad.mul_add(V::from_slice(&output[c..end]), dot);
            }
            self.minus_dot[i] = -dot.sum();
            let normaliser = normalisers[(head.n * spec.num_heads + head.m) * spec.queries + q];
            if normaliser != T::neg_infinity() {
                self.normalisers[i] = normaliser * T::of(std::f64::consts::LOG2_E);
            }
        }
    }
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = Partial<T>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Partial<T> {
        let (plan, spec, needs) = (self.plan, self.plan.spec, self.needs);
        let (n, m, blocks) = plan.task(self.task);
        let head = Head { n, m, chunks: plan.chunks_of(&blocks) };
        let (d, channels, width, terms) = (spec.head_dim, plan.channels(), plan.width, spec.terms);
        // What is needed of it all.
        let needs_position = needs[0] && terms.query_position || needs[6];
        let needs_tables = needs[3] || needs[4];
        let needs_content = terms.query_key && (needs[0] || needs[5]);
        let needs_scores = needs.iter().enumerate().any(|(i, &needs)| needs && i != 2);
        let needs_biases = plan.has_key_bias() && (needs[1] || needs[5]);
        // Operands of the keys.
        let dots = use_dots(d, V::LANES);
        let (mut keys, mut key_rows, mut values) = (None, None, None);
        // SAFETY: `V` is what the plan was made for.
        unsafe {
            if let Some(key) = plan.key.filter(|_| terms.query_key) {
                keys = Some(pack::transposed::<T, V>(plan, &head, key, d));
                if needs_content && !dots {
                    key_rows = Some(pack::rows::<T, V>(plan, &head, key, d));
                }
            }
            if needs_scores {
                values = Some(pack::transposed::<T, V>(plan, &head, plan.value, spec.value_dim));
            }
        }
        let zeros = |rows: usize| Packed::zeros(head.chunks.clone(), rows, width);
        let mut grad_keys = needs[1].then(|| zeros(channels));
        let mut grad_values = needs[2].then(|| zeros(plan.value_channels()));
        let mut grad_biases = needs_biases.then(|| zeros(1));
        let mut bias = Bias::new(plan, self.tables, &head);
        let mut relative =
            RelativeGradients::new(plan, self.tables, &head, bias.line, needs_position, needs_tables);
        // Scratch of a block.
        let mut operands = Block::new(plan);
        let margin = margin(plan);
        let mut weights = scratch::<T>(plan.block, width);
        let mut slopes = scratch::<T>(plan.block, width + 2 * margin);
        let per_query = if dots { channels * V::LANES } else { key_rows.as_ref().map_or(0, |rows| rows.row) };
        let mut grad_content = scratch::<T>(plan.block, if needs_content { per_query } else { 0 });
        let [mut content, mut position] = [(); 2].map(|()| Buffer::zeros(plan.block * channels));
        let mut key_bias = vec![T::zero(); d];
        let mut position_bias = vec![T::zero(); d];
        for block in blocks {
            let queries = plan.queries(block);
            let rows = queries.len().next_multiple_of(8);
            operands.load::<V>(plan, &head, block, self.given);
            let visible = plan.visible(block);
            grad_content.fill(T::zero());
            if let Some(query) = plan.query {
                plan.prefetch_queries(&head, block + 1, query, d);
            }
            for of_output in [self.given[0], self.given[2]] {
                plan.prefetch_queries(&head, block + 1, of_output, spec.value_dim);
            }
            relative.begin();
            // SAFETY: `V` is what the plan was made for; all extents are the plan's.
            unsafe {
                bias.begin::<V>(block, &operands.position);
                for chunk in head.chunks.clone() {
                    let Some(seen) = seen(&plan.chunks[chunk], visible.as_ref(), V::LANES) else { continue };
                    let start = bias.start::<V>(block, chunk, &seen, &operands.position, visible.as_ref());
                    let tile = Tile { rows, queries: queries.len(), columns: seen.columns.clone(), width };
                    // (1) P = 2^(S - normaliser)
                    let normalisers = operands.normalisers.as_ptr();
                    let into = weights.as_mut_ptr();
                    let a = &operands.content;
                    let (depth, b) = match &keys {
                        Some(keys) => (d, keys.chunk(chunk).as_ptr()),
                        None => (0, a.as_ptr()),
                    };
                    match start {
                        Start::Rows(origin) => {
                            let mut sink = Weights { origin, normalisers, into, row: width };
                            tile.product::<V, _>(depth, a, channels, b, &mut sink);
                        }
                        Start::Crossed(origin) => {
                            let mut sink = Weights { origin, normalisers, into, row: width };
                            tile.product::<V, _>(depth, a, channels, b, &mut sink);
                        }
                    }
                    // (2) o = P V  =>  dV = P^T do
                    if let Some(grad) = &mut grad_values {
                        let of = (weights.as_ptr(), width);
                        tile.transposed::<V>(
                            &operands.grad,
                            plan.value_channels(),
                            of,
                            grad.chunk_mut(chunk),
                        );
                    }
                    let Some(values) = &values else { continue };
                    // (3) dS = P (do V^T - do . o)
                    let (row, all) = (width + 2 * margin, slopes.as_mut_ptr());
                    let into = all.add(margin);
                    let of = Slopes { data: into.cast_const(), row };
                    let (start, p) = (operands.minus_dot.as_ptr(), weights.as_ptr());
                    let mut sink = SlopesOf::<V> { start, weights: p, row: width, into, into_row: row };
                    let b = values.chunk(chunk).as_ptr();
                    let grad = &operands.grad;
                    tile.product::<V, _>(spec.value_dim, grad, plan.value_channels(), b, &mut sink);
                    // (4) S = content K^T  =>  dcontent = dS K, dK = dS^T content
                    if let (Some(grad), Some(_)) = (&mut grad_keys, &keys) {
                        let into = grad.chunk_mut(chunk);
                        tile.transposed::<V>(&operands.content, channels, (of.data, of.row), into);
                    }
                    if let (true, Some(keys)) = (needs_content, &keys) {
                        let rows = key_rows.as_ref().map(|rows| (rows.chunk(chunk), rows.row));
                        let len = plan.chunks[chunk].len;
                        tile.content::<V>(of, (keys.chunk(chunk), channels), rows, len, &mut grad_content);
                    }
                    // (5) S = biases of keys + relative terms
                    if let Some(grad) = &mut grad_biases {
                        tile.sum_rows::<V>(of, grad.chunk_mut(chunk));
                    }
                    if needs_position || needs_tables {
                        if plan.relative == Relative::Line {
                            tile.clear_margins::<V>(all, margin);
                        }
                        let columns = seen.columns.clone();
                        relative.add::<V>(&bias, block, chunk, columns, of, &operands.position);
                    }
                }
                if needs_position || needs_tables {
                    relative.finish::<V>(&bias, block, &operands.position, &mut position);
                }
            }
            // (6) content = c (b1 q + b3 u), position = c (b2 q + b4 v)
            if needs_content {
                let from = grad_content.chunks_exact(per_query).take(queries.len());
                for (from, into) in from.zip(content.chunks_exact_mut(channels)) {
                    collapse::<V>(from, dots, &mut into[..d]);
                }
            }
            let gradients = [&content[..], &position];
            self.finish_queries::<V>(&head, queries, gradients, [&mut key_bias, &mut position_bias]);
        }
        let sums = grad_biases.as_mut().map(Packed::as_mut_slice);
        if let (Some(sums), Some(key), Some(u)) = (sums, plan.key, plan.key_bias) {
            plan.key_bias_gradient(
                &head,
                sums,
                key,
                &u[m * d..(m + 1) * d],
                grad_keys.as_mut(),
                &mut key_bias,
            );
        }
        if plan.groups == 1 {
            for (grad, dim, factor, into) in [
                (grad_keys.take(), d, plan.unscale(), self.key),
                (grad_values.take(), spec.value_dim, T::one(), self.value),
            ] {
                if let Some(grad) = grad {
                    // SAFETY: `V` is what the plan was made for; no other task has this head.
                    unsafe { plan.write_keys::<V>([n, m], &[&grad], dim, factor, into) };
                }
            }
        }
        Partial { key: grad_keys, value: grad_values, tables: relative.packed, key_bias, position_bias }
    }
}

impl<T: Scalar> Backward<'_, T> {
    /// `dq = c (b1 dcontent + b2 dposition)`, both zero where not needed; adds them to the gradients of the
    /// biases.
    #[inline(always)]
    fn finish_queries<V: Vector<Element = T>>(
        &self,
        head: &Head,
        queries: Range<usize>,
        [content, position]: [&[T]; 2],
        [key_bias, position_bias]: [&mut [T]; 2],
    ) {
        let (spec, d, channels) = (self.plan.spec, self.plan.spec.head_dim, self.plan.channels());
        let scale = V::splat(T::of(spec.scale));
        for (i, q) in queries.enumerate() {
            let at = ((head.n * spec.queries + q) * spec.num_heads + head.m) * d;
            for c in (0..d).step_by(V::LANES) {
                let range = c..d.min(c + V::LANES);
                let content = V::from_slice(&content[i * channels..][range.clone()]);
                let position = V::from_slice(&position[i * channels..][range.clone()]);
                for (bias, x) in [(&mut *key_bias, content), (&mut *position_bias, position)] {
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

/// The part of a block of queries and a chunk of keys that is worked on.
struct Tile {
    /// Rows, rounded up to what a register tile takes, and queries among them.
    rows: usize,
    queries: usize,
    columns: Range<usize>,
    width: usize,
}

impl Tile {
    /// `A B` with the rows of `A` and the columns of `B`, (depth, width).
    ///
    /// # Safety
    /// The operands must have these extents.
    #[inline(always)]
    unsafe fn product<V: Vector, S: Sweep<V>>(
        &self,
        depth: usize,
        a: &[V::Element],
        row: usize,
        b: *const V::Element,
        sink: &mut S,
    ) {
        let a = Left { data: a.as_ptr(), row: row as isize, step: 1 };
        let b = Right { data: b, row: self.width };
        // SAFETY: the caller's.
        unsafe { sweep(self.rows, self.columns.clone(), depth, a, b, sink) }
    }

    /// `into += A^T B` with the queries of `A` (queries, channels) and of the tile `B`.
    ///
    /// # Safety
    /// The operands must have these extents, `into` (channels, width).
    #[inline(always)]
    unsafe fn transposed<V: Vector>(
        &self,
        a: &[V::Element],
        channels: usize,
        (data, row): (*const V::Element, usize),
        into: &mut [V::Element],
    ) {
        let a = Left { data: a.as_ptr(), row: 1, step: channels as isize };
        let mut into = Accumulate { into: into.as_mut_ptr(), row: self.width, overwrite: false };
        let b = Right { data, row };
        // SAFETY: the caller's.
        unsafe { sweep::<V, _>(channels, self.columns.clone(), self.queries, a, b, &mut into) }
    }

    /// `into += dS K`, a lane a key where the keys' rows are not given.
    ///
    /// # Safety
    /// The operands must have the plan's extents.
    #[inline(always)]
    unsafe fn content<V: Vector>(
        &self,
        slopes: Slopes<V::Element>,
        (keys, channels): (&[V::Element], usize),
        rows: Option<(&[V::Element], usize)>,
        len: usize,
        into: &mut [V::Element],
    ) {
        let Range { start, end } = self.columns;
        let into = into.as_mut_ptr();
        // SAFETY: the caller's.
        unsafe {
            let a = Left { data: slopes.data.add(start), row: slopes.row as isize, step: 1 };
            if let Some((keys, row)) = rows {
                let b = Right { data: keys.as_ptr().add(start * row), row };
                let mut into = Accumulate { into, row, overwrite: false };
                sweep::<V, _>(self.rows, 0..row, end.min(len) - start, a, b, &mut into);
            } else {
                let b = Right { data: keys.as_ptr().add(start), row: self.width };
                accumulate_lanes::<V>(self.rows, channels, end - start, a, b, into);
            }
        }
    }

    /// `into += sum over the queries of dS`.
    ///
    /// # Safety
    /// As for `content`.
    #[inline(always)]
    unsafe fn sum_rows<V: Vector>(&self, slopes: Slopes<V::Element>, into: &mut [V::Element]) {
        for j in self.columns.clone().step_by(V::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let into = into.as_mut_ptr().add(j);
                let mut sum = V::load(into);
                for i in 0..self.queries {
                    sum += V::load(slopes.data.add(i * slopes.row + j));
                }
                sum.store(into);
            }
        }
    }

    /// Zeros on both sides of the columns, for skewed reads; `slopes` starts with a margin.
    ///
    /// # Safety
    /// As for `content`.
    #[inline(always)]
    unsafe fn clear_margins<V: Vector>(&self, slopes: *mut V::Element, margin: usize) {
        for i in 0..self.rows {
            // SAFETY: a margin lies on each side of the chunk, and the columns lie in it.
            unsafe {
                let row = slopes.add(i * (self.width + 2 * margin));
                for j in (0..margin).step_by(V::LANES) {
                    V::zero().store(row.add(self.columns.start + j));
                    V::zero().store(row.add(margin + self.columns.end + j));
                }
            }
        }
    }
}

impl<T: Scalar> Plan<'_, T> {
    /// What turns products with packed queries into gradients: they carry the logarithm's base.
    fn unscale(&self) -> T {
        T::of(std::f64::consts::LN_2)
    }

    /// Bias `b_k = c u . K_k`: from `db` the gradients `dK_k = c db_k u`, added in the units of packed queries,
    /// and `du = c sum_k db_k K_k`, added without the scale.
    fn key_bias_gradient(
        &self,
        head: &Head,
        sums: &[T],
        key: &[T],
        u: &[T],
        grad_keys: Option<&mut Packed<T>>,
        key_bias: &mut [T],
    ) {
        let (spec, d) = (self.spec, self.spec.head_dim);
        let mut grad_keys = grad_keys;
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
