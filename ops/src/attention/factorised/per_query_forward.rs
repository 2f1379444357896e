//! Types with E2, forward: every query has factors of its own, and its output is one matrix product.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Kernel, Vector, transpose};

use super::axis::Grid;
use super::block::{Factors, load_queries};
use super::direct::Direct;
use super::keys::{Keys, values_by_key};
use super::table::Table;
use super::tile::{Strided, tile, tile_count, tile_rows, with_rows};
use super::{BLOCK, Problem, Shared, carve, carved};

/// Forward of some queries of one head of one sample.
pub(super) struct Forward<'a, T> {
    pub p: &'a Problem<'a, T>,
    /// Sample and head.
    pub at: (usize, usize),
    /// First query and number of queries.
    pub queries: (usize, usize),
    /// (N, Q, M d_v)
    pub output: Shared<T>,
    /// (N, M, Q)
    pub statistics: Shared<T>,
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (p, (n, m)) = (self.p, self.at);
        let (dim, columns) = (p.value_dim, p.columns());
        let grid = Grid::of::<V>(p);
        let [sizes_inner, sizes_outer] = [grid.inner, grid.outer].map(|axis| Table::sizes::<V>(p, &axis));
        let dim_padded = p.head_dim.next_multiple_of(V::LANES);
        let lens = [
            sizes_inner[0],
            sizes_inner[1],
            sizes_outer[0],
            sizes_outer[1],
            BLOCK * dim_padded,
            BLOCK * grid.inner_padded.max(grid.outer_padded),
            grid.inner.keys * BLOCK,
            grid.outer.keys * BLOCK,
            columns * BLOCK,
        ];
        let mut memory = Buffer::arbitrary(carved(lens));
        let [rows_i, channels_i, rows_o, channels_o, queries, energies, px, py, sums] =
            carve(&mut memory, lens);
        let inner_table = Table::new::<V>(p, grid.inner, m, [rows_i, channels_i]);
        let outer_table = Table::new::<V>(p, grid.outer, m, [rows_o, channels_o]);
        let (mut inner, mut outer) = (Factors::new(px), Factors::new(py));
        let keys = Keys::new::<V>(p, &grid, n, m);
        let values = values_by_key::<V>(p, &grid, keys.as_ref(), n, m);
        let mut direct = None;

        let (first, total) = self.queries;
        for start in (first..first + total).step_by(BLOCK) {
            let count = BLOCK.min(first + total - start);
            // (1) px, py
            load_queries::<V>(p, (n, m), (start, count), queries);
            let positions = grid.positions(start, count);
            inner.fill::<V>(&grid.inner, &inner_table, &positions[0], queries, energies);
            outer.fill::<V>(&grid.outer, &outer_table, &positions[1], queries, energies);
            // (2) [o Z | Z] = sum_ky py sum_kx px V'
            sums.fill(T::zero());
            for q in (0..count).step_by(2 * V::LANES) {
                // SAFETY: the factors hold BLOCK queries, a multiple of two vectors, of which those from q
                // are used, for every key of their axis; V' is (outer, inner, columns).
                unsafe {
                    let (px, py) = (inner.weights.as_ptr().add(q), outer.weights.as_ptr().add(q));
                    let into = sums.as_mut_ptr().add(q);
                    if count - q > V::LANES {
                        weighted_sums::<V, 2>(&grid, columns, &values, px, py, into);
                    } else {
                        weighted_sums::<V, 1>(&grid, columns, &values, px, py, into);
                    }
                }
            }
            // (3) o = sums / Z
            let mut normalisers = [T::zero(); BLOCK];
            for q in (0..BLOCK).step_by(V::LANES) {
                let z = if keys.is_some() {
                    V::from_slice(&sums[dim * BLOCK + q..])
                } else {
                    V::from_slice(&inner.sums[q..]) * V::from_slice(&outer.sums[q..])
                };
                z.write_to(&mut normalisers[q..]);
                let factor = V::splat(T::one()) / z;
                for row in sums[..dim * BLOCK].chunks_exact_mut(BLOCK) {
                    (factor * V::from_slice(&row[q..])).write_to(&mut row[q..]);
                }
            }
            let stride = p.heads * dim;
            // SAFETY: the rows and columns of these queries and this head, which no other task writes.
            unsafe {
                let output = self.output.at((n * p.queries() + start) * stride + m * dim);
                transpose::<V>([dim, count], sums.as_ptr(), BLOCK, output, stride);
            }
            // SAFETY: as above.
            let statistics = unsafe { self.statistics.slice((n * p.heads + m) * p.queries() + start, count) };
            let largest = keys.as_ref().map_or(T::zero(), |keys| keys.largest);
            for (q, statistic) in statistics.iter_mut().enumerate() {
                *statistic = inner.largest[q] + outer.largest[q] + largest + normalisers[q].ln();
            }
            // (4) where Z is not to be trusted, the definition
            let Some(keys) = &keys else { continue };
            for q in 0..count {
                if normalisers[q] > Problem::<T>::smallest_normaliser() {
                    continue;
                }
                let direct = direct.get_or_insert_with(|| Direct::new(p, (n, m), &keys.energies));
                let at = grid.place(start + q);
                let query = &queries[q * dim_padded..][..p.head_dim];
                // SAFETY: as above.
                let output =
                    unsafe { self.output.slice(((n * p.queries() + start + q) * p.heads + m) * dim, dim) };
                statistics[q] = direct.forward::<V>(at, query, output);
            }
        }
    }
}

/// `into[c, q] += sum_ky py[ky, q] sum_kx px[kx, q] values[ky, kx, c]` for `W` vectors of queries.
///
/// # Safety
/// `px`, `py` and `into` must hold `W` vectors in each of their rows, which are BLOCK elements apart, for
/// all keys of the inner axis, of the outer axis, and all columns.
#[inline(always)]
unsafe fn weighted_sums<V: Vector, const W: usize>(
    grid: &Grid,
    columns: usize,
    values: &[V::Element],
    px: *const V::Element,
    py: *const V::Element,
    into: *mut V::Element,
) {
    let keys = grid.inner.keys;
    for t in 0..tile_count::<V>(columns) {
        let (c, rows) = tile_rows::<V>(t, columns);
        with_rows!(V, rows, R => {
            for (o, values) in values.chunks_exact(keys * columns).enumerate() {
                // SAFETY: the caller vouches for the factors; the values of one outer key are
                // (keys, columns).
                unsafe {
                    let a = Strided { at: values.as_ptr().add(c), row: 1, column: columns };
                    let sums = tile::<V, R, W>(keys, a, px, BLOCK);
                    for w in 0..W {
                        let py = V::load(py.add(o * BLOCK + w * V::LANES));
                        for r in 0..R {
                            let into = into.add((c + r) * BLOCK + w * V::LANES);
                            py.mul_add(sums[r][w], V::load(into)).store(into);
                        }
                    }
                }
            }
        });
    }
}
