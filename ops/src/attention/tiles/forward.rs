//! Forward: block after block of queries over the chunks of keys, with a running maximum.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Kernel, Vector, math};

use super::Shared;
use super::bias::{Bias, Seen, Start, seen};
use super::bias_gradient::collapse;
use super::pack::{self, Head, Packed, scratch};
use super::plan::{Plan, use_dots};
use super::product::{Accumulate, Left, Right, Sweep, accumulate_lanes, sweep};
use super::tables::Tables;

/// How far energies, in base 2, may rise above the maximum that sums are relative to before that is changed:
/// weights up to `2^8` lose nothing.
const SLACK: f64 = 8.0;

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
struct Energies<V: Vector> {
    start: Start<V::Element>,
    into: *mut V::Element,
    row: usize,
    maxima: *mut V::Element,
}

impl<V: Vector> Sweep<V> for Energies<V> {
    #[inline(always)]
    unsafe fn start(&self, i: usize, j: usize) -> V {
        // SAFETY: the starting values cover the tile.
        unsafe { V::load(self.start.data.add(i * self.start.row + j)) }
    }

    #[inline(always)]
    unsafe fn finish(&mut self, i: usize, j: usize, value: V) {
        // SAFETY: so do the energies; there is one vector of maxima a row.
        unsafe {
            value.store(self.into.add(i * self.row + j));
            let maxima = self.maxima.add(i * V::LANES);
            V::load(maxima).max(value).store(maxima);
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
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (plan, spec) = (self.plan, self.plan.spec);
        let (n, m, blocks) = plan.task(self.task);
        let head = Head { n, m, chunks: plan.chunks_of(&blocks) };
        let dots = use_dots(spec.value_dim, V::LANES);
        let keys = plan.key.filter(|_| spec.terms.query_key);
        let keys = keys.map(|key| pack::transposed(plan, &head, key, spec.head_dim));
        let values = if dots {
            pack::transposed(plan, &head, plan.value, spec.value_dim)
        } else {
            pack::rows(plan, &head, plan.value, spec.value_dim)
        };
        let mut bias = Bias::new(plan, self.tables, &head);
        let channels = plan.channels();
        let [mut content, mut position] = [(); 2].map(|()| scratch::<T>(plan.block, channels));
        let mut tile = scratch::<T>(plan.block, plan.width);
        let row = if dots { plan.value_channels() * V::LANES } else { values.row };
        let mut softmax = Softmax {
            maximum: vec![T::zero(); plan.block],
            sums: scratch(plan.block, V::LANES),
            output: scratch(plan.block, row),
            row,
        };
        for block in blocks {
            let queries = plan.queries(block);
            let rows = queries.len().next_multiple_of(8);
            plan.pack_queries(&head, block, &mut content, &mut position);
            let visible = plan.visible(block);
            softmax.begin();
            // SAFETY: `V` is what the plan was made for; all extents are the plan's.
            unsafe {
                bias.begin::<V>(block, &position);
                for chunk in head.chunks.clone() {
                    let Some(seen) = seen(plan.chunks[chunk], visible.as_deref(), V::LANES) else { continue };
                    let start = bias.start::<V>(block, chunk, &seen, &position, visible.as_deref());
                    let (depth, b) = match &keys {
                        Some(keys) => (spec.head_dim, keys.chunk(chunk).as_ptr()),
                        None => (0, tile.as_ptr()),
                    };
                    let a = Left { data: content.as_ptr(), row: channels as isize, step: 1 };
                    softmax.chunk::<V>(plan, &mut tile, rows, &seen, start, (depth, a, b));
                    let of = (values.chunk(chunk), plan.chunks[chunk].len);
                    softmax.add_values::<V>(plan, &tile, rows, &seen, &values, of, dots);
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
    }

    /// (1) energies of a tile, (2) weights relative to the maximum, their sums.
    ///
    /// # Safety
    /// Everything must have the plan's extents.
    #[inline(always)]
    unsafe fn chunk<V: Vector<Element = T>>(
        &mut self,
        plan: &Plan<T>,
        tile: &mut [T],
        rows: usize,
        seen: &Seen,
        start: Start<T>,
        (depth, a, b): (usize, Left<T>, *const T),
    ) {
        let mut maxima = [V::splat(T::neg_infinity()); 64];
        let width = plan.width;
        let columns = seen.columns.clone();
        // SAFETY: the caller's.
        unsafe {
            let maxima = maxima.as_mut_ptr().cast::<T>();
            let mut energies = Energies::<V> { start, into: tile.as_mut_ptr(), row: width, maxima };
            sweep::<V, _>(rows, columns.clone(), depth, a, Right { data: b, row: width }, &mut energies);
            for i in 0..rows {
                let highest = V::load(maxima.add(i * V::LANES)).max_lane();
                let sums = self.sums.as_mut_ptr().add(i * V::LANES);
                if highest > self.maximum[i] + T::of(SLACK) {
                    self.raise::<V>(i, highest);
                }
                // A row that has seen nothing yet holds nothing but -inf; relative to 0 its weights are 0.
                let maximum = self.maximum[i].max(T::min_value());
                let (maximum, mut sum) = (V::splat(maximum), V::load(sums));
                let row = tile.as_mut_ptr().add(i * width);
                for j in columns.clone().step_by(V::LANES) {
                    let weight = math::exp2(V::load(row.add(j)) - maximum);
                    sum += weight;
                    weight.store(row.add(j));
                }
                sum.store(sums);
            }
        }
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
