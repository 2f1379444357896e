//! Tables of positions, packed so that the rows that a query reads side by side lie side by side.
//!
//! A packed table holds one line of numbers for each channel; where keys lie `step` pixels apart, one such
//! set for each remainder of a row number, so that consecutive keys read consecutive numbers.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;

use super::plan::{Plan, Relative, padding, use_dots};

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
            Relative::Line => (Axis::new::<T>(spec.relative[0].rows, 1, pad, 3 * pad), none),
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
        let rows_per_head = row * (x.rows + 2 * pad);
        let mut tables = Tables {
            x,
            y,
            per_head,
            packed: Buffer::zeros(per_head * spec.num_heads),
            row,
            rows: Buffer::zeros(rows_per_head * spec.num_heads),
            rows_per_head,
        };
        for m in 0..spec.num_heads {
            tables.pack(plan, m);
        }
        tables
    }

    fn pack(&mut self, plan: &Plan<T>, m: usize) {
        let (d, heads, channels) = (plan.spec.head_dim, plan.spec.num_heads, plan.channels());
        let row_of = |table: usize, r: usize| &plan.tables[table][(r * heads + m) * d..][..d];
        let packed = &mut self.packed[m * self.per_head..(m + 1) * self.per_head];
        for_each_row(plan.relative, self.x, self.y, channels, |table, r, at, line| {
            row_of(table, r).iter().enumerate().for_each(|(c, &value)| packed[at + c * line] = value);
        });
        if self.row > 0 {
            let rows = &mut self.rows[m * self.rows_per_head..][padding::<T>() * self.row..];
            for r in 0..self.x.rows {
                rows[r * self.row..][..d].copy_from_slice(row_of(0, r));
            }
        }
    }

    /// The packed tables of head `m`.
    pub fn head(&self, m: usize) -> &[T] {
        &self.packed[m * self.per_head..(m + 1) * self.per_head]
    }

    /// The rows of head `m`; row 0 of the table is row `padding` of it.
    pub fn rows(&self, m: usize) -> &[T] {
        &self.rows[m * self.rows_per_head..(m + 1) * self.rows_per_head]
    }

    /// `table[r, channels of head m] += factor * packed`, for the gradients of all tables.
    pub fn unpack(&self, plan: &Plan<T>, m: usize, packed: &[T], factor: T, tables: &mut [Buffer<T>]) {
        let (d, heads) = (plan.spec.head_dim, plan.spec.num_heads);
        for_each_row(plan.relative, self.x, self.y, plan.channels(), |table, r, at, line| {
            let row = &mut tables[table][(r * heads + m) * d..][..d];
            row.iter_mut().enumerate().for_each(|(c, sum)| *sum += factor * packed[at + c * line]);
        });
    }
}

/// Calls `f(table, row, where channel 0 is packed, numbers from one channel to the next)` for each row.
fn for_each_row(
    relative: Relative,
    x: Axis,
    y: Axis,
    channels: usize,
    mut f: impl FnMut(usize, usize, usize, usize),
) {
    let size = x.len(channels);
    match relative {
        Relative::Absent => {}
        Relative::Line => (0..x.rows).for_each(|r| f(0, r, x.at(channels, r), x.line)),
        Relative::Separable => {
            (0..x.rows).for_each(|r| f(0, r, x.at(channels, r), x.line));
            (0..y.rows).for_each(|r| f(1, r, size + y.at(channels, r), y.line));
        }
        Relative::Joint => {
            for t in 0..y.rows {
                (0..x.rows).for_each(|r| f(0, t * x.rows + r, t * size + x.at(channels, r), x.line));
            }
        }
    }
}
