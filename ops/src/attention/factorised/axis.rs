//! One direction of the image: its table of positions, the energies read from it, and their gradients.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Vector, transpose};

use super::{BLOCK, Problem};
use crate::attention::Lattice;

/// Queries and keys along one direction. Query `i` and key `j` read row
/// `j key_step + shift - i query_step` of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// 0 for x, 1 for y.
    pub which: usize,
    pub queries: usize,
    pub keys: usize,
    pub query_step: usize,
    pub key_step: usize,
    pub shift: usize,
    pub rows: usize,
    /// Along this axis, how far apart neighbours are in the order of all keys.
    pub key_stride: usize,
}

impl Axis {
    /// The x-axis, then the y-axis of an image.
    pub fn both(lattice: &Lattice) -> [Axis; 2] {
        let (query_grid, key_grid, (query_step, key_step)) =
            (lattice.query_grid(), lattice.key_grid(), lattice.strides());
        let axis = |which: usize, queries: usize, keys: usize, key_stride: usize| {
            let shift = (queries - 1) * query_step;
            let rows = (keys - 1) * key_step + shift + 1;
            Axis { which, queries, keys, query_step, key_step, shift, rows, key_stride }
        };
        [axis(0, query_grid.1, key_grid.1, 1), axis(1, query_grid.0, key_grid.0, key_grid.1)]
    }

    /// The row that a query's first key reads.
    #[inline(always)]
    pub fn first_row(&self, query: usize) -> usize {
        self.shift - query * self.query_step
    }
}

/// The two axes in the order that suits a vector of `V`: `inner` runs along its lanes.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub inner: Axis,
    pub outer: Axis,
    /// Keys along the inner axis, rounded up to whole vectors.
    pub inner_padded: usize,
    /// Keys along the outer axis, rounded up to whole vectors.
    pub outer_padded: usize,
    /// Query columns: queries in a row of the image.
    pub width: usize,
}

impl Grid {
    #[inline(always)]
    pub fn of<V: Vector>(p: &Problem<V::Element>) -> Self {
        let padded = |axis: Axis| axis.keys.next_multiple_of(V::LANES);
        let [x, y] = p.axes;
        // The axis that fills its vectors better, x where both do alike.
        let (inner, outer) = if padded(x) * y.keys <= padded(y) * x.keys { (x, y) } else { (y, x) };
        Grid { inner, outer, inner_padded: padded(inner), outer_padded: padded(outer), width: x.queries }
    }

    /// Position of a query along an axis.
    #[inline(always)]
    pub fn position(&self, axis: &Axis, query: usize) -> usize {
        if axis.which == 0 { query % self.width } else { query / self.width }
    }

    /// How far apart neighbours along the inner axis are in the order of all queries.
    #[inline(always)]
    pub fn inner_query_stride(&self) -> usize {
        if self.inner.which == 0 { 1 } else { self.width }
    }

    /// Place of a query in the order of all queries.
    #[inline(always)]
    pub fn query(&self, outer: usize, inner: usize) -> usize {
        if self.inner.which == 0 { outer * self.width + inner } else { inner * self.width + outer }
    }

    /// Place of a key in the order of all keys.
    #[inline(always)]
    pub fn key(&self, outer: usize, inner: usize) -> usize {
        outer * self.outer.key_stride + inner * self.inner.key_stride
    }
}

/// One head's table of positions, in the orders that the kernels read.
pub(super) struct Table<T: Scalar> {
    axis: Axis,
    dim: usize,
    /// Channels, rounded up to whole vectors.
    pub dim_padded: usize,
    /// Rows that keys next to each other read, next to each other: (key_step, d, length).
    by_channel: Buffer<T>,
    length: usize,
    /// (rows, dim_padded)
    by_row: Buffer<T>,
}

impl<T: Scalar> Table<T> {
    /// The table of `axis` of head `m`.
    #[inline(always)]
    pub fn new<V: Vector<Element = T>>(p: &Problem<T>, axis: Axis, m: usize) -> Self {
        let (dim, stride) = (p.head_dim, p.heads * p.head_dim);
        let table = &p.tables[axis.which][m * dim..];
        let dim_padded = dim.next_multiple_of(V::LANES);
        let mut by_row = Buffer::zeros(axis.rows * dim_padded);
        for (row, into) in by_row.chunks_exact_mut(dim_padded).enumerate() {
            into[..dim].copy_from_slice(&table[row * stride..][..dim]);
        }
        // A window of whole vectors may begin at the last row.
        let length = axis.rows.div_ceil(axis.key_step) + axis.keys.next_multiple_of(V::LANES);
        let mut by_channel = Buffer::zeros(axis.key_step * dim * length);
        for (residue, into) in by_channel.chunks_exact_mut(dim * length).enumerate() {
            let rows = axis.rows.saturating_sub(residue).div_ceil(axis.key_step);
            if rows > 0 {
                // SAFETY: the rows `residue + i key_step` are rows of the table, `rows` of them, of
                // dim_padded elements each; `into` holds d rows of at least as many elements.
                unsafe {
                    let from = by_row.as_ptr().add(residue * dim_padded);
                    let from_stride = axis.key_step * dim_padded;
                    transpose::<V>([rows, dim], from, from_stride, into.as_mut_ptr(), length);
                }
            }
        }
        Table { axis, dim, dim_padded, by_channel, length, by_row }
    }

    /// `energies[q, k] = queries[q] . P[first_rows[q] + k key_step]`, for each query.
    ///
    /// `queries` (count, dim_padded), `energies` (count, keys rounded up to whole vectors).
    #[inline(always)]
    pub fn energies<V: Vector<Element = T>>(&self, first_rows: &[usize], queries: &[T], energies: &mut [T]) {
        let padded = self.axis.keys.next_multiple_of(V::LANES);
        let rows = first_rows.iter().zip(queries.chunks_exact(self.dim_padded));
        for ((&first, query), energies) in rows.zip(energies.chunks_exact_mut(padded)) {
            let (residue, start) = (first % self.axis.key_step, first / self.axis.key_step);
            let window = &self.by_channel[residue * self.dim * self.length + start..];
            let mut at = 0;
            while at < padded {
                let left = (padded - at) / V::LANES;
                let (query, window, energies) = (&query[..self.dim], &window[at..], &mut energies[at..]);
                // SAFETY: a window of `padded` elements fits each of the dim rows, see `length`.
                unsafe {
                    if left >= 4 {
                        read_window::<V, 4>(query, window, self.length, energies);
                        at += 4 * V::LANES;
                    } else if left >= 2 {
                        read_window::<V, 2>(query, window, self.length, energies);
                        at += 2 * V::LANES;
                    } else {
                        read_window::<V, 1>(query, window, self.length, energies);
                        at += V::LANES;
                    }
                }
            }
        }
    }

    /// The gradients of [`Table::energies`]: adds `sum_k d_energies[q, k] P[row]` to `d_queries[q]` and
    /// `d_energies[q, k] queries[q]` to the row of `d_table`.
    #[inline(always)]
    pub fn energies_backward<V: Vector<Element = T>>(
        &self,
        first_rows: &[usize],
        queries: &[T],
        d_energies: &[T],
        d_queries: &mut [T],
        d_table: &mut [T],
    ) {
        let (keys, step, dim) = (self.axis.keys, self.axis.key_step, self.dim_padded);
        let padded = keys.next_multiple_of(V::LANES);
        assert!(d_table.len() == self.by_row.len() && queries.len() >= first_rows.len() * dim);
        assert!(d_queries.len() >= first_rows.len() * dim && d_energies.len() >= first_rows.len() * padded);
        for (q, &first) in first_rows.iter().enumerate() {
            assert!((first + (keys - 1) * step + 1) * dim <= d_table.len());
            for c in (0..dim).step_by(V::LANES) {
                // SAFETY: rows `first`, `first + step` .. of `keys` keys are rows of the table, just
                // checked, and so are the rows of the other three matrices.
                unsafe {
                    let query = V::load(queries.as_ptr().add(q * dim + c));
                    let d_query = d_queries.as_mut_ptr().add(q * dim + c);
                    let mut d_energy = d_energies.as_ptr().add(q * padded);
                    let mut row = self.by_row.as_ptr().add(first * dim + c);
                    let mut d_row = d_table.as_mut_ptr().add(first * dim + c);
                    let mut sums = [V::load(d_query), V::zero()];
                    for k in 0..keys {
                        let d = V::splat(*d_energy);
                        sums[k % 2] = d.mul_add(V::load(row), sums[k % 2]);
                        d.mul_add(query, V::load(d_row)).store(d_row);
                        d_energy = d_energy.wrapping_add(1);
                        row = row.wrapping_add(step * dim);
                        d_row = d_row.wrapping_add(step * dim);
                    }
                    (sums[0] + sums[1]).store(d_query);
                }
            }
        }
    }
}

/// `energies[..W vectors] = sum_c query[c] window[c length ..]`.
///
/// # Safety
/// `window` must hold `W` vectors at each multiple of `length` below `query.len() length`.
#[inline(always)]
unsafe fn read_window<V: Vector, const W: usize>(
    query: &[V::Element],
    window: &[V::Element],
    length: usize,
    energies: &mut [V::Element],
) {
    let mut sums = [V::zero(); W];
    let mut at = window.as_ptr();
    for &factor in query {
        let factor = V::splat(factor);
        for w in 0..W {
            // SAFETY: the caller vouches for the window.
            sums[w] = factor.mul_add(unsafe { V::load(at.add(w * V::LANES)) }, sums[w]);
        }
        at = at.wrapping_add(length);
    }
    for (sum, energies) in sums.iter().zip(energies.chunks_exact_mut(V::LANES)) {
        sum.write_to(energies);
    }
}

/// Which row of an axis' table each query of a block reads first; queries beyond `count` read the table
/// from its start.
#[inline(always)]
pub(super) fn first_rows(grid: &Grid, axis: &Axis, start: usize, count: usize) -> [usize; BLOCK] {
    let mut rows = [0; BLOCK];
    for (i, row) in rows[..count].iter_mut().enumerate() {
        *row = axis.first_row(grid.position(axis, start + i));
    }
    rows
}
