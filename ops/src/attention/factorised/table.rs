//! One head's table of positions along one axis: the energies read from it, and their gradients.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Vector, transpose};

use super::Problem;
use super::axis::Axis;
use super::tile::{Strided, max_rows, tile, tile_count, tile_rows, with_rows};

/// Queries whose gradients are computed at once, at most.
const GROUP: usize = 8;
/// How far apart, in keys, the first keys of such queries may be.
pub(super) const MARGIN: usize = 8;
/// Elements before the first row of a matrix of gradients of energies; they are zeros.
pub(super) const LEAD: usize = 16;

/// A table in the orders that the kernels read.
pub(super) struct Table<'a, T> {
    axis: Axis,
    dim: usize,
    /// Channels, rounded up to whole vectors.
    pub dim_padded: usize,
    /// Rows that keys next to each other read, next to each other: (key_step, d, length).
    by_channel: &'a [T],
    length: usize,
    /// (rows, dim_padded)
    by_row: &'a [T],
}

impl<'a, T: Scalar> Table<'a, T> {
    /// Elements of the memory that [`Table::new`] takes for the rows and for the channels.
    #[inline(always)]
    pub fn sizes<V: Vector<Element = T>>(p: &Problem<T>, axis: &Axis) -> [usize; 2] {
        let rows = axis.rows * p.head_dim.next_multiple_of(V::LANES);
        [rows, axis.key_step * p.head_dim * Self::length::<V>(axis)]
    }

    /// Rows of one residue, and whole vectors of keys after the last of them: a window may begin there.
    #[inline(always)]
    fn length<V: Vector>(axis: &Axis) -> usize {
        axis.rows.div_ceil(axis.key_step) + axis.keys.next_multiple_of(V::LANES)
    }

    /// The table of `axis` of head `m`.
    #[inline(always)]
    pub fn new<V: Vector<Element = T>>(
        p: &Problem<T>,
        axis: Axis,
        m: usize,
        [by_row, by_channel]: [&'a mut [T]; 2],
    ) -> Self {
        let (dim, stride) = (p.head_dim, p.heads * p.head_dim);
        let (dim_padded, length) = (dim.next_multiple_of(V::LANES), Self::length::<V>(&axis));
        let table = &p.tables[axis.which][m * dim..];
        for (row, into) in by_row.chunks_exact_mut(dim_padded).enumerate() {
            into[..dim].copy_from_slice(&table[row * stride..][..dim]);
            into[dim..].fill(T::zero());
        }
        by_channel.fill(T::zero());
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

    /// `energies[q, k] = queries[q] . P[row(q, k)]` for queries at the given positions.
    ///
    /// `queries` (positions, dim_padded), `energies` (positions, keys rounded up to whole vectors).
    #[inline(always)]
    pub fn energies<V: Vector<Element = T>>(&self, positions: &[usize], queries: &[T], energies: &mut [T]) {
        let padded = self.axis.keys.next_multiple_of(V::LANES);
        assert!(queries.len() >= positions.len() * self.dim_padded);
        assert!(energies.len() >= positions.len() * padded);
        let mut q = 0;
        while q < positions.len() {
            // SAFETY: the queries from q were just checked to be there.
            unsafe {
                let (query, into) =
                    (queries.as_ptr().add(q * self.dim_padded), energies.as_mut_ptr().add(q * padded));
                if q + 4 <= positions.len() {
                    self.read_windows::<V, 4>(&positions[q..], query, into);
                    q += 4;
                } else {
                    self.read_windows::<V, 1>(&positions[q..], query, into);
                    q += 1;
                }
            }
        }
    }

    /// [`Table::energies`] of `R` queries.
    ///
    /// # Safety
    /// `query` and `energies` must hold `R` rows.
    #[inline(always)]
    unsafe fn read_windows<V: Vector<Element = T>, const R: usize>(
        &self,
        positions: &[usize],
        query: *const T,
        energies: *mut T,
    ) {
        let padded = self.axis.keys.next_multiple_of(V::LANES);
        let mut windows = [self.by_channel.as_ptr(); R];
        for r in 0..R {
            let first = self.axis.first_row(positions[r]);
            let (residue, start) = match self.axis.key_step {
                1 => (0, first),
                step => (first % step, first / step),
            };
            let at = residue * self.dim * self.length + start;
            assert!(at + (self.dim - 1) * self.length + padded <= self.by_channel.len());
            // SAFETY: just checked.
            windows[r] = unsafe { windows[r].add(at) };
        }
        let mut at = 0;
        while at < padded {
            // SAFETY: a window of `padded` elements was checked to fit each of the dim channels; the caller
            // vouches for the rest.
            unsafe {
                if at + V::LANES < padded {
                    self.read_part::<V, R, 2>(
                        windows.map(|window| window.add(at)),
                        query,
                        energies.add(at),
                        padded,
                    );
                } else {
                    self.read_part::<V, R, 1>(
                        windows.map(|window| window.add(at)),
                        query,
                        energies.add(at),
                        padded,
                    );
                }
            }
            at += 2 * V::LANES;
        }
    }

    /// `W` vectors of the energies of `R` queries.
    ///
    /// # Safety
    /// The windows must go on for `W` vectors in each channel; `query` must hold `R` rows and `energies` `W` vectors
    /// in each of `R` rows.
    #[inline(always)]
    unsafe fn read_part<V: Vector<Element = T>, const R: usize, const W: usize>(
        &self,
        windows: [*const T; R],
        query: *const T,
        energies: *mut T,
        padded: usize,
    ) {
        let mut sums = [[V::zero(); W]; R];
        for c in 0..self.dim {
            for r in 0..R {
                // SAFETY: the caller vouches for it.
                unsafe {
                    let factor = V::splat(*query.add(r * self.dim_padded + c));
                    for w in 0..W {
                        let window = V::load(windows[r].add(c * self.length + w * V::LANES));
                        sums[r][w] = factor.mul_add(window, sums[r][w]);
                    }
                }
            }
        }
        for r in 0..R {
            for w in 0..W {
                // SAFETY: the caller vouches for it.
                unsafe { sums[r][w].store(energies.add(r * padded + w * V::LANES)) }
            }
        }
    }

    /// How far apart the rows of a matrix of gradients of energies are: between the keys of two queries lie
    /// at least [`MARGIN`] zeros.
    #[inline(always)]
    pub fn gradient_stride<V: Vector>(axis: &Axis) -> usize {
        (axis.keys + MARGIN).next_multiple_of(V::LANES)
    }

    /// The gradients of [`Table::energies`]: adds `sum_k d_energies[q, k] P[row]` to `d_queries[q]` and
    /// `d_energies[q, k] queries[q]` to the row of `d_table`.
    ///
    /// `d_energies` is [`LEAD`] zeros and the gradients (positions, gradient_stride), zero beyond the keys.
    #[inline(always)]
    pub fn energies_backward<V: Vector<Element = T>>(
        &self,
        positions: &[usize],
        queries: &[T],
        d_energies: &[T],
        d_queries: &mut [T],
        d_table: &mut [T],
    ) {
        let (dim, stride) = (self.dim_padded, Self::gradient_stride::<V>(&self.axis));
        assert!(d_table.len() == self.by_row.len() && queries.len() >= positions.len() * dim);
        assert!(
            d_queries.len() >= positions.len() * dim && d_energies.len() >= LEAD + positions.len() * stride
        );
        let mut q = 0;
        while q < positions.len() {
            let (count, skew) = self.group(&positions[q..], max_rows::<V>());
            // The group's queries read a strip of rows: those of the last one, and a few more.
            let first = self.axis.first_row(positions[q + count - 1]);
            let length = self.axis.keys + (count - 1) * skew;
            let step = self.axis.key_step * dim;
            assert!(first * dim + (length - 1) * step + dim <= d_table.len() && (count - 1) * skew <= MARGIN);
            for c in (0..dim).step_by(V::LANES) {
                // SAFETY: the rows of the strip and those of the queries were just checked. Row r of the strip is
                // key `r - (count - 1 - j) skew` of query j: where that is no key it is a zero, of which there are
                // LEAD >= MARGIN before the first row and MARGIN after each.
                unsafe {
                    let strip = Strided {
                        at: d_energies.as_ptr().add(LEAD + q * stride - (count - 1) * skew),
                        row: stride + skew,
                        column: 1,
                    };
                    let across = Strided { row: strip.column, column: strip.row, ..strip };
                    let query = queries.as_ptr().add(q * dim + c);
                    let into = d_table.as_mut_ptr().add(first * dim + c);
                    for t in 0..tile_count::<V>(length) {
                        let (r, rows) = tile_rows::<V>(t, length);
                        let across = Strided { at: across.at.add(r), ..across };
                        with_rows!(V, rows, R => add_rows::<V, R>(count, across, (query, dim), (into.add(r * step), step)));
                    }
                    let row = self.by_row.as_ptr().add(first * dim + c);
                    let into = d_queries.as_mut_ptr().add(q * dim + c);
                    with_rows!(V, count, R => add_rows::<V, R>(length, strip, (row, step), (into, dim)));
                }
            }
            q += count;
        }
    }

    /// How many queries from the first on are evenly spaced, `GROUP` and `most` at most, and by how many keys.
    #[inline(always)]
    fn group(&self, positions: &[usize], most: usize) -> (usize, usize) {
        let step = self.axis.query_step;
        let Some(apart) = positions.get(1).and_then(|next| next.checked_sub(positions[0])) else {
            return (1, 0);
        };
        let skew = apart * step / self.axis.key_step;
        if skew > MARGIN || !(apart * step).is_multiple_of(self.axis.key_step) {
            return (1, 0);
        }
        let most = most.min(GROUP).min(positions.len()).min(1 + MARGIN.checked_div(skew).unwrap_or(GROUP));
        let mut count = 1;
        while count < most && positions[count] == positions[0] + count * apart {
            count += 1;
        }
        (count, skew)
    }
}

/// Adds the product of `k` columns of `a` and `k` rows of `b` to `R` rows of one vector.
///
/// # Safety
/// As for [`tile`]; `into` must have room for the tile.
#[inline(always)]
unsafe fn add_rows<V: Vector, const R: usize>(
    k: usize,
    a: Strided<V::Element>,
    (b, b_row): (*const V::Element, usize),
    (into, into_row): (*mut V::Element, usize),
) {
    // SAFETY: the caller vouches for it.
    unsafe {
        let sums = tile::<V, R, 1>(k, a, b, b_row);
        for r in 0..R {
            let into = into.add(r * into_row);
            (V::load(into) + sums[r][0]).store(into);
        }
    }
}
