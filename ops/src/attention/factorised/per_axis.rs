//! Types with E4 but not E2: the factors depend on a query's column or row alone, so that the two sums
//! are two matrix products for all queries of a head at once, in `N (W + H) C`.
//!
//! ```text
//! T[ky, c, qx] = sum_kx V'[ky, c, kx] px[qx, kx]        o[qy, c, qx] = sum_ky py[qy, ky] T[ky, c, qx]
//! ```

use ndarray::{ArrayView2, s};
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector, transpose};

use super::axis::{Axis, Grid};
use super::direct::{Direct, Saved};
use super::gradients::{Partial, gather};
use super::keys::{Keys, values_by_column};
use super::table::{LEAD, Table};
use super::{Gradients, Needs, Problem, Shared, carve, carved};
use crate::attention::key_rows::{self, exp_minus, sum};
use crate::gemm::{gemm, matrix, matrix_mut};
use crate::par;

/// Output (N, Q, M d_v) and log-sum-exp of the energies (N, M, Q).
pub(super) fn forward<T: Scalar>(isa: Isa, p: &Problem<T>) -> (Buffer<T>, Buffer<T>) {
    let mut output = Buffer::arbitrary(p.batch * p.queries() * p.heads * p.value_dim);
    let mut statistics = Buffer::arbitrary(p.batch * p.heads * p.queries());
    let (output_of, statistics_of) = (Shared::of(&mut output), Shared::of(&mut statistics));
    par::map(p.batch * p.heads, work(p), |head| {
        let at = (head / p.heads, head % p.heads);
        simd::run_on(isa, Forward { p, at, output: output_of, statistics: statistics_of });
    });
    (output, statistics)
}

/// The gradients of what `needs` them.
pub(super) fn backward<T: Scalar>(
    isa: Isa,
    p: &Problem<T>,
    output: &[T],
    statistics: &[T],
    grad_output: &[T],
    needs: &Needs,
) -> Gradients<T> {
    let mut grads = Gradients::new(p, needs);
    let partials = par::map(p.batch * p.heads, 3 * work(p), |head| {
        let at = (head / p.heads, head % p.heads);
        simd::run_on(isa, Backward { p, at, output, statistics, grad_output, needs })
    });
    gather(isa, p, needs, partials, 1, &mut grads);
    grads
}

/// Multiply-adds of the two products of one head.
fn work<T: Scalar>(p: &Problem<T>) -> usize {
    let [x, y] = p.axes;
    p.columns() * x.queries * y.keys * (x.keys + y.queries)
}

/// The factors of one head along one axis.
struct AxisFactors<T: Scalar> {
    axis: Axis,
    /// `exp(e - max e)`, divided by its sum where keys have no weights. (queries, keys_padded)
    weights: Buffer<T>,
    keys_padded: usize,
    /// `max e`, or the log-sum-exp where the weights are divided by their sum. (queries)
    largest: Vec<T>,
    /// All positions along the axis.
    positions: Vec<usize>,
    /// The scaled v, once for each position. (queries, dim_padded)
    queries: Buffer<T>,
}

impl<T: Scalar> AxisFactors<T> {
    #[inline(always)]
    fn new<V: Vector<Element = T>>(p: &Problem<T>, axis: Axis, table: &Table<T>, m: usize) -> Self {
        let mut queries = Buffer::zeros(axis.queries * table.dim_padded);
        for query in queries.chunks_exact_mut(table.dim_padded) {
            let bias = p.position_bias.map_or(&[][..], |bias| &bias[m * p.head_dim..][..p.head_dim]);
            query.iter_mut().zip(bias).for_each(|(query, &v)| *query = p.scale * v);
        }
        let positions: Vec<usize> = (0..axis.queries).collect();
        let keys_padded = axis.keys.next_multiple_of(V::LANES);
        let mut weights = Buffer::arbitrary(axis.queries * keys_padded);
        table.energies::<V>(&positions, &queries, &mut weights);
        let mut largest = vec![T::zero(); axis.queries];
        for (row, largest) in weights.chunks_exact_mut(keys_padded).zip(&mut largest) {
            let row = &mut row[..axis.keys];
            *largest = key_rows::largest::<V>(row).unwrap_or(T::zero());
            exp_minus::<V>(row, *largest);
            if !p.weighted() {
                let sum = sum::<V>(row);
                row.iter_mut().for_each(|weight| *weight /= sum);
                *largest += sum.ln();
            }
        }
        AxisFactors { axis, weights, keys_padded, largest, positions, queries }
    }

    /// (queries, keys)
    fn view(&self) -> ArrayView2<'_, T> {
        matrix(&self.weights, self.axis.queries, self.keys_padded).slice_move(s![.., ..self.axis.keys])
    }
}

/// What forward and backward of one head both begin with.
struct Head<'a, T: Scalar> {
    grid: Grid,
    keys: Option<Keys<T>>,
    /// V'. (outer, columns, inner_padded)
    values: Buffer<T>,
    /// Along the inner and the outer axis.
    tables: [Table<'a, T>; 2],
    inner: AxisFactors<T>,
    outer: AxisFactors<T>,
}

/// Room for the tables of a head.
#[inline(always)]
fn table_sizes<V: Vector>(p: &Problem<V::Element>) -> [usize; 4] {
    let Grid { inner, outer, .. } = Grid::of::<V>(p);
    let [[rows_i, channels_i], [rows_o, channels_o]] = [inner, outer].map(|axis| Table::sizes::<V>(p, &axis));
    [rows_i, channels_i, rows_o, channels_o]
}

impl<'a, T: Scalar> Head<'a, T> {
    #[inline(always)]
    fn new<V: Vector<Element = T>>(p: &Problem<T>, (n, m): (usize, usize), memory: &'a mut [T]) -> Self {
        let grid = Grid::of::<V>(p);
        let keys = Keys::new::<V>(p, &grid, n, m);
        let values = values_by_column::<V>(p, &grid, keys.as_ref(), n, m);
        let [rows_i, channels_i, rows_o, channels_o] = carve(memory, table_sizes::<V>(p));
        let tables = [
            Table::new::<V>(p, grid.inner, m, [rows_i, channels_i]),
            Table::new::<V>(p, grid.outer, m, [rows_o, channels_o]),
        ];
        let inner = AxisFactors::new::<V>(p, grid.inner, &tables[0], m);
        let outer = AxisFactors::new::<V>(p, grid.outer, &tables[1], m);
        Head { grid, keys, values, tables, inner, outer }
    }

    /// V'. (outer columns, inner)
    fn values(&self, columns: usize) -> ArrayView2<'_, T> {
        matrix(&self.values, self.grid.outer.keys * columns, self.grid.inner_padded)
            .slice_move(s![.., ..self.grid.inner.keys])
    }

    /// `T[ky, c, qx]`: (outer columns, inner queries).
    fn inner_sums(&self, columns: usize) -> Buffer<T> {
        let (rows, queries) = (self.grid.outer.keys * columns, self.grid.inner.queries);
        let mut sums = Buffer::arbitrary(rows * queries);
        let into = &mut matrix_mut(&mut sums, rows, queries);
        gemm(T::one(), self.values(columns), self.inner.view().reversed_axes(), T::zero(), into);
        sums
    }

    /// The largest part of each energy that the factors leave out, along a row of inner positions.
    #[inline(always)]
    fn largest(&self, outer: usize) -> T {
        self.outer.largest[outer] + self.keys.as_ref().map_or(T::zero(), |keys| keys.largest)
    }

    /// Position (x, y) of a query.
    fn position(&self, outer: usize, inner: usize) -> [usize; 2] {
        if self.grid.inner.which == 0 { [inner, outer] } else { [outer, inner] }
    }
}

struct Forward<'a, T> {
    p: &'a Problem<'a, T>,
    /// Sample and head.
    at: (usize, usize),
    /// (N, Q, M d_v)
    output: Shared<T>,
    /// (N, M, Q)
    statistics: Shared<T>,
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (p, (n, m)) = (self.p, self.at);
        let (dim, columns, stride) = (p.value_dim, p.columns(), p.heads * p.value_dim);
        let mut memory = Buffer::arbitrary(carved(table_sizes::<V>(p)));
        let head = Head::new::<V>(p, self.at, &mut memory);
        let Grid { inner, outer, .. } = head.grid;
        // (1) T = V' px
        let sums = head.inner_sums(columns);
        // (2) [o Z | Z] = py T
        let width = columns * inner.queries;
        let mut outputs = Buffer::arbitrary(outer.queries * width);
        let into = &mut matrix_mut(&mut outputs, outer.queries, width);
        gemm(T::one(), head.outer.view(), matrix(&sums, outer.keys, width), T::zero(), into);
        // (3) o = sums / Z
        let mut direct = None;
        for (o, rows) in outputs.chunks_exact_mut(width).enumerate() {
            let (rows, normalisers) = rows.split_at_mut(dim * inner.queries);
            if head.keys.is_some() {
                for row in rows.chunks_exact_mut(inner.queries) {
                    for (value, z) in row.chunks_mut(V::LANES).zip(normalisers.chunks(V::LANES)) {
                        (V::from_slice(value) / V::from_slice(z)).write_to(value);
                    }
                }
            }
            let first = (n * p.queries() + head.grid.query(o, 0)) * stride + m * dim;
            let apart = head.grid.inner_query_stride() * stride;
            // SAFETY: the columns of this head in the rows of these queries, which no other task writes;
            // `rows` holds `dim` rows of `inner.queries` elements.
            unsafe {
                let shape = [dim, inner.queries];
                transpose::<V>(shape, rows.as_ptr(), inner.queries, self.output.at(first), apart);
            }
            for i in 0..inner.queries {
                let query = head.grid.query(o, i);
                // SAFETY: the statistics of this head of this sample, which no other task writes.
                let statistic = unsafe { self.statistics.at((n * p.heads + m) * p.queries() + query) };
                let mut log_sum = head.inner.largest[i] + head.largest(o);
                if let Some(keys) = &head.keys {
                    log_sum += normalisers[i].ln();
                    // (4) where Z is not to be trusted, the definition
                    if normalisers[i].is_nan() || normalisers[i] <= Problem::<T>::smallest_normaliser() {
                        let content = &head.inner.queries[..p.head_dim];
                        let at = (n * p.queries() + query) * stride + m * dim;
                        // SAFETY: as for the output above.
                        let output = unsafe { self.output.slice(at, dim) };
                        let direct = direct.get_or_insert_with(|| Direct::new(p, self.at, &keys.energies));
                        log_sum = direct.forward::<V>(head.position(o, i), content, output);
                    }
                }
                // SAFETY: as above.
                unsafe { *statistic = log_sum };
            }
        }
    }
}

struct Backward<'a, T> {
    p: &'a Problem<'a, T>,
    /// Sample and head.
    at: (usize, usize),
    /// (N, Q, M d_v)
    output: &'a [T],
    /// (N, M, Q)
    statistics: &'a [T],
    /// (N, Q, M d_v)
    grad_output: &'a [T],
    needs: &'a Needs,
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = Partial<T>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Partial<T> {
        let p = self.p;
        let columns = p.columns();
        let mut memory = Buffer::arbitrary(carved(table_sizes::<V>(p)));
        let mut head = Head::new::<V>(p, self.at, &mut memory);
        let (need_factors, need_keys) = (self.needs.factors(), self.needs.keys());
        let mut partial = Partial::new::<V>(p, &head.grid, need_factors, need_keys);
        let Grid { inner, outer, inner_padded, .. } = head.grid;
        let width = columns * inner.queries;
        // (3) o = sums / Z  =>  g' = [g / Z | -(g . o) / Z], and nothing where (4) gave the output
        let gradients =
            |axis: &Axis| Buffer::zeros(LEAD + axis.queries * Table::<T>::gradient_stride::<V>(axis));
        let (mut d_inner, mut d_outer) = (gradients(&inner), gradients(&outer));
        let grads = self.scaled_gradients::<V>(&head, &mut d_inner, &mut d_outer, &mut partial);
        let grads = matrix(&grads, outer.queries, width);
        // (2) [o Z | Z] = py T  =>  dT = py^T g'
        let mut d_sums = Buffer::arbitrary(outer.keys * width);
        let into = &mut matrix_mut(&mut d_sums, outer.keys, width);
        gemm(T::one(), head.outer.view().reversed_axes(), grads, T::zero(), into);
        let d_sums = matrix(&d_sums, outer.keys * columns, inner.queries);
        // (1) T = V' px^T  =>  dV' = dT px
        if need_keys {
            let into = matrix_mut(&mut partial.values, outer.keys * columns, inner_padded);
            let into = &mut into.slice_move(s![.., ..inner.keys]);
            gemm(T::one(), d_sums, head.inner.view(), T::zero(), into);
        }
        if need_factors {
            // (1)               =>  dpx = dT^T V'
            let mut dp_inner = Buffer::arbitrary(inner.queries * inner.keys);
            let into = &mut matrix_mut(&mut dp_inner, inner.queries, inner.keys);
            gemm(T::one(), d_sums.reversed_axes(), head.values(columns), T::zero(), into);
            // (2) [o Z | Z] = py T  =>  dpy = g' T^T
            let sums = head.inner_sums(columns);
            let mut dp_outer = Buffer::arbitrary(outer.queries * outer.keys);
            let into = &mut matrix_mut(&mut dp_outer, outer.queries, outer.keys);
            gemm(T::one(), grads, matrix(&sums, outer.keys, width).reversed_axes(), T::zero(), into);
            let mut d_bias = vec![T::zero(); partial.query.len()];
            let [table_inner, table_outer] = &head.tables;
            let [d_table_inner, d_table_outer] = partial.tables();
            for (factors, table, dp, d, d_table) in [
                (&head.inner, table_inner, &dp_inner, &mut d_inner, d_table_inner),
                (&head.outer, table_outer, &dp_outer, &mut d_outer, d_table_outer),
            ] {
                let stride = Table::<T>::gradient_stride::<V>(&factors.axis);
                add_energy_gradients(factors, dp, &mut d[LEAD..], stride, !p.weighted());
                let mut d_queries = Buffer::zeros(factors.queries.len());
                let AxisFactors { positions, queries, .. } = factors;
                table.energies_backward::<V>(positions, queries, d, &mut d_queries, d_table);
                for d_query in d_queries.chunks_exact(table.dim_padded) {
                    d_bias.iter_mut().zip(d_query).for_each(|(sum, &d)| *sum += p.scale * d);
                }
            }
            partial.query = d_bias;
        }
        partial.keep(head.keys.take(), std::mem::replace(&mut head.values, Buffer::zeros(0)));
        partial
    }
}

impl<T: Scalar> Backward<'_, T> {
    /// g' (outer queries, columns, inner queries). Queries that were computed directly have 0 there; they add to
    /// the gradients of the energies (LEAD zeros, then rows gradient_stride apart) and to those of the keys.
    #[inline(always)]
    fn scaled_gradients<V: Vector<Element = T>>(
        &self,
        head: &Head<T>,
        d_inner: &mut [T],
        d_outer: &mut [T],
        partial: &mut Partial<T>,
    ) -> Buffer<T> {
        let (p, (n, m)) = (self.p, self.at);
        let (dim, columns, stride) = (p.value_dim, p.columns(), p.heads * p.value_dim);
        let Grid { inner, outer, .. } = head.grid;
        let width = columns * inner.queries;
        let mut grads = Buffer::arbitrary(outer.queries * width);
        let mut outputs = Buffer::arbitrary(if head.keys.is_some() { dim * inner.queries } else { 0 });
        let mut direct = None;
        for (o, grads) in grads.chunks_exact_mut(width).enumerate() {
            let first = (n * p.queries() + head.grid.query(o, 0)) * stride + m * dim;
            let apart = head.grid.inner_query_stride() * stride;
            let (grad, output) = (&self.grad_output[first..], &self.output[first..]);
            let shape = [inner.queries, dim];
            assert!(grad.len().min(output.len()) >= (inner.queries - 1) * apart + dim);
            // SAFETY: the queries of this row were just checked to be there; `grads` and `outputs` hold
            // at least `dim` rows of `inner.queries` elements.
            unsafe { transpose::<V>(shape, grad.as_ptr(), apart, grads.as_mut_ptr(), inner.queries) }
            let Some(keys) = &head.keys else { continue };
            // SAFETY: as above.
            unsafe { transpose::<V>(shape, output.as_ptr(), apart, outputs.as_mut_ptr(), inner.queries) }
            let (grads, last) = grads.split_at_mut(dim * inner.queries);
            for i in 0..inner.queries {
                let query = head.grid.query(o, i);
                let log_sum = self.statistics[(n * p.heads + m) * p.queries() + query];
                let normaliser = (log_sum - (head.inner.largest[i] + head.largest(o))).exp();
                if normaliser > Problem::<T>::smallest_normaliser() {
                    last[i] = T::one() / normaliser;
                    continue;
                }
                // (4) where Z is not to be trusted, the definition
                last[i] = T::zero();
                let at = (n * p.queries() + query) * stride + m * dim;
                let (output, grad) = (&self.output[at..at + dim], &self.grad_output[at..at + dim]);
                let saved = Saved { log_sum, output, grad };
                let mut rows = [vec![T::zero(); inner.keys], vec![T::zero(); outer.keys]];
                let [d_i, d_o] = &mut rows;
                let along = if inner.which == 0 { [&mut d_i[..], d_o] } else { [&mut d_o[..], d_i] };
                let content = &head.inner.queries[..p.head_dim];
                let direct = direct.get_or_insert_with(|| Direct::new(p, self.at, &keys.energies));
                direct.backward::<V>(head.position(o, i), content, saved, along, partial.direct(p));
                d_inner[LEAD + i * Table::<T>::gradient_stride::<V>(&inner)..]
                    .iter_mut()
                    .zip(&rows[0])
                    .for_each(|(sum, &d)| *sum += d);
                d_outer[LEAD + o * Table::<T>::gradient_stride::<V>(&outer)..]
                    .iter_mut()
                    .zip(&rows[1])
                    .for_each(|(sum, &d)| *sum += d);
            }
            for i in (0..inner.queries).step_by(V::LANES) {
                let end = inner.queries.min(i + V::LANES);
                let factor = V::from_slice(&last[i..end]);
                let mut mean = V::zero();
                let rows = grads.chunks_exact_mut(inner.queries).zip(outputs.chunks_exact(inner.queries));
                for (grad, output) in rows {
                    let g = factor * V::from_slice(&grad[i..end]);
                    mean = g.mul_add(V::from_slice(&output[i..end]), mean);
                    g.write_to(&mut grad[i..end]);
                }
                (-mean).write_to(&mut last[i..end]);
            }
        }
        grads
    }
}

/// Adds to `d`, its rows `stride` apart, the gradients of the energies, given those of the factors (queries, keys):
/// `p dp`, or `p (dp - <p, dp>)` where the factors are divided by their sum.
fn add_energy_gradients<T: Scalar>(
    factors: &AxisFactors<T>,
    dp: &[T],
    d: &mut [T],
    stride: usize,
    divided: bool,
) {
    let rows = factors.weights.chunks_exact(factors.keys_padded).zip(dp.chunks_exact(factors.axis.keys));
    for ((weights, dp), d) in rows.zip(d.chunks_exact_mut(stride)) {
        let mean = if divided { weights.iter().zip(dp).map(|(&p, &dp)| p * dp).sum() } else { T::zero() };
        for ((d, &p), &dp) in d.iter_mut().zip(weights).zip(dp) {
            *d += p * (dp - mean);
        }
    }
}
