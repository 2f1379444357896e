//! Deformable convolution, backward.
//!
//! ```text
//! turn x around, channels last
//! for each band of outputs, in parallel
//!     for each block of outputs
//!         dcolumns = dy^T W
//!         for each tap and output, all channels at once
//!             add dcolumns to dx at the corners, and multiply it with x there: four sums
//!             put the sample in the place of dcolumns
//!         doffset, dmask from the sums
//!         dW += dy columns
//! add up the dx and dW of all bands, in order
//! ```
//!
//! A band has a dx of its own, of the rows that its taps reach.

use std::ops::Range;

use ndarray::ArrayViewMut2;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::corners::{BLOCK, Corners, Taps};
use super::deformable::{Plan, sample, taps};
use super::layout::{Add, channels_last, each, split_columns};
use super::product::product;
use super::spread::{Reached, spread};
use crate::attention::deformable_conv::{DeformGeometry, Sampled};
use crate::gemm::matrix_mut;
use crate::par;

/// Bands that are computed at a time, of one sample or of several: enough for as many threads, few enough
/// that what each holds of dx and dW does not add up.
const BANDS: usize = 8;

/// Gradients in input, offset, mask and weight, as far as they are needed.
pub(in crate::attention) fn backward<T: Scalar>(
    isa: Isa,
    geometry: &DeformGeometry,
    sampled: Sampled<&[T]>,
    weight: &[T],
    grad_output: &[T],
    needs: [bool; 4],
) -> [Option<Buffer<T>>; 4] {
    let backward = Backward { isa, geometry, sampled, weight, grad_output, plan: Plan::new(geometry) };
    if geometry.axes == 1 { backward.run::<2>(needs) } else { backward.run::<4>(needs) }
}

struct Backward<'a, T> {
    isa: Isa,
    geometry: &'a DeformGeometry,
    sampled: Sampled<&'a [T]>,
    weight: &'a [T],
    grad_output: &'a [T],
    plan: Plan,
}

impl<T: Scalar> Backward<'_, T> {
    fn run<const N: usize>(&self, [x, offset, mask, weight]: [bool; 4]) -> [Option<Buffer<T>>; 4] {
        let (plan, conv, axes) = (&self.plan, &self.plan.conv, self.geometry.axes);
        let (positions, pixels) = (conv.window.positions(), conv.window.pixels());
        let slots = self.geometry.offset_groups * conv.window.taps();
        let buffer = |needed: bool, len: usize| needed.then(|| Buffer::arbitrary(conv.batch * len));
        let mut grad_x = buffer(x, conv.in_channels * pixels);
        let mut grad_offset = buffer(offset, axes * slots * positions);
        let mut grad_mask = buffer(mask && self.sampled.mask.is_some(), slots * positions);
        let by_output = self.by_output();
        let mut sums = Vec::new();
        for first in (0..conv.batch).step_by(BANDS) {
            let samples = first..(first + BANDS).min(conv.batch);
            let blocks = plan.blocks().div_ceil((BANDS / samples.len()).max(1)).max(1);
            let inputs = par::map(samples.len(), conv.in_channels * pixels, |i| {
                let planes = sample(self.sampled.x, first + i, conv.in_channels * pixels);
                channels_last(self.isa, planes, conv.in_channels, pixels)
            });
            let mut offsets =
                pieces(&mut grad_offset, &samples, axes * slots, positions, blocks * plan.block);
            let mut masks = pieces(&mut grad_mask, &samples, slots, positions, blocks * plan.block);
            let mut bands = Vec::new();
            for n in samples.clone() {
                for start in (0..plan.blocks()).step_by(blocks) {
                    if weight && sums.len() == bands.len() {
                        sums.push(Buffer::zeros(conv.groups * conv.group_outputs() * plan.group_columns));
                    }
                    let blocks = start..(start + blocks).min(plan.blocks());
                    bands.push(Band::<T, N> {
                        plan: *plan,
                        taps: taps(self.geometry, &self.sampled, n),
                        x: &inputs[n - first],
                        weight: &by_output,
                        grad_output: sample(self.grad_output, n, conv.out_channels * positions),
                        blocks,
                        needs_x: x,
                        grad_offset: offsets.next(),
                        grad_mask: masks.next(),
                        grad_weight: None,
                    });
                }
            }
            bands.iter_mut().zip(&mut sums).for_each(|(band, sum)| band.grad_weight = Some(sum));
            let per_sample = bands.len() / samples.len();
            let work = 2 * plan.block_work() * blocks;
            let reached = each(bands, work, |_, band| simd::run_on(self.isa, band));
            if let Some(grad_x) = &mut grad_x {
                let len = conv.in_channels * pixels;
                let planes = grad_x[first * len..].chunks_mut(len.max(1));
                for (planes, reached) in planes.zip(reached.chunks(per_sample)) {
                    Reached::add_up(self.isa, reached, conv.in_channels, pixels, planes);
                }
            }
        }
        [grad_x, grad_offset, grad_mask, weight.then(|| self.weight_gradient(sums))]
    }
}

impl<T: Scalar> Backward<'_, T> {
    /// The weight (O, C / groups, taps) as (O, taps, C / groups).
    fn by_output(&self) -> Buffer<T> {
        let (inputs, taps) = (self.plan.conv.group_inputs(), self.plan.conv.window.taps());
        let mut turned = Buffer::arbitrary(self.weight.len());
        let filters = self.weight.chunks((inputs * taps).max(1));
        for (filter, turned) in filters.zip(turned.chunks_mut((inputs * taps).max(1))) {
            for (c, kernel) in filter.chunks(taps).enumerate() {
                for (tap, &value) in kernel.iter().enumerate() {
                    turned[tap * inputs + c] = value;
                }
            }
        }
        turned
    }

    /// The sum of the bands' dW (O, taps, C / groups), as the weight lies.
    fn weight_gradient(&self, sums: Vec<Buffer<T>>) -> Buffer<T> {
        let (inputs, taps) = (self.plan.conv.group_inputs(), self.plan.conv.window.taps());
        let mut sums = sums.into_iter();
        let Some(mut sum) = sums.next() else { return Buffer::zeros(self.weight.len()) };
        sums.for_each(|term| simd::run_on(self.isa, Add { sum: &mut sum, term: &term }));
        let mut grad = Buffer::arbitrary(self.weight.len());
        let filters = sum.chunks((inputs * taps).max(1));
        for (grad, sum) in grad.chunks_mut((inputs * taps).max(1)).zip(filters) {
            for (c, grad) in grad.chunks_mut(taps).enumerate() {
                for (grad, &sum) in grad.iter_mut().zip(sum[c..].iter().step_by(inputs)) {
                    *grad = sum;
                }
            }
        }
        grad
    }
}

/// A gradient (N, rows, positions) of some samples in bands of `width` positions.
fn pieces<'a, T: Scalar>(
    grad: &'a mut Option<Buffer<T>>,
    samples: &Range<usize>,
    rows: usize,
    positions: usize,
    width: usize,
) -> impl Iterator<Item = ArrayViewMut2<'a, T>> {
    let len = rows * positions;
    let grad =
        grad.iter_mut().flat_map(move |grad| grad[samples.start * len..samples.end * len].chunks_mut(len));
    grad.flat_map(move |sample| split_columns(matrix_mut(sample, rows, positions), width))
}

/// Consecutive blocks of one sample.
struct Band<'a, T: Scalar, const N: usize> {
    plan: Plan,
    taps: Taps<'a, T>,
    x: &'a [T],           // (pixels + 1, C)
    weight: &'a [T],      // (O, taps, C / groups)
    grad_output: &'a [T], // (O, positions)
    blocks: Range<usize>,
    needs_x: bool,
    grad_offset: Option<ArrayViewMut2<'a, T>>, // (axes G taps, positions of the band)
    grad_mask: Option<ArrayViewMut2<'a, T>>,   // (G taps, positions of the band)
    grad_weight: Option<&'a mut Buffer<T>>,    // (O, taps, C / groups)
}

impl<T: Scalar, const N: usize> Kernel<T> for Band<'_, T, N> {
    type Output = Option<Reached<T>>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(mut self) -> Self::Output {
        let plan = self.plan;
        let mut reached =
            if self.needs_x { Some(Reached::of::<V>(&plan, &self.taps, self.blocks.clone())) } else { None };
        let slots = self.taps.slots();
        let mut corners = Corners::<T, N>::new(slots);
        let mut columns = Buffer::arbitrary(plan.block * plan.row);
        let mut grad_output = Buffer::arbitrary(plan.conv.out_channels * BLOCK);
        let mut sums = Buffer::arbitrary(slots * N * BLOCK);
        let sampled = self.needs_x || self.grad_offset.is_some() || self.grad_mask.is_some();
        let first = plan.outputs(self.blocks.start).start;

        for block in self.blocks.clone() {
            let outputs = plan.outputs(block);
            let count = outputs.len();
            let planes = self.grad_output.chunks(plan.conv.window.positions());
            for (into, plane) in grad_output.chunks_mut(BLOCK).zip(planes) {
                into[..count].copy_from_slice(&plane[outputs.clone()]);
            }
            corners.find::<V>(&self.taps, &outputs);
            if sampled {
                self.column_gradients::<V>(&grad_output, count, &mut columns);
                sums.fill(T::zero());
                let reached = reached.as_mut();
                if self.grad_weight.is_some() {
                    spread::<T, V, N, true>(&plan, &corners, self.x, count, reached, &mut sums, &mut columns);
                } else {
                    spread::<T, V, N, false>(
                        &plan,
                        &corners,
                        self.x,
                        count,
                        reached,
                        &mut sums,
                        &mut columns,
                    );
                }
                self.sampling_gradients::<V>(&outputs, outputs.start - first, &sums);
            } else {
                plan.columns::<T, V, N>(&corners, self.x, count, &mut columns);
            }
            self.weight_gradients::<V>(&grad_output, count, &columns);
        }
        reached
    }
}

impl<T: Scalar, const N: usize> Band<'_, T, N> {
    /// `dcolumns = dy^T W`
    #[inline(always)]
    fn column_gradients<V: Vector<Element = T>>(&self, grad_output: &[T], count: usize, columns: &mut [T]) {
        let (outputs, width) = (self.plan.conv.group_outputs(), self.plan.group_columns);
        for group in 0..self.plan.conv.groups {
            product::<T, V>(
                [count, width, outputs],
                (&grad_output[group * outputs * BLOCK..], 1, BLOCK),
                (&self.weight[group * outputs * width..], width),
                (&mut columns[group * width..], self.plan.row),
                false,
            );
        }
    }

    /// `dW += dy columns`
    #[inline(always)]
    fn weight_gradients<V: Vector<Element = T>>(&mut self, grad_output: &[T], count: usize, columns: &[T]) {
        let Some(grad) = &mut self.grad_weight else { return };
        let (outputs, width) = (self.plan.conv.group_outputs(), self.plan.group_columns);
        for group in 0..self.plan.conv.groups {
            product::<T, V>(
                [outputs, width, count],
                (&grad_output[group * outputs * BLOCK..], BLOCK, 1),
                (&columns[group * width..], self.plan.row),
                (&mut grad[group * outputs * width..], width),
                true,
            );
        }
    }

    /// The gradients in offset and mask of a block that starts at output `at` of the band.
    ///
    /// `column = mask sum_ij down_i across_j x_ij`, and `sums` holds `<dcolumn, x_ij>`.
    #[inline(always)]
    fn sampling_gradients<V: Vector<Element = T>>(&mut self, outputs: &Range<usize>, at: usize, sums: &[T]) {
        if self.grad_offset.is_none() && self.grad_mask.is_none() {
            return;
        }
        let (count, origins) = (outputs.len(), self.taps.origins(outputs));
        let one = V::splat(T::one());
        for slot in 0..self.taps.slots() {
            let sums = &sums[slot * N * BLOCK..][..N * BLOCK];
            let mask = self.taps.mask(slot, outputs);
            let offset_rows = [0, 1].map(|axis| self.taps.offset_row(slot, axis));
            for i in (0..count).step_by(V::LANES) {
                let across = self.taps.along::<V>(slot, 1, outputs, &origins, i);
                // NaN where either position is.
                let mut broken = across.floor;
                let (mut down, mut down_slope) = ([one, V::zero()], [V::zero(); 2]);
                if N == 4 {
                    let along = self.taps.along::<V>(slot, 0, outputs, &origins, i);
                    (down, down_slope) = (along.weight, along.slope);
                    broken = V::select(along.floor.is_nan(), along.floor, broken);
                }
                // Sums over the corners, their weights along either axis replaced by slopes.
                let (mut value, mut dx, mut dy) = (V::zero(), V::zero(), V::zero());
                for corner in 0..N {
                    let (i_down, j) = (corner / 2, corner % 2);
                    let sum = V::from_slice(&sums[corner * BLOCK + i..]);
                    value = (down[i_down] * across.weight[j]).mul_add(sum, value);
                    dx = (down[i_down] * across.slope[j]).mul_add(sum, dx);
                    dy = (down_slope[i_down] * across.weight[j]).mul_add(sum, dy);
                }
                let scale = if let Some(mask) = mask { V::from_slice(&mask[i..]) } else { one };
                let dx = V::select(broken.is_nan(), V::zero(), dx * scale);
                let dy = V::select(broken.is_nan(), V::zero(), dy * scale);
                let place = at + i..at + count.min(i + V::LANES);
                if let Some(grad) = &mut self.grad_offset {
                    dx.write_to(piece(grad, offset_rows[0], &place));
                    if N == 4 {
                        dy.write_to(piece(grad, offset_rows[1], &place));
                    }
                }
                if let Some(grad) = &mut self.grad_mask {
                    value.write_to(piece(grad, slot, &place));
                }
            }
        }
    }
}

/// Some columns of one row.
#[inline(always)]
fn piece<'a, T>(matrix: &'a mut ArrayViewMut2<T>, row: usize, columns: &Range<usize>) -> &'a mut [T] {
    let row = matrix.row_mut(row).into_slice().expect("rows of planes are contiguous");
    &mut row[columns.clone()]
}
