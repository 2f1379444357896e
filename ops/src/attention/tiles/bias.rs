//! What the energies of a tile start from: relative terms, biases of keys and what is hidden.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::Vector;

use super::super::VisibleKeys;
use super::pack::{Head, KeyBiases, scratch};
use super::plan::{Chunk, Plan, Relative, Visible, padding};
use super::product::{Accumulate, Left, Right, sweep};
use super::start::{Crossed, Rows, Spanning, Start};
use super::tables::{Axis, Tables};

/// Rows of a strip that are computed together.
pub(super) const STRIP: usize = 8;

/// The part of a chunk that a block of queries sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// Columns, multiples of the lanes.
    pub columns: Range<usize>,
    /// Whether some of them are hidden from some query.
    pub partly: bool,
}

/// The part of a chunk that some of the queries see; `None` where none sees any.
pub(super) fn seen(chunk: &Chunk, visible: Option<&Visible>, lanes: usize) -> Option<Seen> {
    let all = Seen { columns: 0..chunk.len.next_multiple_of(lanes), partly: false };
    let Some(Visible { keys, some, every }) = visible else { return Some(all) };
    let end = chunk.start + chunk.len;
    if some.start >= end || some.end <= chunk.start {
        return None;
    }
    if every.start <= chunk.start && end <= every.end {
        return Some(all);
    }
    // First and last key that any query sees, and how many the query sees that sees fewest.
    let (mut first, mut last, mut fewest) = (usize::MAX, 0, usize::MAX);
    for keys in *keys {
        let mut count = 0;
        for interval in keys.intervals_in(chunk.rows.clone()) {
            let (start, end) = (interval.start.max(chunk.start), interval.end.min(chunk.start + chunk.len));
            if start < end {
                first = first.min(start - chunk.start);
                last = last.max(end - chunk.start);
                count += end - start;
            }
        }
        fewest = fewest.min(count);
    }
    if first >= last {
        return None;
    }
    let columns = first / lanes * lanes..last.next_multiple_of(lanes);
    let partly = fewest < columns.end.min(chunk.len) - columns.start;
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
    /// Where the starting values of each row lie. (block)
    rows: Vec<*const T>,
    /// Column and row of the keys that each vector starts at, where rows of keys are one vector long at least.
    places: Vec<[u32; 2]>,
    /// Relative terms of a block: of each query and column of keys, and of each query and row; the columns go on
    /// from the first again. (block, line)
    along: [Buffer<T>; 2],
    line: [usize; 2],
    strip: Buffer<T>,
}

impl<'a, T: Scalar> Bias<'a, T> {
    pub fn new(plan: &'a Plan<'a, T>, tables: &'a Tables<T>, head: &Head) -> Self {
        let columns = plan.spec.lattice.key_grid().1;
        let (pad, line) = (padding::<T>(), plan.lines());
        let strip = if plan.relative == Relative::Line { plan.width + STRIP + 2 * pad } else { 0 };
        let crossed = plan.relative == Relative::Separable && columns >= plan.lanes;
        let vectors =
            |i: usize| (0..plan.width / plan.lanes).map(move |v| plan.chunks[i].start + v * plan.lanes);
        let place = |k: usize| [(k % columns) as u32, (k / columns) as u32];
        let chunks = head.chunks.clone().filter(|_| crossed);
        // Columns past the last key and rows past the last query are read before -inf is added to them or
        // they are dropped: they must hold finite numbers.
        let zeros = |rows: usize, row: usize| {
            let mut buffer = scratch(rows, row);
            buffer.fill(T::zero());
            buffer
        };
        Bias {
            plan,
            tables,
            head: head.clone(),
            keys: plan.key_biases(head),
            tile: zeros(plan.block, plan.width),
            rows: vec![std::ptr::null(); plan.block],
            places: chunks.flat_map(vectors).map(place).collect(),
            along: line.map(|line| zeros(plan.block, line)),
            line,
            strip: zeros(plan.block, strip),
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
                if columns >= V::LANES {
                    V::load(into).store(into.add(columns));
                }
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
        visible: Option<&Visible>,
    ) -> Start<T> {
        let keys = self.keys.biases.chunk(chunk).as_ptr();
        let plain = !seen.partly && !self.keys.used(chunk);
        if self.plan.relative == Relative::Absent && !seen.partly {
            self.rows.fill(keys);
            return Start::Rows(Rows(self.rows.as_ptr()));
        }
        if plain && !self.places.is_empty() {
            let at = (chunk - self.head.chunks.start) * (self.plan.width / V::LANES);
            let [x, y] = self.along.each_ref().map(|along| along.as_ptr());
            let crossed = Crossed { x, y, line: self.line, places: self.places[at..].as_ptr() };
            let columns = self.plan.spec.lattice.key_grid().1;
            if columns.is_multiple_of(V::LANES) {
                return Start::Crossed(crossed);
            }
            return Start::Spanning(Spanning { crossed, columns });
        }
        let queries = self.plan.queries(block);
        let width = self.plan.width;
        // SAFETY: the tile holds a block of rows of `width` numbers and a cache line more.
        unsafe {
            match self.plan.relative {
                Relative::Absent => {
                    for row in self.tile.chunks_exact_mut(width).take(queries.len()) {
                        row[seen.columns.clone()].fill(T::zero());
                    }
                }
                Relative::Separable => self.separable::<V>(queries.clone(), chunk),
                Relative::Joint => self.joint::<V>(queries.clone(), chunk, position),
                Relative::Line => {
                    self.strips::<V>(queries.clone(), chunk, seen, position);
                    if plain {
                        return Start::Rows(Rows(self.rows.as_ptr()));
                    }
                    self.copy_rows::<V>(queries.len(), seen);
                }
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
        if let (true, Some(visible)) = (seen.partly, visible) {
            let piece = &self.plan.chunks[chunk];
            let end = seen.columns.end.min(piece.len);
            for (row, keys) in self.tile.chunks_exact_mut(width).zip(visible.keys) {
                hide(&mut row[..end], piece, keys);
            }
        }
        for (row, tile) in self.rows.iter_mut().zip(self.tile.chunks_exact(width)) {
            *row = tile.as_ptr();
        }
        Start::Rows(Rows(self.rows.as_ptr()))
    }

    /// `x(q, column) + y(q, row)`.
    ///
    /// # Safety
    /// As for `start`.
    #[inline(always)]
    unsafe fn separable<V: Vector<Element = T>>(&mut self, queries: Range<usize>, chunk: usize) {
        let columns = self.plan.spec.lattice.key_grid().1;
        for i in 0..queries.len() {
            for segment in self.plan.chunks[chunk].segments(columns) {
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
            for segment in self.plan.chunks[chunk].segments(columns) {
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
    /// that they read, of which each query has its own part.
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
                let into = self.strip.as_mut_ptr().add(first * row);
                let mut strip = Accumulate { into, row, overwrite: true };
                let queries_of =
                    Left { data: position.as_ptr().add(first * channels), row: channels as isize, step: 1 };
                let rows = Right { data: table.add(columns.start), row: line };
                sweep::<V, _>(STRIP, 0..columns.len(), d, queries_of, rows, &mut strip);
                for i in 0..STRIP {
                    let at = (i * row + key) as isize - (queries.start + first + i + columns.start) as isize;
                    self.rows[first + i] = into.wrapping_offset(at).cast_const();
                }
            }
        }
    }

    /// Copies the rows that lie elsewhere to the tile.
    ///
    /// # Safety
    /// As for `start`.
    #[inline(always)]
    unsafe fn copy_rows<V: Vector<Element = T>>(&mut self, count: usize, seen: &Seen) {
        for (row, into) in self.rows.iter().zip(self.tile.chunks_exact_mut(self.plan.width)).take(count) {
            for j in seen.columns.clone().step_by(V::LANES) {
                // SAFETY: the caller's.
                unsafe { V::load(row.wrapping_add(j)).store(into.as_mut_ptr().add(j)) };
            }
        }
    }
}

/// Writes `-inf` over the keys of a chunk that a query does not see; `row` may end before the chunk.
fn hide<T: Scalar>(row: &mut [T], chunk: &Chunk, keys: &VisibleKeys) {
    let mut from = 0;
    for interval in keys.intervals_in(chunk.rows.clone()) {
        let ends = [interval.start, interval.end];
        let [start, end] = ends.map(|k| k.clamp(chunk.start, chunk.start + row.len()) - chunk.start);
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
