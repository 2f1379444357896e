//! Deformable convolution, forward.
//!
//! ```text
//! turn x around, channels last
//! for each block of outputs, in parallel
//!     find the corners of every tap
//!     for each tap and output: write the sample, all channels at once, into a row of columns
//!     y = columns W
//! ```

use std::ops::Range;

use ndarray::ArrayViewMut2;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::corners::{BLOCK, Corners, Taps};
use super::layout::{channels_last, each, split_columns};
use super::product::product;
use crate::attention::deformable_conv::{DeformGeometry, Sampled};
use crate::conv::ConvGeometry;
use crate::gemm::matrix_mut;
use crate::par;

/// Most numbers in the columns of a block: they stay in the second-level cache.
const COLUMNS: usize = 1 << 17;
/// Distance between rows of columns beyond what they hold, so that whole vectors can be written.
const MARGIN: usize = 16;

/// How columns lie: one row for each output, in it the groups, in these the taps, in these the channels.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub conv: ConvGeometry,
    pub offset_groups: usize,
    /// Numbers of one group in a row.
    pub group_columns: usize,
    /// Distance between rows.
    pub row: usize,
    /// Outputs of a block.
    pub block: usize,
}

/// Channels of one group that share their offsets, under one tap.
pub(super) struct Segment {
    pub channels: Range<usize>,
    /// Where their samples lie in a row.
    pub at: usize,
    /// The offset group and tap.
    pub slot: usize,
}

impl Plan {
    pub fn new(geometry: &DeformGeometry) -> Self {
        let conv = geometry.conv;
        let group_columns = conv.group_inputs() * conv.window.taps();
        let row = conv.groups * group_columns + MARGIN;
        let block = (COLUMNS / row / 16 * 16).clamp(16, BLOCK);
        Plan { conv, offset_groups: geometry.offset_groups, group_columns, row, block }
    }

    pub fn blocks(&self) -> usize {
        self.conv.window.positions().div_ceil(self.block)
    }

    pub fn outputs(&self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.conv.window.positions())
    }

    /// Multiplications of one product with the weights for a block.
    pub fn block_work(&self) -> usize {
        self.block * self.row * self.conv.group_outputs().max(1)
    }

    /// The taps of all runs of channels, in the order in which they lie in a row.
    pub fn segments(&self) -> Vec<Segment> {
        let (inputs, taps) = (self.conv.group_inputs(), self.conv.window.taps());
        let per_offset_group = (self.conv.in_channels / self.offset_groups).max(1);
        let mut segments = Vec::new();
        for group in 0..self.conv.groups {
            let (start, end) = (group * inputs, (group + 1) * inputs);
            for tap in 0..taps {
                let mut from = start;
                while from < end {
                    let offset_group = from / per_offset_group;
                    let to = ((offset_group + 1) * per_offset_group).min(end);
                    let at = group * self.group_columns + tap * inputs + from - start;
                    segments.push(Segment { channels: from..to, at, slot: offset_group * taps + tap });
                    from = to;
                }
            }
        }
        segments
    }
}

/// `weight` (O, C / groups, taps) as (taps, C / groups, O / groups) for each group, its rows `width` apart.
pub(super) fn by_column<T: Scalar>(conv: &ConvGeometry, weight: &[T]) -> (Buffer<T>, usize) {
    let (inputs, outputs, taps) = (conv.group_inputs(), conv.group_outputs(), conv.window.taps());
    let width = outputs.next_multiple_of(MARGIN);
    let mut turned = Buffer::zeros(conv.groups * taps * inputs * width);
    for (o, filter) in weight.chunks(inputs * taps).take(conv.out_channels).enumerate() {
        let group = &mut turned[o / outputs * taps * inputs * width + o % outputs..];
        for (c, kernel) in filter.chunks(taps).enumerate() {
            for (tap, &value) in kernel.iter().enumerate() {
                group[(tap * inputs + c) * width] = value;
            }
        }
    }
    (turned, width)
}

/// `y = W columns + b`. // (N, O, Ho, Wo)
pub(in crate::attention) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &DeformGeometry,
    sampled: Sampled<&[T]>,
    weight: &[T],
    bias: Option<&[T]>,
) -> Buffer<T> {
    if geometry.axes == 1 {
        forward_with::<T, 2>(isa, geometry, sampled, weight, bias)
    } else {
        forward_with::<T, 4>(isa, geometry, sampled, weight, bias)
    }
}

fn forward_with<T: Scalar, const N: usize>(
    isa: Isa,
    geometry: &DeformGeometry,
    sampled: Sampled<&[T]>,
    weight: &[T],
    bias: Option<&[T]>,
) -> Buffer<T> {
    let (plan, conv) = (Plan::new(geometry), geometry.conv);
    let (positions, pixels) = (conv.window.positions(), conv.window.pixels());
    let mut y = Buffer::arbitrary(conv.batch * conv.out_channels * positions);
    let weight = by_column(&conv, weight);
    let work = plan.block_work();
    par::for_each_chunk(&mut y, conv.out_channels * positions, work * plan.blocks(), |n, y| {
        let x = channels_last(isa, sample(sampled.x, n, conv.in_channels * pixels), conv.in_channels, pixels);
        let taps = taps(geometry, &sampled, n);
        let blocks = split_columns(matrix_mut(y, conv.out_channels, positions), plan.block);
        each(blocks, work, |block, y| {
            let (weight, outputs) = ((&weight.0[..], weight.1), plan.outputs(block));
            simd::run_on(isa, Block::<T, N> { plan, taps, x: &x, weight, bias, outputs, y });
        });
    });
    y
}

/// The part of an array that belongs to one sample.
pub(super) fn sample<T>(array: &[T], n: usize, len: usize) -> &[T] {
    &array[n * len..][..len]
}

/// Where the taps of one sample fall.
pub(super) fn taps<'a, T: Scalar>(
    geometry: &'a DeformGeometry,
    sampled: &Sampled<&'a [T]>,
    n: usize,
) -> Taps<'a, T> {
    let window = &geometry.conv.window;
    let len = geometry.offset_groups * window.taps() * window.positions();
    let offset = sample(sampled.offset, n, geometry.axes * len);
    Taps { geometry, offset, mask: sampled.mask.map(|mask| sample(mask, n, len)) }
}

/// The outputs of one block.
struct Block<'a, T, const N: usize> {
    plan: Plan,
    taps: Taps<'a, T>,
    x: &'a [T],
    weight: (&'a [T], usize),
    bias: Option<&'a [T]>,
    outputs: Range<usize>,
    y: ArrayViewMut2<'a, T>,
}

impl<T: Scalar, const N: usize> Kernel<T> for Block<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(mut self) {
        let (plan, count) = (self.plan, self.outputs.len());
        let mut corners = Corners::<T, N>::new(self.taps.slots());
        corners.find::<V>(&self.taps, &self.outputs);
        let mut columns = Buffer::arbitrary(count * plan.row);
        plan.columns::<T, V, N>(&corners, self.x, count, &mut columns);
        let outputs = plan.conv.group_outputs();
        let (weight, width) = self.weight;
        let mut tile = Buffer::arbitrary(count * width);
        for group in 0..plan.conv.groups {
            product::<T, V>(
                [count, width, plan.group_columns],
                (&columns[group * plan.group_columns..], plan.row, 1),
                (&weight[group * plan.group_columns * width..], width),
                (&mut tile, width),
                false,
            );
            for o in 0..outputs {
                let channel = group * outputs + o;
                let bias = self.bias.map_or(T::zero(), |bias| bias[channel]);
                let mut row = self.y.row_mut(channel);
                let row = row.as_slice_mut().expect("rows of planes are contiguous");
                for (y, &value) in row.iter_mut().zip(tile[o..].iter().step_by(width)) {
                    *y = value + bias;
                }
            }
        }
    }
}

impl Plan {
    /// Samples `x` (pixels + 1, C) for the first `count` outputs of a block. // (count, row)
    #[inline(always)]
    pub(super) fn columns<T: Scalar, V: Vector<Element = T>, const N: usize>(
        &self,
        corners: &Corners<T, N>,
        x: &[T],
        count: usize,
        columns: &mut [T],
    ) {
        let stride = self.conv.in_channels;
        assert!(x.len() == (self.conv.window.pixels() + 1) * stride && columns.len() >= count * self.row);
        let segments = self.segments();
        // Outputs outside, so that the taps of one and those of its neighbours find the same pixels in cache.
        for i in 0..count {
            for segment in &segments {
                let (pixel, weight) = corners.of(segment.slot);
                let weight: [V; N] = std::array::from_fn(|k| V::splat(weight[k * BLOCK + i]));
                let channels = segment.channels.len();
                // SAFETY: corners are pixels of the image or the one after it, of which x has all channels;
                // the segment lies in row i of the columns.
                unsafe {
                    let from: [*const T; N] = std::array::from_fn(|k| {
                        x.as_ptr().add(pixel[k * BLOCK + i] as usize * stride + segment.channels.start)
                    });
                    let into = columns.as_mut_ptr().add(i * self.row + segment.at);
                    let mut c = 0;
                    while c + V::LANES <= channels {
                        interpolate(&weight, from.map(|from| V::load(from.add(c)))).store(into.add(c));
                        c += V::LANES;
                    }
                    if c < channels {
                        let rest = channels - c;
                        interpolate(&weight, from.map(|from| V::load_part(from.add(c), rest)))
                            .store_part(into.add(c), rest);
                    }
                }
            }
        }
    }
}

/// The weighted sum over the corners.
#[inline(always)]
pub(super) fn interpolate<V: Vector, const N: usize>(weight: &[V; N], corner: [V; N]) -> V {
    let mut sum = weight[0] * corner[0];
    for k in 1..N {
        sum = weight[k].mul_add(corner[k], sum);
    }
    sum
}
