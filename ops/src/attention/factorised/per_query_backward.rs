//! Types with E2, backward: the factors are computed again, block by block.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Kernel, Vector, math, transpose};

use super::axis::Grid;
use super::block::{Factors, load_queries, load_transposed};
use super::direct::{Direct, Saved};
use super::gradients::Partial;
use super::keys::{Keys, values_by_column};
use super::table::{LEAD, Table};
use super::tile::{Strided, tile, tile_count, tile_rows, with_rows};
use super::{BLOCK, Problem, Shared, carve, carved};

/// Backward of some queries of one head of one sample.
pub(super) struct Backward<'a, T> {
    pub p: &'a Problem<'a, T>,
    /// Sample and head.
    pub at: (usize, usize),
    /// First query and number of queries.
    pub queries: (usize, usize),
    /// (N, Q, M d_v)
    pub output: &'a [T],
    /// (N, M, Q)
    pub statistics: &'a [T],
    /// (N, Q, M d_v)
    pub grad_output: &'a [T],
    /// Whether what the factors depend on needs gradients: query, tables, v.
    pub need_factors: bool,
    /// Whether values or key energies do.
    pub need_keys: bool,
    /// Gradient of the query. (N, Q, M d)
    pub grad_query: Option<Shared<T>>,
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = Partial<T>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Partial<T> {
        let (p, (n, m)) = (self.p, self.at);
        let (dim, columns) = (p.value_dim, p.columns());
        let grid = Grid::of::<V>(p);
        let [sizes_inner, sizes_outer] = [grid.inner, grid.outer].map(|axis| Table::sizes::<V>(p, &axis));
        let [stride_inner, stride_outer] =
            [grid.inner, grid.outer].map(|axis| Table::<T>::gradient_stride::<V>(&axis));
        let dim_padded = p.head_dim.next_multiple_of(V::LANES);
        let lens = [
            sizes_inner[0],
            sizes_inner[1],
            sizes_outer[0],
            sizes_outer[1],
            BLOCK * dim_padded,
            BLOCK * dim_padded,
            BLOCK * grid.inner_padded.max(grid.outer_padded),
            grid.inner.keys * BLOCK,
            grid.outer.keys * BLOCK,
            grid.inner.keys * BLOCK,
            grid.outer.keys * BLOCK,
            LEAD + BLOCK * stride_inner,
            LEAD + BLOCK * stride_outer,
            columns * BLOCK,
            columns * BLOCK,
        ];
        let mut memory = Buffer::arbitrary(carved(lens));
        let [rows_i, channels_i, rows_o, channels_o, queries, d_queries, by_query, rest @ ..] =
            carve(&mut memory, lens);
        let [px, py, d_inner, d_outer, inner_by_query, outer_by_query, grads, outputs] = rest;
        let inner_table = Table::new::<V>(p, grid.inner, m, [rows_i, channels_i]);
        let outer_table = Table::new::<V>(p, grid.outer, m, [rows_o, channels_o]);
        let (mut inner, mut outer) = (Factors::new(px), Factors::new(py));
        let keys = Keys::new::<V>(p, &grid, n, m);
        let values = values_by_column::<V>(p, &grid, keys.as_ref(), n, m);
        let mut partial = Partial::new::<V>(p, &grid, self.need_factors, self.need_keys);
        let mut direct = None;
        inner_by_query.fill(T::zero());
        outer_by_query.fill(T::zero());

        let (first, total) = self.queries;
        for start in (first..first + total).step_by(BLOCK) {
            let count = BLOCK.min(first + total - start);
            // (1) px, py
            load_queries::<V>(p, (n, m), (start, count), queries);
            let positions = grid.positions(start, count);
            outer.fill::<V>(&grid.outer, &outer_table, &positions[1], queries, by_query);
            inner.fill::<V>(&grid.inner, &inner_table, &positions[0], queries, by_query);

            // (3) o = sums / Z  =>  g' = [g / Z | -(g . o) / Z], and nothing where (4) gave the output
            let stride = p.heads * dim;
            let row = (n * p.queries() + start) * stride + m * dim;
            load_transposed::<V>(self.grad_output, (row, stride), (count, dim), grads);
            load_transposed::<V>(self.output, (row, stride), (count, dim), outputs);
            let mut log_sums = [T::zero(); BLOCK];
            let statistics = &self.statistics[(n * p.heads + m) * p.queries() + start..][..count];
            log_sums[..count].copy_from_slice(statistics);
            let mut means = [T::zero(); BLOCK];
            let mut normalisers = [T::zero(); BLOCK];
            for q in (0..BLOCK).step_by(V::LANES) {
                let normaliser = match &keys {
                    Some(keys) => {
                        let largest = V::from_slice(&inner.largest[q..]) + V::from_slice(&outer.largest[q..]);
                        math::exp(V::from_slice(&log_sums[q..]) - (largest + V::splat(keys.largest)))
                    }
                    None => V::from_slice(&inner.sums[q..]) * V::from_slice(&outer.sums[q..]),
                };
                normaliser.write_to(&mut normalisers[q..]);
                let mut factor = V::splat(T::one()) / normaliser;
                if keys.is_some() {
                    let smallest = V::splat(Problem::<T>::smallest_normaliser());
                    factor = V::select(smallest.lt(normaliser), factor, V::zero());
                }
                let mut mean = V::zero();
                for (grad, output) in grads.chunks_exact_mut(BLOCK).zip(outputs.chunks_exact(BLOCK)).take(dim)
                {
                    let g = V::from_slice(&grad[q..]);
                    mean = g.mul_add(V::from_slice(&output[q..]), mean);
                    (factor * g).write_to(&mut grad[q..]);
                }
                mean.write_to(&mut means[q..]);
                if keys.is_some() {
                    (-(factor * mean)).write_to(&mut grads[dim * BLOCK + q..]);
                }
            }

            // (2) [o Z | Z] = sum_k px py V'  =>  dV' = sum_q px py g'
            if self.need_keys {
                // px with the keys along the lanes
                // SAFETY: the matrices hold BLOCK queries of all keys of the inner axis.
                unsafe {
                    let (from, into) = (inner.weights.as_ptr(), by_query.as_mut_ptr());
                    transpose::<V>([grid.inner.keys, BLOCK], from, BLOCK, into, grid.inner_padded);
                }
                // The outputs are not needed any more: room for py g'.
                let d_values = &mut partial.values;
                add_value_gradients::<V>(&grid, columns, [by_query, outer.weights], grads, outputs, d_values);
            }
            if self.need_factors {
                //                                   =>  P = g' . V',  dex = px sum_ky py P,  dey = py sum_kx px P
                d_inner.fill(T::zero());
                for q in (0..count).step_by(2 * V::LANES) {
                    // SAFETY: all these matrices hold BLOCK queries, a multiple of two vectors, for every
                    // key of their axis or every column.
                    unsafe {
                        let px = [inner.weights.as_ptr().add(q), outer.weights.as_ptr().add(q)];
                        let d = [d_inner.as_mut_ptr().add(q), d_outer.as_mut_ptr().add(q)];
                        let g = grads.as_ptr().add(q);
                        if count - q > V::LANES {
                            factor_gradients::<V, 2>(&grid, columns, &values, px, g, d);
                        } else {
                            factor_gradients::<V, 1>(&grid, columns, &values, px, g, d);
                        }
                    }
                }
                let plain = keys.is_none();
                energy_gradients::<V>(&inner, plain.then_some(&means), d_inner);
                energy_gradients::<V>(&outer, plain.then_some(&means), d_outer);
                for (keys, stride, d, by_query) in [
                    (grid.inner.keys, stride_inner, &*d_inner, &mut *inner_by_query),
                    (grid.outer.keys, stride_outer, &*d_outer, &mut *outer_by_query),
                ] {
                    // SAFETY: the matrices hold BLOCK queries of all keys of their axis.
                    unsafe {
                        transpose::<V>(
                            [keys, BLOCK],
                            d.as_ptr(),
                            BLOCK,
                            by_query[LEAD..].as_mut_ptr(),
                            stride,
                        );
                    }
                }
            }
            // (4) where Z is not to be trusted, the definition
            if let Some(keys) = &keys {
                for q in 0..count {
                    if normalisers[q] > Problem::<T>::smallest_normaliser() {
                        continue;
                    }
                    let direct = direct.get_or_insert_with(|| Direct::new(p, (n, m), &keys.energies));
                    let at = grid.place(start + q);
                    let row = ((n * p.queries() + start + q) * p.heads + m) * dim;
                    let (inner, outer) = (
                        &mut inner_by_query[LEAD + q * stride_inner..][..grid.inner.keys],
                        &mut outer_by_query[LEAD + q * stride_outer..][..grid.outer.keys],
                    );
                    direct.backward::<V>(
                        at,
                        &queries[q * dim_padded..][..p.head_dim],
                        Saved {
                            log_sum: log_sums[q],
                            output: &self.output[row..row + dim],
                            grad: &self.grad_output[row..row + dim],
                        },
                        if grid.inner.which == 0 { [inner, outer] } else { [outer, inner] },
                        partial.direct(p),
                    );
                }
            }
            // (1) ex, ey = c (b2 Q + b4 v) . P
            if self.need_factors {
                d_queries.fill(T::zero());
                let [d_inner, d_outer] = partial.tables();
                let [inner, outer] = &positions;
                let (d_i, d_o) = (&*inner_by_query, &*outer_by_query);
                inner_table.energies_backward::<V>(&inner[..count], queries, d_i, d_queries, d_inner);
                outer_table.energies_backward::<V>(&outer[..count], queries, d_o, d_queries, d_outer);
                for (q, d_query) in d_queries.chunks_exact_mut(dim_padded).take(count).enumerate() {
                    for (d, sum) in
                        d_query.chunks_exact_mut(V::LANES).zip(partial.query.chunks_exact_mut(V::LANES))
                    {
                        let scaled = V::splat(p.scale) * V::from_slice(d);
                        scaled.write_to(d);
                        (V::from_slice(sum) + scaled).write_to(sum);
                    }
                    if let Some(grad_query) = self.grad_query {
                        // SAFETY: the row of this query and this head, which no other task writes.
                        let into = unsafe {
                            grad_query
                                .slice(((n * p.queries() + start + q) * p.heads + m) * p.head_dim, p.head_dim)
                        };
                        into.copy_from_slice(&d_query[..p.head_dim]);
                    }
                }
            }
        }
        partial.keep(keys, values);
        partial
    }
}

/// `d_values[ky, c, kx] += sum_q px[q, kx] py[ky, q] grads[c, q]`. `scaled` is scratch: (columns, BLOCK).
#[inline(always)]
fn add_value_gradients<V: Vector>(
    grid: &Grid,
    columns: usize,
    [px, py]: [&[V::Element]; 2],
    grads: &[V::Element],
    scaled: &mut [V::Element],
    d_values: &mut [V::Element],
) {
    let padded = grid.inner_padded;
    assert!(px.len() >= BLOCK * padded && scaled.len() >= columns * BLOCK);
    for (d_values, py) in d_values.chunks_exact_mut(columns * padded).zip(py.chunks_exact(BLOCK)) {
        for (scaled, grads) in scaled.chunks_exact_mut(BLOCK).zip(grads.chunks_exact(BLOCK)) {
            for q in (0..BLOCK).step_by(V::LANES) {
                (V::from_slice(&py[q..]) * V::from_slice(&grads[q..])).write_to(&mut scaled[q..]);
            }
        }
        for t in 0..tile_count::<V>(columns) {
            let (c, rows) = tile_rows::<V>(t, columns);
            with_rows!(V, rows, R => {
                let mut k = 0;
                while k < padded {
                    // SAFETY: the operands were checked to hold BLOCK queries of all keys and columns;
                    // `d_values` is (columns, padded), and k and the vectors after it lie in a row of it.
                    unsafe {
                        let a = Strided { at: scaled.as_ptr().add(c * BLOCK), row: BLOCK, column: 1 };
                        let (px, into) = (px.as_ptr().add(k), d_values.as_mut_ptr().add(c * padded + k));
                        if k + V::LANES < padded {
                            add_tile::<V, R, 2>(a, px, into, padded);
                        } else {
                            add_tile::<V, R, 1>(a, px, into, padded);
                        }
                    }
                    k += 2 * V::LANES;
                }
            });
        }
    }
}

/// Adds the product of BLOCK columns of `a` and BLOCK rows of `b` to a tile of `into`.
///
/// # Safety
/// As for [`tile`]; `into` must have room for the tile, its rows `stride` elements apart.
#[inline(always)]
unsafe fn add_tile<V: Vector, const R: usize, const W: usize>(
    a: Strided<V::Element>,
    b: *const V::Element,
    into: *mut V::Element,
    stride: usize,
) {
    // SAFETY: the caller vouches for it.
    unsafe {
        let sums = tile::<V, R, W>(BLOCK, a, b, stride);
        for r in 0..R {
            for w in 0..W {
                let into = into.add(r * stride + w * V::LANES);
                (V::load(into) + sums[r][w]).store(into);
            }
        }
    }
}

/// With `P[k, q] = sum_c values[ky, c, kx] grads[c, q]`: adds `sum_ky py P` to `d_inner[kx, q]` and puts
/// `sum_kx px P` into `d_outer[ky, q]`, for `W` vectors of queries.
///
/// # Safety
/// The factors, `grads` and the results must hold `W` vectors in each of their rows, which are BLOCK
/// elements apart.
#[inline(always)]
unsafe fn factor_gradients<V: Vector, const W: usize>(
    grid: &Grid,
    columns: usize,
    values: &[V::Element],
    [px, py]: [*const V::Element; 2],
    grads: *const V::Element,
    [d_inner, d_outer]: [*mut V::Element; 2],
) {
    let (keys, padded) = (grid.inner.keys, grid.inner_padded);
    for (o, values) in values.chunks_exact(columns * padded).enumerate() {
        let mut outer_sums = [V::zero(); W];
        let mut outer_weights = [V::zero(); W];
        for w in 0..W {
            // SAFETY: the caller vouches for the factors.
            outer_weights[w] = unsafe { V::load(py.add(o * BLOCK + w * V::LANES)) };
        }
        for t in 0..tile_count::<V>(keys) {
            let (k, rows) = tile_rows::<V>(t, keys);
            with_rows!(V, rows, R => {
                // SAFETY: the values of one outer key are (columns, padded); the caller vouches for
                // the rest.
                unsafe {
                    let a = Strided { at: values.as_ptr().add(k), row: 1, column: padded };
                    let products = tile::<V, R, W>(columns, a, grads, BLOCK);
                    for r in 0..R {
                        for w in 0..W {
                            let at = (k + r) * BLOCK + w * V::LANES;
                            outer_sums[w] = products[r][w].mul_add(V::load(px.add(at)), outer_sums[w]);
                            let d = V::load(d_inner.add(at));
                            products[r][w].mul_add(outer_weights[w], d).store(d_inner.add(at));
                        }
                    }
                }
            });
        }
        for w in 0..W {
            // SAFETY: the caller vouches for the results.
            unsafe { outer_sums[w].store(d_outer.add(o * BLOCK + w * V::LANES)) }
        }
    }
}

/// `d = p d`, or `p (d - mean / sum p)` where the products did not bring the mean along.
#[inline(always)]
fn energy_gradients<V: Vector>(
    factors: &Factors<V::Element>,
    means: Option<&[V::Element; BLOCK]>,
    d: &mut [V::Element],
) {
    for q in (0..BLOCK).step_by(V::LANES) {
        let mean = match means {
            Some(means) => V::from_slice(&means[q..]) / V::from_slice(&factors.sums[q..]),
            None => V::zero(),
        };
        for (d, weights) in d.chunks_exact_mut(BLOCK).zip(factors.weights.chunks_exact(BLOCK)) {
            let gradient = V::from_slice(&weights[q..]) * (V::from_slice(&d[q..]) - mean);
            gradient.write_to(&mut d[q..]);
        }
    }
}
