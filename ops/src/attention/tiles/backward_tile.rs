//! The tiles of backward: what their products start from and where they go.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Vector, math};

use super::bias_gradient::Slopes;
use super::pack::{Head, head_row, scratch};
use super::plan::Plan;
use super::product::{Accumulate, Left, Right, Sweep, accumulate_lanes, sweep};
use super::start::{Origin, Start};

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
pub(super) struct Block<T: Scalar> {
    /// Scaled queries, see `Plan::pack_queries`. (block, channels)
    pub content: Buffer<T>,
    pub position: Buffer<T>,
    /// (block, value channels)
    pub grad: Buffer<T>,
    /// In base 2; infinite for rows that see nothing, whose weights then are 0. (block)
    normalisers: Vec<T>,
    /// `-do . o` (block)
    minus_dot: Vec<T>,
}

impl<T: Scalar> Block<T> {
    pub fn new(plan: &Plan<T>) -> Self {
        Block {
            content: scratch(plan.block, plan.channels()),
            position: scratch(plan.block, plan.channels()),
            grad: scratch(plan.block, plan.value_channels()),
            normalisers: vec![T::zero(); plan.block],
            minus_dot: vec![T::zero(); plan.block],
        }
    }

    /// Loads a block from output, normalisers and the gradient of the output.
    #[inline(always)]
    pub fn load<V: Vector<Element = T>>(
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

/// The part of a block of queries and a chunk of keys that is worked on.
pub(super) struct Tile {
    /// Rows, rounded up to what a register tile takes, and queries among them.
    pub rows: usize,
    pub queries: usize,
    pub columns: Range<usize>,
    pub width: usize,
}

impl Tile {
    /// (1) `P = 2^(S - normaliser)`, with `S` the starting values and, where there are keys (channels, width),
    /// `content K^T`.
    ///
    /// # Safety
    /// The operands must have the plan's extents.
    #[inline(always)]
    pub unsafe fn weights<T: Scalar, V: Vector<Element = T>>(
        &self,
        start: Start<T>,
        block: &Block<T>,
        row: usize,
        keys: Option<(&[T], usize)>,
        weights: &mut [T],
    ) {
        let (normalisers, into) = (block.normalisers.as_ptr(), weights.as_mut_ptr());
        let (b, depth) = keys.map_or((block.content.as_ptr(), 0), |(keys, d)| (keys.as_ptr(), d));
        // SAFETY: the caller's.
        unsafe {
            match start {
                Start::Rows(origin) => {
                    let mut sink = Weights::<V, _> { origin, normalisers, into, row: self.width };
                    self.product::<V, _>(depth, &block.content, row, b, &mut sink);
                }
                Start::Crossed(origin) => {
                    let mut sink = Weights::<V, _> { origin, normalisers, into, row: self.width };
                    self.product::<V, _>(depth, &block.content, row, b, &mut sink);
                }
                Start::Spanning(origin) => {
                    let mut sink = Weights::<V, _> { origin, normalisers, into, row: self.width };
                    self.product::<V, _>(depth, &block.content, row, b, &mut sink);
                }
            }
        }
    }

    /// (3) `dS = P (do V^T - do . o)`, `dv` channels of values (channels, width).
    ///
    /// # Safety
    /// The operands must have the plan's extents.
    #[inline(always)]
    pub unsafe fn slopes<T: Scalar, V: Vector<Element = T>>(
        &self,
        block: &Block<T>,
        row: usize,
        (values, dv): (&[T], usize),
        weights: &[T],
        (into, into_row): (*mut T, usize),
    ) {
        let (start, weights) = (block.minus_dot.as_ptr(), weights.as_ptr());
        let mut sink = SlopesOf::<V> { start, weights, row: self.width, into, into_row };
        // SAFETY: the caller's.
        unsafe { self.product::<V, _>(dv, &block.grad, row, values.as_ptr(), &mut sink) }
    }

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
    pub unsafe fn transposed<V: Vector>(
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
    pub unsafe fn content<V: Vector>(
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
    pub unsafe fn sum_rows<V: Vector>(&self, slopes: Slopes<V::Element>, into: &mut [V::Element]) {
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
    pub unsafe fn clear_margins<V: Vector>(&self, slopes: *mut V::Element, margin: usize) {
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
