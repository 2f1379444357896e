//! Convolution as a matrix product over columns, whatever the columns are sampled from.
//!
//! Every convolution with a learned kernel is, for each sample and channel group,
//!
//! `y = W columns`, `W` (O, C * taps), `columns` (C * taps, outputs), `columns[(c, m), q] = sum_k A_m(q, k) x[c, k]`
//!
//! and kinds of convolution differ in `A_m` alone: a shift for the regular one, a bilinear sample
//! for the deformable one. Columns are made for a few output rows at a time, so that the buffer
//! stays in cache and does not grow with the image.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;
use termwise_autograd::Scalar;

use super::ConvGeometry;
use super::vector;
use crate::gemm::{gemm, matrix, matrix_mut};
use crate::par;

/// Elements of columns that are made at a time (512 KiB of `f32`).
const TILE_ELEMENTS: usize = 1 << 17;
/// Partial sums of a weight gradient: enough for as many threads, few enough to be held at once.
const PARTIAL_SUMS: usize = 8;
/// Multiplications below which the work stays on one thread.
const MIN_PARALLEL_WORK: usize = 1 << 17;

/// Where columns come from.
pub(crate) trait Columns<T>: Sync {
    /// The columns of `channels` of sample `n` for the output rows `rows`, made in `buffer` unless
    /// they already lie in the input. // (channels * taps, rows * Wo)
    fn columns<'a>(
        &'a self,
        n: usize,
        channels: Range<usize>,
        rows: Range<usize>,
        buffer: &'a mut Vec<T>,
    ) -> ArrayView2<'a, T>;
}

/// Output rows that are computed at a time.
pub(crate) fn tile_rows(geometry: &ConvGeometry) -> usize {
    let per_row = geometry.group_inputs() * geometry.window.taps() * geometry.window.output[1];
    (TILE_ELEMENTS / per_row.max(1)).clamp(1, geometry.window.output[0].max(1))
}

/// The row ranges of all tiles.
pub(crate) fn tiles(geometry: &ConvGeometry) -> impl Iterator<Item = Range<usize>> + use<> {
    let (step, end) = (tile_rows(geometry), geometry.window.output[0]);
    (0..end).step_by(step).map(move |start| start..(start + step).min(end))
}

/// The weights of one group. // (O / groups, C / groups * taps)
pub(crate) fn group_weight<'a, T>(
    geometry: &ConvGeometry,
    weight: &'a [T],
    group: usize,
) -> ArrayView2<'a, T> {
    let (rows, cols) = (geometry.group_outputs(), geometry.group_inputs() * geometry.window.taps());
    matrix(&weight[group * rows * cols..][..rows * cols], rows, cols)
}

/// The part of an output-shaped array that belongs to one sample, group and tile.
pub(crate) fn output_tile<'a, T>(
    geometry: &ConvGeometry,
    output: &'a [T],
    n: usize,
    group: usize,
    rows: &Range<usize>,
) -> ArrayView2<'a, T> {
    let (channels, positions, width) =
        (geometry.group_outputs(), geometry.window.positions(), geometry.window.output[1]);
    let first = (n * geometry.out_channels + group * channels) * positions;
    let plane = matrix(&output[first..][..channels * positions], channels, positions);
    plane.slice_move(s![.., rows.start * width..rows.end * width])
}

/// `y = W columns + bias`. // (N, O, Ho, Wo)
pub(crate) fn forward<T: Scalar>(
    geometry: &ConvGeometry,
    weight: &[T],
    bias: Option<&[T]>,
    source: &impl Columns<T>,
) -> Vec<T> {
    let (out_channels, positions, width) =
        (geometry.out_channels, geometry.window.positions(), geometry.window.output[1]);
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let mut y = vec![T::zero(); geometry.batch * out_channels * positions];
    if y.is_empty() {
        return y;
    }
    // Tiles of one sample are disjoint columns of its (O, Ho * Wo) matrix.
    let mut tasks: Vec<(usize, Range<usize>, ArrayViewMut2<T>)> = Vec::new();
    for (n, sample) in y.chunks_mut(out_channels * positions).enumerate() {
        let mut rest = matrix_mut(sample, out_channels, positions);
        for rows in tiles(geometry) {
            let (tile, tail) = rest.split_at(Axis(1), rows.len() * width);
            rest = tail;
            tasks.push((n, rows, tile));
        }
    }
    let compute = |buffer: &mut Vec<T>, (n, rows, mut tile): (usize, Range<usize>, ArrayViewMut2<T>)| {
        if let Some(bias) = bias {
            for (mut row, &bias) in tile.rows_mut().into_iter().zip(bias) {
                row.fill(bias);
            }
        }
        for group in 0..geometry.groups {
            let columns = source.columns(n, group * inputs..(group + 1) * inputs, rows.clone(), buffer);
            let mut out = tile.slice_mut(s![group * outputs..(group + 1) * outputs, ..]);
            let beta = if bias.is_some() { T::one() } else { T::zero() };
            gemm(T::one(), group_weight(geometry, weight, group), columns, beta, &mut out);
        }
    };
    if work(geometry) < MIN_PARALLEL_WORK {
        let mut buffer = Vec::new();
        tasks.into_iter().for_each(|task| compute(&mut buffer, task));
    } else {
        tasks.into_par_iter().for_each_init(Vec::new, compute);
    }
    y
}

/// `dW = sum_n dy columns^T`. // (O, C / groups, kh, kw)
///
/// Samples and tiles are dealt to a fixed number of partial sums, which are added in order.
pub(crate) fn weight_gradient<T: Scalar>(
    geometry: &ConvGeometry,
    grad_output: &[T],
    source: &impl Columns<T>,
) -> Vec<T> {
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let weights_per_group = outputs * inputs * geometry.window.taps();
    let tiles: Vec<_> = tiles(geometry).collect();
    let units = geometry.batch * tiles.len();
    let per_sum = units.div_ceil(PARTIAL_SUMS).max(1);
    let partial = par::map(units.div_ceil(per_sum), work(geometry) / PARTIAL_SUMS, |index| {
        let mut grad = vec![T::zero(); geometry.groups * weights_per_group];
        let mut buffer = Vec::new();
        for unit in index * per_sum..((index + 1) * per_sum).min(units) {
            let (n, rows) = (unit / tiles.len(), &tiles[unit % tiles.len()]);
            for group in 0..geometry.groups {
                let columns =
                    source.columns(n, group * inputs..(group + 1) * inputs, rows.clone(), &mut buffer);
                let grad_output = output_tile(geometry, grad_output, n, group, rows);
                let grad = &mut grad[group * weights_per_group..][..weights_per_group];
                let mut grad = matrix_mut(grad, outputs, inputs * geometry.window.taps());
                gemm(T::one(), grad_output, columns.t(), T::one(), &mut grad);
            }
        }
        grad
    });
    partial
        .into_iter()
        .reduce(|mut sum, term| {
            vector::axpy(T::one(), &term, &mut sum);
            sum
        })
        .unwrap_or_else(|| vec![T::zero(); geometry.groups * weights_per_group])
}

/// `dcolumns = W^T dy` of one sample, group and tile. // (C / groups * taps, rows * Wo)
pub(crate) fn column_gradient<'a, T: Scalar>(
    geometry: &ConvGeometry,
    weight: &[T],
    grad_output: &[T],
    n: usize,
    group: usize,
    rows: &Range<usize>,
    buffer: &'a mut Vec<T>,
) -> &'a mut [T] {
    let (height, width) =
        (geometry.group_inputs() * geometry.window.taps(), rows.len() * geometry.window.output[1]);
    let columns = sized(buffer, height * width);
    let grad_output = output_tile(geometry, grad_output, n, group, rows);
    let mut product = matrix_mut(columns, height, width);
    gemm(
        T::one(),
        group_weight(geometry, weight, group).reversed_axes(),
        grad_output,
        T::zero(),
        &mut product,
    );
    columns
}

/// The first `len` elements of a buffer that grows but is not cleared.
pub(crate) fn sized<T: Scalar>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::zero());
    }
    &mut buffer[..len]
}

/// Multiplications of one product with the weights.
pub(crate) fn work(geometry: &ConvGeometry) -> usize {
    geometry.batch
        * geometry.out_channels
        * geometry.group_inputs()
        * geometry.window.taps()
        * geometry.window.positions()
}
