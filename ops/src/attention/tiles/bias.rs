//! What the energies of a tile start from: relative terms, biases of keys and what is hidden.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::Vector;

use super::super::VisibleKeys;
use super::pack::{Head, KeyBiases, scratch};
use super::plan::{Chunk, Plan, Relative, padding};
use super::product::{Accumulate, Left, Right, sweep};
use super::tables::{Axis, Tables};

/// Rows of a strip that are computed together.
pub(super) const STRIP: usize = 8;

/// Where the starting values of a tile lie: of row `i` at `data + i * row`.
#[derive(Clone, Copy)]
pub(super) struct Start<T> {
    pub data: *const T,
    pub row: usize,
}

/// The part of a chunk that a block of queries sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// Columns, multiples of the lanes.
    pub columns: Range<usize>,
    /// Whether some of them are hidden from some query.
    pub partly: bool,
}

/// The part of a chunk that lies in one row of the lattice of keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Row of keys.
    pub y: usize,
    /// First column of keys.
    pub x: usize,
    /// Its place in the chunk.
    pub at: usize,
    pub len: usize,
}

/// The segments of a chunk.
pub(super) fn segments(chunk: Chunk, width: usize) -> impl Iterator<Item = Segment> {
    let end = chunk.start + chunk.len;
    (chunk.start / width..end.div_ceil(width)).map(move |y| {
        let (first, last) = (chunk.start.max(y * width), end.min((y + 1) * width));
        Segment { y, x: first - y * width, at: first - chunk.start, len: last - first }
    })
}

/// The part of a chunk that some of the queries see; `None` where none sees any.
pub(super) fn seen(chunk: Chunk, visible: Option<&[VisibleKeys]>, lanes: usize) -> Option<Seen> {
    let Some(visible) = visible else {
        return Some(Seen { columns: 0..chunk.len.next_multiple_of(lanes), partly: false });
    };
    let within = |keys: &VisibleKeys| {
        let end = chunk.start + chunk.len;
        let clip = move |i: Range<usize>| i.start.max(chunk.start)..i.end.min(end);
        keys.intervals_between(chunk.start, end).map(clip).filter(|i| !i.is_empty())
    };
    let (mut first, mut last) = (usize::MAX, 0);
    for interval in visible.iter().flat_map(within) {
        first = first.min(interval.start - chunk.start);
        last = last.max(interval.end - chunk.start);
    }
    if first >= last {
        return None;
    }
    let columns = first / lanes * lanes..last.next_multiple_of(lanes);
    let all = columns.end.min(chunk.len) - columns.start;
    let partly = visible.iter().any(|keys| within(keys).map(|i| i.len()).sum::<usize>() != all);
    Some(Seen { columns, partly })
}

/// The starting values of the tiles of one head, block after block.
pub(super) struct Bias<'a, T: Scalar> {
    plan: &'a Plan<'a, T>,
    tables: &'a Tables<T>,
    head: Head,
    pub keys: KeyBiases<T>,
    /// (block, width)
    tile: Buffer<T>,
    /// Relative terms of a block: of each query and column of keys, and of each query and row. (block, line)
    along: [Buffer<T>; 2],
    pub line: [usize; 2],
    strip: Buffer<T>,
}

impl<'a, T: Scalar> Bias<'a, T> {
    pub fn new(plan: &'a Plan<'a, T>, tables: &'a Tables<T>, head: &Head) -> Self {
        let (rows, columns) = plan.spec.lattice.key_grid();
        let pad = padding::<T>();
        let line = match plan.relative {
            Relative::Separable => [columns, rows].map(|extent| extent.next_multiple_of(pad) + pad),
            _ => [0, 0],
        };
        let strip = if plan.relative == Relative::Line { plan.width + STRIP + 2 * pad } else { 0 };
        Bias {
            plan,
            tables,
            head: head.clone(),
            keys: plan.key_biases(head),
            tile: scratch(plan.block, plan.width),
            along: line.map(|line| scratch(plan.block, line)),
            line,
            strip: scratch(STRIP, strip),
        }
    }

    /// Computes what does not depend on the chunk, for a block of queries packed in `position`.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set.
    #[inline(always)]
    pub unsafe fn begin<V: Vector<Element = T>>(&mut self, block: usize, position: &[T]) {
        if self.plan.relative != Relative::Separable {
            return;
        }
        let (d, channels) = (self.plan.spec.head_dim, self.plan.channels());
        let tables = self.tables.head(self.head.m);
        let (x, y) = (self.tables.x, self.tables.y);
        let (rows, columns) = self.plan.spec.lattice.key_grid();
        for (i, q) in self.plan.queries(block).enumerate() {
            let query = &position[i * channels..][..d];
            let [at_x, at_y] = self.starts(q);
            // SAFETY: a packed table reaches a cache line beyond the last window, and so do the lines here.
            unsafe {
                let into = self.along[0].as_mut_ptr().add(i * self.line[0]);
                window::<V>(query, tables.as_ptr().add(at_x), x, columns, into);
                let into = self.along[1].as_mut_ptr().add(i * self.line[1]);
                window::<V>(query, tables.as_ptr().add(x.len(channels) + at_y), y, rows, into);
            }
        }
    }

    /// Where the windows of query `q` start in the packed x- and y-table of a separable position.
    #[inline(always)]
    pub fn starts(&self, q: usize) -> [usize; 2] {
        let channels = self.plan.channels();
        let [x, y] = [0, 1].map(|i| {
            let index = &self.plan.spec.relative[i];
            index.shift - index.query[q]
        });
        [self.tables.x.at(channels, x), self.tables.y.at(channels, y)]
    }

    /// Where the window of query `q` over row `y` of the keys starts in a packed joint table.
    #[inline(always)]
    pub fn joint_start(&self, q: usize, y: usize) -> usize {
        let (index, channels, x) = (&self.plan.spec.relative[0], self.plan.channels(), self.tables.x);
        let row = index.key[y * self.plan.spec.lattice.key_grid().1] + index.shift - index.query[q];
        row / x.rows * x.len(channels) + x.at(channels, row % x.rows)
    }

    /// The starting values for a block of queries and the part of a chunk that it sees, valid until the next
    /// call. Rows beyond the last query hold some finite number or `-inf`.
    ///
    /// # Safety
    /// `V` must be of the plan's instruction set.
    #[inline(always)]
    pub unsafe fn start<V: Vector<Element = T>>(
        &mut self,
        block: usize,
        chunk: usize,
        seen: &Seen,
        position: &[T],
        visible: Option<&[VisibleKeys]>,
    ) -> Start<T> {
        let keys = self.keys.biases.chunk(chunk).as_ptr();
        if self.plan.relative == Relative::Absent && !seen.partly {
            return Start { data: keys, row: 0 };
        }
        let queries = self.plan.queries(block);
        let width = self.plan.width;
        // SAFETY: the tile holds a block of rows of `width` numbers and a cache line more.
        unsafe {
            match self.plan.relative {
                Relative::Absent => self.tile[..queries.len() * width].fill(T::zero()),
                Relative::Separable => self.separable::<V>(queries.clone(), chunk),
                Relative::Joint => self.joint::<V>(queries.clone(), chunk, position),
                Relative::Line => self.strips::<V>(queries.clone(), chunk, seen, position),
            }
            if self.keys.used(chunk) {
                for row in self.tile.chunks_exact_mut(width).take(queries.len()) {
                    for j in seen.columns.clone().step_by(V::LANES) {
                        let into = row.as_mut_ptr().add(j);
                        (V::load(into) + V::load(keys.add(j))).store(into);
                    }
                }
            }
        }
        if seen.partly {
            let piece = self.plan.chunks[chunk];
            for (row, keys) in self.tile.chunks_exact_mut(width).zip(visible.into_iter().flatten()) {
                hide(&mut row[..seen.columns.end.min(piece.len)], piece.start, keys);
            }
        }
        Start { data: self.tile.as_ptr(), row: width }
    }

    /// `x(q, column) + y(q, row)`.
    ///
    /// # Safety
    /// As for `start`.
    #[inline(always)]
    unsafe fn separable<V: Vector<Element = T>>(&mut self, queries: Range<usize>, chunk: usize) {
        let columns = self.plan.spec.lattice.key_grid().1;
        for i in 0..queries.len() {
            for segment in segments(self.plan.chunks[chunk], columns) {
                // SAFETY: past a segment's end the lines of `along` and the tile have a cache line to spare, and
                // what is written there is written again with the next segment or row.
                unsafe {
                    let y = V::splat(self.along[1][i * self.line[1] + segment.y]);
                    let x = self.along[0].as_ptr().add(i * self.line[0] + segment.x);
                    let into = self.tile.as_mut_ptr().add(i * self.plan.width + segment.at);
                    for v in (0..segment.len).step_by(V::LANES) {
                        (V::load(x.add(v)) + y).store(into.add(v));
                    }
                }
            }
        }
    }

    /// The relative terms from a joint table, window by window.
    ///
    /// # Safety
    /// As for `start`.
    #[inline(always)]
    unsafe fn joint<V: Vector<Element = T>>(&mut self, queries: Range<usize>, chunk: usize, position: &[T]) {
        let (d, channels) = (self.plan.spec.head_dim, self.plan.channels());
        let columns = self.plan.spec.lattice.key_grid().1;
        let tables = self.tables.head(self.head.m);
        for (i, q) in queries.enumerate() {
            let query = &position[i * channels..][..d];
            for segment in segments(self.plan.chunks[chunk], columns) {
                let at = self.joint_start(q, segment.y) + segment.x;
                // SAFETY: as for `separable`.
                unsafe {
                    let into = self.tile.as_mut_ptr().add(i * self.plan.width + segment.at);
                    window::<V>(query, tables.as_ptr().add(at), self.tables.x, segment.len, into);
                }
            }
        }
    }

    /// The relative terms of a sequence: for a few queries at a time the products with all rows of the table
    /// that they read, then each query's own part of them.
    ///
    /// # Safety
    /// As for `start`.
    #[inline(always)]
    unsafe fn strips<V: Vector<Element = T>>(
        &mut self,
        queries: Range<usize>,
        chunk: usize,
        seen: &Seen,
        position: &[T],
    ) {
        let (d, channels, width) = (self.plan.spec.head_dim, self.plan.channels(), self.plan.width);
        let (line, front) = (self.tables.x.line, self.tables.x.front);
        let table = self.tables.head(self.head.m).as_ptr();
        let row = width + STRIP + 2 * padding::<T>();
        let shift = self.plan.spec.relative[0].shift;
        for first in (0..queries.len()).step_by(STRIP) {
            // Query `q` and key `k` read column `front + k + shift - q` of the table.
            let key = front + self.plan.chunks[chunk].start + shift;
            let of_last = key + seen.columns.start - (queries.start + first + STRIP - 1);
            let of_first = key + seen.columns.end - (queries.start + first);
            let columns = of_last / V::LANES * V::LANES..of_first.next_multiple_of(V::LANES);
            // SAFETY: the columns lie in the packed table, which has zeros before and after its rows; there are
            // at most `row` of them.
            unsafe {
                let into = self.strip.as_mut_ptr();
                let mut strip = Accumulate { into, row, overwrite: true };
                let queries_of =
                    Left { data: position.as_ptr().add(first * channels), row: channels as isize, step: 1 };
                let rows = Right { data: table.add(columns.start), row: line };
                sweep::<V, _>(STRIP, 0..columns.len(), d, queries_of, rows, &mut strip);
                for i in 0..STRIP {
                    let at = (i * row + key) as isize - (queries.start + first + i + columns.start) as isize;
                    let from = into.wrapping_offset(at);
                    let into = self.tile.as_mut_ptr().add((first + i) * width);
                    for j in seen.columns.clone().step_by(V::LANES) {
                        V::load(from.wrapping_add(j)).store(into.add(j));
                    }
                }
            }
        }
    }
}

/// Writes `-inf` over the keys `first ..` of a row that a query does not see.
fn hide<T: Scalar>(row: &mut [T], first: usize, keys: &VisibleKeys) {
    let mut from = 0;
    for interval in keys.intervals_between(first, first + row.len()) {
        let [start, end] = [interval.start, interval.end].map(|k| k.clamp(first, first + row.len()) - first);
        row[from..start].fill(T::neg_infinity());
        from = end;
    }
    row[from..].fill(T::neg_infinity());
}

/// `into[j] = sum_c query[c] table[c, j]` for `len` rows of a packed table, which `table` points at; writes
/// up to a multiple of the lanes.
///
/// # Safety
/// `table` must be readable and `into` writable as far.
#[inline(always)]
unsafe fn window<V: Vector>(
    query: &[V::Element],
    table: *const V::Element,
    axis: Axis,
    len: usize,
    into: *mut V::Element,
) {
    for j in (0..len).step_by(V::LANES) {
        let mut sum = V::zero();
        for (c, &query) in query.iter().enumerate() {
            // SAFETY: the caller vouches for the window.
            sum = V::splat(query).mul_add(unsafe { V::load(table.add(c * axis.line + j)) }, sum);
        }
        // SAFETY: as above.
        unsafe { sum.store(into.add(j)) };
    }
}
