//! Gradients of what the energies of a tile start from.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::Vector;

use super::bias::{Bias, STRIP};
use super::cross_sums::{Lines, add_rows, add_spanning};
use super::pack::scratch;
use super::plan::{Plan, Relative, padding};
use super::product::{Accumulate, Left, Right, accumulate_lanes, collapse, sweep};
use super::tables::{self, Axis, Tables};

/// The gradient of the energies of a tile: element `(i, j)` at `data + i * row + j`; on a sequence there are
/// [`margin`] zeros and more on both sides of the columns.
#[derive(Clone, Copy)]
pub(super) struct Slopes<T> {
    pub data: *const T,
    pub row: usize,
}

/// Zeros that skewed reads of a tile need on both sides.
pub(super) fn margin<T: Scalar>(plan: &Plan<T>) -> usize {
    if plan.relative == Relative::Line {
        plan.block.next_multiple_of(padding::<T>()) + padding::<T>()
    } else {
        0
    }
}

/// Gradients of the relative terms of one head, block after block.
pub(super) struct RelativeGradients<'a, T: Scalar> {
    plan: &'a Plan<'a, T>,
    tables: &'a Tables<T>,
    m: usize,
    line: [usize; 2],
    /// Gradient of the packed tables, without the scale.
    pub packed: Buffer<T>,
    /// Gradients of `Bias::along`; what was added past the last column belongs to the first ones.
    along: [Buffer<T>; 2],
    /// Gradient of the position query, a lane a key (block, channels, lanes) or, on a sequence where rows do not
    /// waste vectors, whole (block, row of the tables).
    query: Buffer<T>,
    needs_query: bool,
    needs_tables: bool,
}

impl<'a, T: Scalar> RelativeGradients<'a, T> {
    pub fn new(
        plan: &'a Plan<'a, T>,
        tables: &'a Tables<T>,
        m: usize,
        needs_query: bool,
        needs_tables: bool,
    ) -> Self {
        let per_query = if tables.row > 0 { tables.row } else { plan.channels() * plan.lanes };
        RelativeGradients {
            plan,
            tables,
            m,
            line: plan.lines(),
            packed: Buffer::zeros(if needs_tables { tables.per_head } else { 0 }),
            along: plan.lines().map(|line| scratch(plan.block, line)),
            query: scratch(plan.block, if needs_query { per_query } else { 0 }),
            needs_query,
            needs_tables,
        }
    }

    /// Forgets the block before.
    pub fn begin(&mut self) {
        self.query.fill(T::zero());
        self.along.iter_mut().for_each(|along| along.fill(T::zero()));
    }

    /// Takes the gradient of the energies of one tile.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set and `slopes` hold the queries of the block and `columns` of the
    /// chunk.
    #[inline(always)]
    pub unsafe fn add<V: Vector<Element = T>>(
        &mut self,
        bias: &Bias<T>,
        (block, chunk, columns): (usize, usize, Range<usize>),
        slopes: Slopes<T>,
        position: &[T],
    ) {
        // SAFETY: the caller's.
        unsafe {
            match self.plan.relative {
                Relative::Absent => {}
                Relative::Separable => self.separable::<V>(block, chunk, columns, slopes),
                Relative::Joint => self.joint::<V>(bias, block, chunk, columns, slopes, position),
                Relative::Line => self.line::<V>(block, chunk, columns, slopes, position),
            }
        }
    }

    /// `S += x(q, column) + y(q, row)  =>  dx(q, column) = sum over rows of dS, dy(q, row) = sum over columns`.
    ///
    /// # Safety
    /// As for `add`.
    #[inline(always)]
    unsafe fn separable<V: Vector<Element = T>>(
        &mut self,
        block: usize,
        chunk: usize,
        columns: Range<usize>,
        slopes: Slopes<T>,
    ) {
        let width = self.plan.spec.lattice.key_grid().1;
        let piece = &self.plan.chunks[chunk];
        let rows = piece.rows.len();
        let queries = self.plan.queries(block).len();
        if columns.len() == piece.len && width >= V::LANES {
            let [x, y] = self.along.each_mut().map(|along| along.as_mut_ptr());
            // SAFETY: the chunk is made of whole vectors, and the lines reach one further.
            unsafe {
                let y = y.add(piece.rows.start);
                if width.is_multiple_of(V::LANES) && rows * width == piece.len {
                    for i in 0..queries {
                        let from = slopes.data.add(i * slopes.row);
                        add_rows::<V>(from, rows, width, x.add(i * self.line[0]), y.add(i * self.line[1]));
                    }
                } else {
                    let first = piece.start % width;
                    let lines = Lines { x, y, line: self.line };
                    add_spanning::<V>(slopes, queries, first..first + piece.len, width, lines);
                }
            }
            return;
        }
        for i in 0..self.plan.queries(block).len() {
            for segment in self.plan.chunks[chunk].segments(width) {
                let first = segment.at.max(columns.start);
                let end = (segment.at + segment.len).min(columns.end);
                if first >= end {
                    continue;
                }
                // SAFETY: the segment lies in the tile and in the lines of `along`, which have a cache line to
                // spare.
                unsafe {
                    let from = slopes.data.add(i * slopes.row + first);
                    let x = i * self.line[0] + segment.x + first - segment.at;
                    let x = self.along[0].as_mut_ptr().add(x);
                    let (mut sum, mut j) = (V::zero(), 0);
                    while j + V::LANES <= end - first {
                        let slope = V::load(from.add(j));
                        (V::load(x.add(j)) + slope).store(x.add(j));
                        sum += slope;
                        j += V::LANES;
                    }
                    if j < end - first {
                        let slope = V::load_part(from.add(j), end - first - j);
                        (V::load(x.add(j)) + slope).store(x.add(j));
                        sum += slope;
                    }
                    self.along[1][i * self.line[1] + segment.y] += sum.sum();
                }
            }
        }
    }

    /// `S += query . table[row]`, window by window.
    ///
    /// # Safety
    /// As for `add`.
    #[inline(always)]
    unsafe fn joint<V: Vector<Element = T>>(
        &mut self,
        bias: &Bias<T>,
        block: usize,
        chunk: usize,
        columns: Range<usize>,
        slopes: Slopes<T>,
        position: &[T],
    ) {
        let width = self.plan.spec.lattice.key_grid().1;
        for (i, q) in self.plan.queries(block).enumerate() {
            for segment in self.plan.chunks[chunk].segments(width) {
                let first = segment.at.max(columns.start);
                let end = (segment.at + segment.len).min(columns.end);
                if first >= end {
                    continue;
                }
                let at = bias.joint_start(q, segment.y) + segment.x + first - segment.at;
                // SAFETY: the window lies in the tile and in the packed table.
                unsafe {
                    let from = slopes.data.add(i * slopes.row + first);
                    self.window::<V>(i, position, from, end - first, at, self.tables.x);
                }
            }
        }
    }

    /// A few queries at a time, as forward: the gradient of a strip is the tile read with each row one further
    /// to the side.
    ///
    /// # Safety
    /// As for `add`.
    #[inline(always)]
    unsafe fn line<V: Vector<Element = T>>(
        &mut self,
        block: usize,
        chunk: usize,
        columns: Range<usize>,
        slopes: Slopes<T>,
        position: &[T],
    ) {
        let (queries, channels, table) = (self.plan.queries(block), self.plan.channels(), self.tables.x);
        // Query q and key k read row k + shift - q of the table, which is row `front` more of the packed one.
        let key = table.front + self.plan.chunks[chunk].start + self.plan.spec.relative[0].shift;
        let packed = self.tables.head(self.m).as_ptr();
        if self.needs_query {
            for first in (0..queries.len()).step_by(STRIP) {
                let query = queries.start + first;
                let rows = key + columns.start - (query + STRIP - 1)..key + columns.end - query;
                // SAFETY: the rows lie in the packed table; outside the columns the tile is zero.
                unsafe {
                    if self.tables.row == 0 {
                        // Aligned in the table.
                        let rows = rows.start / V::LANES * V::LANES..rows.end.next_multiple_of(V::LANES);
                        let a = skewed(slopes, first, (rows.start + query) as isize - key as isize);
                        let b = Right { data: packed.add(rows.start), row: table.line };
                        let into = self.query.as_mut_ptr().add(first * channels * V::LANES);
                        accumulate_lanes::<V>(STRIP, channels, rows.len(), a, b, into);
                    } else {
                        let row = self.tables.row;
                        let a = skewed(slopes, first, (rows.start + query) as isize - key as isize);
                        let data = self.tables.rows(self.m).as_ptr();
                        let at = rows.start + tables::margin(self.plan) - table.front;
                        let b = Right { data: data.add(at * row), row };
                        let into = self.query.as_mut_ptr().add(first * row);
                        let mut query = Accumulate { into, row, overwrite: false };
                        sweep::<V, _>(STRIP, 0..row, rows.len(), a, b, &mut query);
                    }
                }
            }
        }
        if self.needs_tables {
            let start = (key + columns.start + 1 - queries.end) / V::LANES * V::LANES;
            let end = (key + columns.end - queries.start).next_multiple_of(V::LANES);
            // SAFETY: as above.
            unsafe {
                let a = Left { data: position.as_ptr(), row: 1, step: channels as isize };
                let tile = skewed(slopes, 0, (start + queries.start) as isize - key as isize);
                let b = Right { data: tile.data, row: slopes.row + 1 };
                let into = self.packed.as_mut_ptr().add(start);
                let mut packed = Accumulate { into, row: table.line, overwrite: false };
                sweep::<V, _>(channels, 0..end - start, queries.len(), a, b, &mut packed);
            }
        }
    }

    /// For query `i` of the block and `len` of its slopes: `dquery += table . slopes`, lane by lane, and
    /// `dtable += query slopes`.
    ///
    /// # Safety
    /// The window that starts at `at` must lie in the packed table, and the slopes be readable.
    #[inline(always)]
    unsafe fn window<V: Vector<Element = T>>(
        &mut self,
        i: usize,
        position: &[T],
        slopes: *const T,
        len: usize,
        at: usize,
        axis: Axis,
    ) {
        let (d, channels) = (self.plan.spec.head_dim, self.plan.channels());
        let table = self.tables.head(self.m);
        for c in 0..d {
            let at = at + c * axis.line;
            // SAFETY: a packed table reaches a cache line beyond the last window.
            unsafe {
                let query = V::splat(position[i * channels + c]);
                let mut sum = V::zero();
                for j in (0..len).step_by(V::LANES) {
                    let slope = if j + V::LANES <= len {
                        V::load(slopes.add(j))
                    } else {
                        V::load_part(slopes.add(j), len - j)
                    };
                    if self.needs_query {
                        sum = slope.mul_add(V::load(table.as_ptr().add(at + j)), sum);
                    }
                    if self.needs_tables {
                        let into = self.packed.as_mut_ptr().add(at + j);
                        slope.mul_add(query, V::load(into)).store(into);
                    }
                }
                if self.needs_query {
                    let into = self.query.as_mut_ptr().add((i * channels + c) * V::LANES);
                    (V::load(into) + sum).store(into);
                }
            }
        }
    }

    /// Completes a block: writes the gradient of the position query (block, channels), without the scale.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set.
    #[inline(always)]
    pub unsafe fn finish<V: Vector<Element = T>>(
        &mut self,
        bias: &Bias<T>,
        block: usize,
        position: &[T],
        into: &mut [T],
    ) {
        let (d, channels) = (self.plan.spec.head_dim, self.plan.channels());
        if self.plan.relative == Relative::Separable {
            let (rows, columns) = self.plan.spec.lattice.key_grid();
            for (i, q) in self.plan.queries(block).enumerate() {
                let [at_x, at_y] = bias.starts(q);
                // SAFETY: as for `window`; the lines hold the columns and rows of the keys.
                unsafe {
                    let x = self.along[0].as_mut_ptr().add(i * self.line[0]);
                    if columns >= V::LANES {
                        (V::load(x) + V::load(x.add(columns))).store(x);
                    }
                    let x = x.cast_const();
                    self.window::<V>(i, position, x, columns, at_x, self.tables.x);
                    let y = self.along[1].as_ptr().add(i * self.line[1]);
                    let at_y = self.tables.x.len(channels) + at_y;
                    self.window::<V>(i, position, y, rows, at_y, self.tables.y);
                }
            }
        }
        if self.needs_query {
            let row = if self.tables.row > 0 { self.tables.row } else { channels * V::LANES };
            let queries = self.query.chunks_exact(row).zip(into.chunks_exact_mut(channels));
            for (query, into) in queries.take(self.plan.queries(block).len()) {
                collapse::<V>(query, self.tables.row == 0, &mut into[..d]);
            }
        }
    }
}

/// Rows `first ..` of a tile, read from column `column` and one further each row.
///
/// # Safety
/// What is read must lie in the tile's margins or in the tile.
#[inline(always)]
unsafe fn skewed<T>(slopes: Slopes<T>, first: usize, column: isize) -> Left<T> {
    // SAFETY: the caller's.
    let data = unsafe { slopes.data.add(first * slopes.row).offset(column) };
    Left { data, row: slopes.row as isize + 1, step: 1 }
}
