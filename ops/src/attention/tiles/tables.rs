//! Tables of positions, packed so that the rows that a query reads side by side lie side by side.
//!
//! A packed table holds one line of numbers for each channel; where keys lie `step` pixels apart, one such
//! set for each remainder of a row number, so that consecutive keys read consecutive numbers.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector, transpose};

use super::Shared;
use super::bias::STRIP;
use super::plan::{Plan, Relative, padding, use_dots};
use crate::par;

/// How the rows of a table along one direction are packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// From one key to the next, in rows of the table.
    pub step: usize,
    pub rows: usize,
    /// Zeros before the first number of a line.
    pub front: usize,
    /// Numbers from one line to the next.
    pub line: usize,
}

impl Axis {
    fn new<T>(rows: usize, step: usize, front: usize, back: usize) -> Self {
        let line = (front + rows.div_ceil(step) + back).next_multiple_of(padding::<T>());
        // An odd number of cache lines: the lines of all channels then lie in different sets of a cache.
        let line = if (line / padding::<T>()).is_multiple_of(2) { line + padding::<T>() } else { line };
        Axis { step, rows, front, line }
    }

    /// Numbers of the packed table of one head.
    pub fn len(&self, channels: usize) -> usize {
        self.step * channels * self.line
    }

    /// Where channel 0 of table row `row` lies in a packed table.
    #[inline(always)]
    pub fn at(&self, channels: usize, row: usize) -> usize {
        row % self.step * channels * self.line + self.front + row / self.step
    }
}

/// Zeros before and after the rows of a table of a sequence: of the keys that some query of a block sees all its
/// queries read the offset, and those of a strip and of whole vectors more.
pub(super) fn margin<T: Scalar>(plan: &Plan<T>) -> usize {
    (plan.block + STRIP).next_multiple_of(padding::<T>()) + 2 * padding::<T>()
}

/// The tables of all heads.
pub(super) struct Tables<T: Scalar> {
    /// Columns of an image, or a sequence.
    pub x: Axis,
    /// Rows of an image.
    pub y: Axis,
    /// Packed tables of one head: for a separable position x then y; for a joint one an x-table for each
    /// row offset; on a sequence the one.
    pub per_head: usize,
    packed: Buffer<T>,
    /// Numbers of a row of `rows`; 0 where it is not needed.
    pub row: usize,
    /// On a sequence, of each head the rows as they are, zeros before and after.
    rows: Buffer<T>,
    rows_per_head: usize,
}

impl<T: Scalar> Tables<T> {
    pub fn new(plan: &Plan<T>, backward: bool) -> Self {
        let (spec, pad, channels) = (plan.spec, padding::<T>(), plan.channels());
        let step = spec.lattice.strides().1;
        let none = Axis { step: 1, rows: 0, front: 0, line: 0 };
        let (x, y) = match plan.relative {
            Relative::Absent => (none, none),
            Relative::Line => {
                // A block of queries reads from row `k + shift + 1 - q` on, with `k` and `q` multiples of the lanes:
                // that row is to be aligned.
                let (shift, rows) = (spec.relative[0].shift, spec.relative[0].rows);
                let front = (margin(plan) + shift + 1).next_multiple_of(pad) - (shift + 1);
                (Axis::new::<T>(rows, 1, front, margin(plan)), none)
            }
            Relative::Separable => {
                let [x, y] = [0, 1].map(|i| Axis::new::<T>(spec.relative[i].rows, step, 0, pad));
                (x, y)
            }
            Relative::Joint => {
                let [x, y] = [spec.lattice.x_index().rows, spec.lattice.y_index().rows];
                (Axis::new::<T>(x, step, 0, pad), Axis { rows: y, ..none })
            }
        };
        let copies = if plan.relative == Relative::Joint { y.rows } else { 1 };
        let per_head = copies * x.len(channels) + y.len(channels);
        let as_rows = backward && plan.relative == Relative::Line && !use_dots(spec.head_dim, plan.lanes);
        let row = if as_rows { spec.head_dim.next_multiple_of(plan.lanes) } else { 0 };
        let rows_per_head = row * (x.rows + 2 * margin(plan));
        let mut packed = Buffer::zeros(per_head * spec.num_heads);
        let mut rows = Buffer::zeros(rows_per_head * spec.num_heads);
        let tables =
            Tables { x, y, per_head, row, rows_per_head, packed: Buffer::zeros(0), rows: Buffer::zeros(0) };
        if plan.relative != Relative::Absent {
            let (packed, rows) = (Shared::new(&mut packed), Shared::new(&mut rows));
            par::map(spec.num_heads, 2 * per_head, |m| {
                simd::run_on(plan.isa, Pack { tables: &tables, plan, m, packed, rows });
            });
        }
        Tables { packed, rows, ..tables }
    }

    /// The packed tables of head `m`.
    pub fn head(&self, m: usize) -> &[T] {
        &self.packed[m * self.per_head..(m + 1) * self.per_head]
    }

    /// The rows of head `m`; row 0 of the table is row [`margin`] of it.
    pub fn rows(&self, m: usize) -> &[T] {
        &self.rows[m * self.rows_per_head..(m + 1) * self.rows_per_head]
    }

    /// `table[r, channels of head m] = factor * sum of packed gradients of head m`, for all heads; `parts`
    /// holds heads and packed gradients, which are added in their order.
    pub fn gradients(
        &self,
        plan: &Plan<T>,
        parts: &[(usize, &Buffer<T>)],
        factor: T,
        into: &mut [Buffer<T>],
    ) {
        let heads = plan.spec.num_heads;
        let into: Vec<Shared<T>> = into.iter_mut().map(|buffer| Shared::new(buffer)).collect();
        par::map(heads, self.per_head * parts.len().div_ceil(heads), |m| {
            let parts: Vec<_> = parts.iter().filter(|(head, _)| *head == m).map(|(_, part)| *part).collect();
            simd::run_on(plan.isa, Unpack { tables: self, plan, m, parts: &parts, factor, into: &into });
        });
    }

    /// The pieces of the tables that are transposed as one.
    fn pieces(&self, plan: &Plan<T>) -> Vec<Piece> {
        let channels = plan.channels();
        let pieces = |table: usize, axis: Axis, first: usize, start: usize| {
            (0..axis.step.min(axis.rows)).map(move |r| Piece {
                table,
                row: first + r,
                step: axis.step,
                count: (axis.rows - r).div_ceil(axis.step),
                at: start + axis.at(channels, r),
                line: axis.line,
            })
        };
        let size = self.x.len(channels);
        match plan.relative {
            Relative::Absent => Vec::new(),
            Relative::Line => pieces(0, self.x, 0, 0).collect(),
            Relative::Separable => pieces(0, self.x, 0, 0).chain(pieces(1, self.y, 0, size)).collect(),
            Relative::Joint => {
                (0..self.y.rows).flat_map(|t| pieces(0, self.x, t * self.x.rows, t * size)).collect()
            }
        }
    }
}

/// Rows of a table that lie side by side when packed: `count` of them, every `step`-th from `row`.
struct Piece {
    table: usize,
    row: usize,
    step: usize,
    count: usize,
    /// Where channel 0 of the first is packed, and how far it is to the next channel.
    at: usize,
    line: usize,
}

/// Packs the tables of one head.
struct Pack<'a, T: Scalar> {
    tables: &'a Tables<T>,
    plan: &'a Plan<'a, T>,
    m: usize,
    packed: Shared<T>,
    rows: Shared<T>,
}

impl<T: Scalar> Kernel<T> for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Pack { tables, plan, m, .. } = self;
        let (d, heads) = (plan.spec.head_dim, plan.spec.num_heads);
        // SAFETY: no other task packs this head.
        let packed = unsafe { self.packed.slice(m * tables.per_head, tables.per_head) };
        for piece in tables.pieces(plan) {
            let from = &plan.tables[piece.table][(piece.row * heads + m) * d..];
            let into = &mut packed[piece.at..];
            let stride = piece.step * heads * d;
            assert!(from.len() >= (piece.count - 1) * stride + d, "a table holds its rows");
            assert!(into.len() >= (d - 1) * piece.line + piece.count, "the packed table holds its channels");
            // SAFETY: just checked.
            unsafe {
                transpose::<V>([piece.count, d], from.as_ptr(), stride, into.as_mut_ptr(), piece.line);
            }
        }
        // SAFETY: as above.
        let rows = unsafe { self.rows.slice(m * tables.rows_per_head, tables.rows_per_head) };
        if tables.row > 0 {
            for (r, into) in
                rows.chunks_exact_mut(tables.row).skip(margin(plan)).take(tables.x.rows).enumerate()
            {
                into[..d].copy_from_slice(&plan.tables[0][(r * heads + m) * d..][..d]);
            }
        }
    }
}

/// Adds the packed gradients of the tables of one head and unpacks them.
struct Unpack<'a, T: Scalar> {
    tables: &'a Tables<T>,
    plan: &'a Plan<'a, T>,
    m: usize,
    parts: &'a [&'a Buffer<T>],
    factor: T,
    into: &'a [Shared<T>],
}

impl<T: Scalar> Kernel<T> for Unpack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Unpack { tables, plan, m, .. } = self;
        let (d, heads) = (plan.spec.head_dim, plan.spec.num_heads);
        // A packed table is made of whole cache lines.
        let mut sum = Buffer::zeros(tables.per_head);
        for (i, part) in self.parts.iter().enumerate() {
            let factor = V::splat(if i + 1 == self.parts.len() { self.factor } else { T::one() });
            for (sum, part) in sum.chunks_exact_mut(V::LANES).zip(part.chunks_exact(V::LANES)) {
                ((V::from_slice(sum) + V::from_slice(part)) * factor).write_to(sum);
            }
        }
        for piece in tables.pieces(plan) {
            let Some(into) = self.into.get(piece.table).filter(|into| !into.is_empty()) else { continue };
            let from = &sum[piece.at..];
            let stride = piece.step * heads * d;
            assert!(from.len() >= (d - 1) * piece.line + piece.count, "the packed table holds its channels");
            // SAFETY: no other task writes the channels of this head; the rest was just checked.
            unsafe {
                let len = (piece.count - 1) * stride + d;
                let into = into.slice((piece.row * heads + m) * d, len).as_mut_ptr();
                transpose::<V>([d, piece.count], from.as_ptr(), piece.line, into, stride);
            }
        }
    }
}
