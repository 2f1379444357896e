//! Forward: block after block of queries over the chunks of keys, with a running maximum.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Kernel, Vector, math};

use super::Shared;
use super::bias::{Bias, Seen, seen};
use super::pack::{self, Head, Packed, scratch};
use super::plan::{Plan, use_dots};
use super::product::{Accumulate, Left, Right, Sweep, accumulate_lanes, collapse, sweep};
use super::start::{Origin, Start};
use super::tables::Tables;

/// How far energies, in base 2, may rise above the maximum that sums are relative to before that is changed:
/// weights up to `2^32` lose nothing.
const SLACK: f64 = 32.0;

/// One task: a head of a sample and some blocks of its queries.
pub(super) struct Forward<'a, T: Scalar> {
    pub plan: &'a Plan<'a, T>,
    pub tables: &'a Tables<T>,
    pub task: usize,
    /// (N, Q, M d_v)
    pub output: Shared<T>,
    /// (N, M, Q)
    pub normalisers: Shared<T>,
}

/// The energies of a tile: written, and their maxima lane by lane.
struct Energies<V: Vector, O> {
    origin: O,
    into: *mut V::Element,
    row: usize,
    /// (block, lanes)
    maxima: *mut V::Element,
}

impl<V: Vector, O: Origin<V>> Sweep<V> for Energies<V, O> {
    type Column = O::Column;

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> O::Column {
        // SAFETY: the starting values cover the tile.
        unsafe { self.origin.column(j) }
    }

    #[inline(always)]
    unsafe fn start(&self, i: usize, column: O::Column) -> V {
        // SAFETY: as above.
        unsafe { self.origin.at(i, column) }
    }

    #[inline(always)]
    unsafe fn finish<const N: usize>(&mut self, i: usize, j: usize, values: [V; N]) {
        // SAFETY: the energies cover the tile; there is one vector of maxima a row.
        unsafe {
            let maxima = self.maxima.add(i * V::LANES);
            let mut highest = V::load(maxima);
            for (v, value) in values.into_iter().enumerate() {
                value.store(self.into.add(i * self.row + j + v * V::LANES));
                highest = highest.max(value);
            }
            highest.store(maxima);
        }
    }
}

/// The weights of a tile relative to a maximum known before: written, with their sums and the maxima of the
/// energies above that maximum lane by lane.
struct Weights<V: Vector, O> {
    energies: Energies<V, O>,
    /// (block)
    maximum: *const V::Element,
    /// (block, lanes)
    sums: *mut V::Element,
}

impl<V: Vector, O: Origin<V>> Sweep<V> for Weights<V, O> {
    type Column = O::Column;

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> O::Column {
        // SAFETY: as for the energies.
        unsafe { self.energies.column(j) }
    }

    #[inline(always)]
    unsafe fn start(&self, i: usize, column: O::Column) -> V {
        // SAFETY: as for the energies; there is a maximum a row.
        unsafe { self.energies.start(i, column) - V::splat(*self.maximum.add(i)) }
    }

    #[inline(always)]
    unsafe fn finish<const N: usize>(&mut self, i: usize, j: usize, values: [V; N]) {
        // SAFETY: as for the energies; there is one vector of sums a row.
        unsafe {
            let (maxima, sums) = (self.energies.maxima.add(i * V::LANES), self.sums.add(i * V::LANES));
            let (mut highest, mut sum) = (V::load(maxima), V::load(sums));
            for (v, value) in values.into_iter().enumerate() {
                highest = highest.max(value);
                let weight = math::exp2(value);
                sum += weight;
                weight.store(self.energies.into.add(i * self.energies.row + j + v * V::LANES));
            }
            highest.store(maxima);
            sum.store(sums);
        }
    }
}

/// What the softmax of a block of queries has come to.
struct Softmax<T: Scalar> {
    /// What the sums of each row are relative to, in base 2.
    maximum: Vec<T>,
    /// Sum of the weights of each row, lane by lane. (block, lanes)
    sums: Buffer<T>,
    /// Sum of weights times values: (block, channels, lanes), or (block, row).
    output: Buffer<T>,
    /// Numbers of `output` a query.
    row: usize,
    /// Whether the maxima are known well enough to compute weights at once.
    settled: bool,
    /// Maxima and sums of a tile. (block, lanes)
    tile_maxima: Buffer<T>,
    tile_sums: Buffer<T>,
}

/// One tile of energies to be computed.
struct Tile<'a, T> {
    rows: usize,
    queries: usize,
    seen: &'a Seen,
    width: usize,
    depth: usize,
    content: Left<T>,
    keys: Right<T>,
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (plan, spec) = (self.plan, self.plan.spec);
        let (samples, m, blocks) = plan.task(self.task);
        debug_assert_eq!(samples.len(), 1);
        let head = Head { n: samples.start, m, chunks: plan.chunks_of(&blocks) };
        let dots = use_dots(spec.value_dim, V::LANES);
        let keys = plan.key.filter(|_| spec.terms.query_key);
        // SAFETY: `V` is what the plan was made for.
        let (keys, values) = unsafe {
            let keys = match keys {
                Some(key) => Some(pack::transposed::<T, V>(plan, &head, key, spec.head_dim)),
                None => None,
            };
            let values = if dots {
                pack::transposed::<T, V>(plan, &head, plan.value, spec.value_dim)
            } else {
                pack::rows::<T, V>(plan, &head, plan.value, spec.value_dim)
            };
            (keys, values)
        };
        let mut bias = Bias::new(plan, self.tables, &head);
        let channels = plan.channels();
        let [mut content, mut position] = [(); 2].map(|()| scratch::<T>(plan.block, channels));
        let mut weights = scratch::<T>(plan.block, plan.width);
        let row = if dots { plan.value_channels() * V::LANES } else { values.row };
        let mut softmax = Softmax {
            maximum: vec![T::zero(); plan.block],
            sums: scratch(plan.block, V::LANES),
            output: scratch(plan.block, row),
            row,
            settled: false,
            tile_maxima: scratch(plan.block, V::LANES),
            tile_sums: scratch(plan.block, V::LANES),
        };
        for block in blocks {
            let queries = plan.queries(block);
            let rows = queries.len().next_multiple_of(8);
            plan.pack_queries::<V>(&head, block, &mut content, &mut position);
            let visible = plan.visible(block);
            softmax.begin();
            if let Some(query) = plan.query {
                plan.prefetch_queries(&head, block + 1, query, spec.head_dim);
            }
            // SAFETY: `V` is what the plan was made for; all extents are the plan's.
            unsafe {
                bias.begin::<V>(block, &position);
                for chunk in head.chunks.clone() {
                    let Some(seen) = seen(&plan.chunks[chunk], visible.as_ref(), V::LANES) else { continue };
                    let start = bias.start::<V>(block, chunk, &seen, &position, visible.as_ref());
                    let (depth, data) = match &keys {
                        Some(keys) => (spec.head_dim, keys.chunk(chunk).as_ptr()),
                        None => (0, content.as_ptr()),
                    };
                    let tile = Tile {
                        rows,
                        queries: queries.len(),
                        seen: &seen,
                        width: plan.width,
                        depth,
                        content: Left { data: content.as_ptr(), row: channels as isize, step: 1 },
                        keys: Right { data, row: plan.width },
                    };
                    match start {
                        Start::Rows(origin) => softmax.weights::<V, _>(&tile, origin, &mut weights),
                        Start::Crossed(origin) => softmax.weights::<V, _>(&tile, origin, &mut weights),
                        Start::Spanning(origin) => softmax.weights::<V, _>(&tile, origin, &mut weights),
                    }
                    let of = (values.chunk(chunk), plan.chunks[chunk].len);
                    softmax.add_values::<V>(plan, &weights, rows, &seen, &values, of, dots);
                }
                self.write::<V>(&head, queries, &softmax, dots);
            }
        }
    }
}

impl<T: Scalar> Softmax<T> {
    fn begin(&mut self) {
        self.maximum.fill(T::neg_infinity());
        self.sums.fill(T::zero());
        self.output.fill(T::zero());
        self.settled = false;
    }

    /// (1) energies of a tile, (2) weights relative to the maximum, their sums.
    ///
    /// The first tile of a block sets the maximum of each row. From then on weights are computed with the
    /// energies, unless an energy turns out to lie far above the maximum.
    ///
    /// # Safety
    /// Everything must have the plan's extents.
    #[inline(always)]
    unsafe fn weights<V: Vector<Element = T>, O: Origin<V>>(
        &mut self,
        tile: &Tile<T>,
        origin: O,
        weights: &mut [T],
    ) {
        // SAFETY: the caller's.
        unsafe {
            if self.settled {
                let energies = self.tile::<V, O>(tile, origin, weights);
                let (maximum, sums) = (self.maximum.as_ptr(), self.tile_sums.as_mut_ptr());
                let mut weights = Weights { energies, maximum, sums };
                let columns = tile.seen.columns.clone();
                sweep(tile.rows, columns, tile.depth, tile.content, tile.keys, &mut weights);
                if !self.rises::<V>(tile.queries) {
                    for (sum, tile) in
                        self.sums.chunks_exact_mut(V::LANES).zip(self.tile_sums.chunks_exact(V::LANES))
                    {
                        (V::from_slice(sum) + V::from_slice(tile)).write_to(sum);
                    }
                    return;
                }
            }
            let mut energies = self.tile::<V, O>(tile, origin, weights);
            let columns = tile.seen.columns.clone();
            sweep(tile.rows, columns.clone(), tile.depth, tile.content, tile.keys, &mut energies);
            let rose = self.settled;
            self.settled = true;
            for i in 0..tile.rows {
                let highest = V::from_slice(&self.tile_maxima[i * V::LANES..]).max_lane();
                if highest > self.maximum[i] + T::of(SLACK) {
                    self.raise::<V>(i, highest);
                }
                // A row that has seen nothing yet holds nothing but -inf; relative to 0 its weights are 0.
                let maximum = if self.maximum[i] == T::neg_infinity() { T::zero() } else { self.maximum[i] };
                self.settled &= self.maximum[i] != T::neg_infinity() || i >= tile.queries;
                let sums = &mut self.sums[i * V::LANES..];
                let (maximum, mut sum) = (V::splat(maximum), V::from_slice(sums));
                let row = weights.as_mut_ptr().add(i * tile.width);
                for j in columns.clone().step_by(V::LANES) {
                    let weight = math::exp2(V::load(row.add(j)) - maximum);
                    sum += weight;
                    weight.store(row.add(j));
                }
                sum.write_to(sums);
            }
            // Where energies keep rising, computing them twice does not pay.
            self.settled &= !rose;
        }
    }

    /// Where the energies of a tile go.
    ///
    /// # Safety
    /// As for `weights`.
    #[inline(always)]
    unsafe fn tile<V: Vector<Element = T>, O: Origin<V>>(
        &mut self,
        tile: &Tile<T>,
        origin: O,
        into: &mut [T],
    ) -> Energies<V, O> {
        self.tile_maxima.fill(T::neg_infinity());
        self.tile_sums.fill(T::zero());
        Energies { origin, into: into.as_mut_ptr(), row: tile.width, maxima: self.tile_maxima.as_mut_ptr() }
    }

    /// Whether an energy of the tile lies far above the maximum of its row.
    #[inline(always)]
    fn rises<V: Vector<Element = T>>(&self, queries: usize) -> bool {
        let mut highest = V::splat(T::neg_infinity());
        for row in self.tile_maxima.chunks_exact(V::LANES).take(queries) {
            highest = highest.max(V::from_slice(row));
        }
        highest.max_lane() > T::of(SLACK)
    }

    /// Makes the sums of row `i` relative to a new maximum.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set.
    #[inline(always)]
    unsafe fn raise<V: Vector<Element = T>>(&mut self, i: usize, maximum: T) {
        let factor = V::splat((self.maximum[i] - maximum).exp2());
        self.maximum[i] = maximum;
        for numbers in
            [&mut self.sums[i * V::LANES..][..V::LANES], &mut self.output[i * self.row..][..self.row]]
        {
            for vector in numbers.chunks_exact_mut(V::LANES) {
                (V::from_slice(vector) * factor).write_to(vector);
            }
        }
    }

    /// (3) adds the weights times the values.
    ///
    /// # Safety
    /// As for `chunk`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the operands of a product")]
    unsafe fn add_values<V: Vector<Element = T>>(
        &mut self,
        plan: &Plan<T>,
        tile: &[T],
        rows: usize,
        seen: &Seen,
        values: &Packed<T>,
        (chunk, len): (&[T], usize),
        dots: bool,
    ) {
        let Range { start, end } = seen.columns;
        // SAFETY: the caller's.
        unsafe {
            let a = Left { data: tile.as_ptr().add(start), row: plan.width as isize, step: 1 };
            let into = self.output.as_mut_ptr();
            if dots {
                let b = Right { data: chunk.as_ptr().add(start), row: values.row };
                accumulate_lanes::<V>(rows, plan.value_channels(), end - start, a, b, into);
            } else {
                let b = Right { data: chunk.as_ptr().add(start * values.row), row: values.row };
                let mut output = Accumulate { into, row: self.row, overwrite: false };
                sweep::<V, _>(rows, 0..self.row, end.min(len) - start, a, b, &mut output);
            }
        }
    }
}

impl<T: Scalar> Forward<'_, T> {
    /// (4) divides by the sums and writes the outputs and normalisers of a block.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set.
    #[inline(always)]
    unsafe fn write<V: Vector<Element = T>>(
        &self,
        head: &Head,
        queries: Range<usize>,
        softmax: &Softmax<T>,
        dots: bool,
    ) {
        let spec = self.plan.spec;
        let dv = spec.value_dim;
        for (i, q) in queries.enumerate() {
            let sum = V::from_slice(&softmax.sums[i * V::LANES..]).sum();
            let maximum = softmax.maximum[i];
            let empty = maximum == T::neg_infinity() && sum == T::zero();
            let at = ((head.n * spec.queries + q) * spec.num_heads + head.m) * dv;
            // SAFETY: no other task writes the queries of this head.
            let (output, normaliser) = unsafe {
                let of = (head.n * spec.num_heads + head.m) * spec.queries + q;
                (self.output.slice(at, dv), self.normalisers.slice(of, 1))
            };
            normaliser[0] =
                if empty { maximum } else { (maximum + sum.log2()) * T::of(std::f64::consts::LN_2) };
            if empty {
                output.fill(T::zero());
                continue;
            }
            collapse::<V>(&softmax.output[i * softmax.row..][..softmax.row], dots, output);
            let inverse = T::one() / sum;
            output.iter_mut().for_each(|o| *o *= inverse);
        }
    }
}
