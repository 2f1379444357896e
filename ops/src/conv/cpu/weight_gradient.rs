//! The weight gradient as a matrix product over positions: `dW[o, (c, m)] = sum_q dy[o, q] grid[c, step_m + q]`.
//!
//! Lanes are channels, so that one of the two operands is transposed, a block of rows at a time, and the other is
//! broadcast from where it lies:
//!
//! - lanes over output channels: `dy` transposed, the [`grid`](super::grid) of `x` broadcast;
//! - lanes over input channels, where those fill vectors better: the grid transposed, `dy` broadcast.
//!
//! Positions are dealt to a fixed number of partial sums, which are added in order.

use std::ops::Range;

use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector, transpose};

use super::axis::Axis;
use super::grid::Grid;
use super::sweep::{Sweep, tiles_along, used_lanes};
use super::{lanes_on, tasks_wanted};
use crate::conv::ConvGeometry;

/// Bytes of the operands of a task: a part of a core's second cache.
const OPERAND_BYTES: usize = 384 << 10;
/// Partial sums at most.
const MAX_PARTS: usize = 8;
/// Positions that are worth a partial sum.
const MIN_PART_POSITIONS: usize = 256;

/// `dW = sum_n dy x^T`. // (O, C / groups, kh, kw)
pub(super) fn weight_gradient<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    grad_output: &[T],
) -> Buffer<T> {
    let mut grad = Buffer::arbitrary(geometry.weight_shape().iter().product());
    if grad.is_empty() || x.is_empty() || grad_output.is_empty() {
        grad.fill(T::zero());
        return grad;
    }
    let plan = Plan::new::<T>(isa, geometry);
    let tasks = geometry.groups * plan.parts * plan.chunks;
    let sum = |task: usize| {
        let mut sums = Buffer::arbitrary(plan.sums_len());
        simd::run_on(isa, PartialSum { plan: &plan, x, grad_output, task, sums: &mut sums });
        sums
    };
    let parallel = tasks_wanted(plan.work) > 1;
    let sums: Vec<_> =
        if parallel { (0..tasks).into_par_iter().map(sum).collect() } else { (0..tasks).map(sum).collect() };
    let group_weights = geometry.group_outputs() * geometry.group_inputs() * geometry.window.taps();
    let per_group = plan.parts * plan.chunks;
    let add = |(group, grad): (usize, &mut [T])| {
        let sums = &sums[group * per_group..][..per_group];
        simd::run_on(isa, Add { plan: &plan, sums, grad });
    };
    if parallel {
        grad.par_chunks_mut(group_weights).enumerate().for_each(add);
    } else {
        grad.chunks_mut(group_weights).enumerate().for_each(add);
    }
    grad
}

/// Which channels the lanes of a vector are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Outputs,
    Inputs,
}

struct Plan<'a> {
    geometry: &'a ConvGeometry,
    grid: Grid,
    /// Offset in a channel of the grid of each tap.
    taps: Vec<usize>,
    lanes: Lanes,
    /// Channels along the lanes of the sums of a task, a whole number of vectors.
    padded: usize,
    blocks: Vec<Range<usize>>,
    /// Samples whose operands are made at once.
    samples: usize,
    /// Partial sums of each weight.
    parts: usize,
    /// Ranges of input channels, and how many they hold.
    chunks: usize,
    chunk: usize,
    work: usize,
}

impl<'a> Plan<'a> {
    fn new<T: Scalar>(isa: Isa, geometry: &'a ConvGeometry) -> Self {
        let [rows, cols] = [0, 1].map(|axis| Axis::convolution(&geometry.window, axis));
        let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
        let (taps, width) = (geometry.window.taps(), geometry.window.output[1]);
        let vector = lanes_on::<T>(isa);
        let [by_outputs, by_inputs] = used_lanes::<T>(isa, geometry);
        let lanes = if by_inputs > by_outputs { Lanes::Inputs } else { Lanes::Outputs };

        let work = outputs * inputs * taps * geometry.window.positions() * geometry.batch * geometry.groups;
        let positions = geometry.window.positions() * geometry.batch;
        let row_bytes = (inputs * Grid::row_len(&rows, &cols) + outputs * width) * size_of::<T>();
        let extent = rows.extent();
        let fits = (OPERAND_BYTES / row_bytes.max(1)).clamp(1, extent);
        // Enough blocks for all parts.
        let wanted = (positions / MIN_PART_POSITIONS).clamp(1, MAX_PARTS);
        let fair = extent.div_ceil(wanted.div_ceil(geometry.batch));
        let block = fits.min(fair);
        let block = extent.div_ceil(extent.div_ceil(block));
        let grid = Grid::new(rows, cols, block);
        let blocks: Vec<_> = grid.blocks().collect();
        let units = geometry.batch * blocks.len();
        let parts = units.div_ceil(units.div_ceil(wanted.min(units)));
        let samples = if blocks.len() == 1 {
            (OPERAND_BYTES / (row_bytes * extent)).clamp(1, geometry.batch.div_ceil(parts))
        } else {
            1
        };
        // Where there are few parts, tasks share out the input channels.
        let tasks = tasks_wanted(work).div_ceil(parts * geometry.groups);
        let unit = if lanes == Lanes::Inputs { vector } else { 1 };
        let chunk = inputs.div_ceil(tasks).next_multiple_of(unit);
        let along = if lanes == Lanes::Inputs { chunk } else { outputs };
        let taps = grid.taps(&grid.rows.parts[0], &grid.cols.parts[0], geometry.window.kernel[1]);
        Plan {
            geometry,
            taps: taps.into_iter().map(|(_, offset)| offset).collect(),
            lanes,
            padded: along.next_multiple_of(vector),
            blocks,
            samples,
            parts,
            chunks: inputs.div_ceil(chunk),
            chunk,
            work,
            grid,
        }
    }

    /// Elements of a task's sums: (channel, tap, padded) or (tap, output, padded).
    fn sums_len(&self) -> usize {
        let rows = match self.lanes {
            Lanes::Outputs => self.chunk,
            Lanes::Inputs => self.geometry.group_outputs(),
        };
        rows * self.taps.len() * self.padded
    }

    fn channels(&self, chunk: usize) -> Range<usize> {
        chunk * self.chunk..((chunk + 1) * self.chunk).min(self.geometry.group_inputs())
    }
}

/// One partial sum of one group's channels.
struct PartialSum<'a, T> {
    plan: &'a Plan<'a>,
    x: &'a [T],
    grad_output: &'a [T],
    task: usize,
    sums: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for PartialSum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let PartialSum { plan, x, grad_output, task, sums } = self;
        let (geometry, grid) = (plan.geometry, &plan.grid);
        let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
        let (pixels, positions) = (geometry.window.pixels(), geometry.window.positions());
        let width = geometry.window.output[1];
        let (rest, chunk) = (task / plan.chunks, task % plan.chunks);
        let (group, part) = (rest / plan.parts, rest % plan.parts);
        let channels = plan.channels(chunk);

        let units = geometry.batch * plan.blocks.len();
        let per_part = units.div_ceil(plan.parts);
        let units = part * per_part..((part + 1) * per_part).min(units);

        // A unit's operands: the grid of x, and the transpose of one of the two.
        let grid_len = channels.len() * grid.channel;
        let transposed_len = match plan.lanes {
            Lanes::Outputs => grid.block * width * plan.padded,
            Lanes::Inputs => grid.channel * plan.padded,
        };
        let mut grids = Buffer::arbitrary(plan.samples * grid_len);
        let mut transposed = Buffer::arbitrary(plan.samples * transposed_len);
        let mut next = units.start;
        while next < units.end {
            let count = plan.samples.min(units.end - next);
            let block = &plan.blocks[next % plan.blocks.len()];
            let first_output =
                |n: usize| (n * geometry.groups + group) * outputs * positions + block.start * width;
            let n = next / plan.blocks.len();
            for i in 0..count {
                let x = &x[((n + i) * geometry.in_channels + group * inputs + channels.start) * pixels..]
                    [..channels.len() * pixels];
                let x_grid = &mut grids[i * grid_len..][..grid_len];
                grid.fill::<V>(block, x, x_grid);
                let into = transposed[i * transposed_len..][..transposed_len].as_mut_ptr();
                // SAFETY: the operands are as long as that; lanes that are padding are never written.
                unsafe {
                    match plan.lanes {
                        Lanes::Outputs => {
                            let from = grad_output[first_output(n + i)..].as_ptr();
                            let len = block.len() * width;
                            transpose::<V>([outputs, len], from, positions, into, plan.padded);
                        }
                        Lanes::Inputs => {
                            let from = x_grid.as_ptr();
                            transpose::<V>(
                                [channels.len(), grid.channel],
                                from,
                                grid.channel,
                                into,
                                plan.padded,
                            );
                        }
                    }
                }
            }
            let (vectors, rows) = (transposed.as_ptr(), block.len());
            for (at, take) in tiles_along::<V>(plan.padded / V::LANES) {
                let lane = at * V::LANES;
                match plan.lanes {
                    Lanes::Outputs => {
                        let sweep = Sweep {
                            units: count,
                            rows,
                            width,
                            scalars: (grid_len, grid.pitch),
                            vectors: (transposed_len, width * plan.padded),
                            step: plan.padded,
                            fresh: next == units.start,
                        };
                        let steps = channels.len() * plan.taps.len();
                        let scalar = |k: usize| {
                            grids[k / plan.taps.len() * grid.channel + plan.taps[k % plan.taps.len()]..]
                                .as_ptr()
                        };
                        // SAFETY: every step of the grid is readable at each position of the block.
                        unsafe {
                            sweep.rows::<V>(take, steps, scalar, vectors.add(lane), sums[lane..].as_mut_ptr())
                        };
                    }
                    Lanes::Inputs => {
                        let sweep = Sweep {
                            units: count,
                            rows,
                            width,
                            scalars: (geometry.out_channels * positions, width),
                            vectors: (transposed_len, grid.pitch * plan.padded),
                            step: plan.padded,
                            fresh: next == units.start,
                        };
                        let scalar = |o: usize| grad_output[first_output(n) + o * positions..].as_ptr();
                        for (tap, &offset) in plan.taps.iter().enumerate() {
                            let sums = sums[tap * outputs * plan.padded + lane..].as_mut_ptr();
                            // SAFETY: as above, for the transpose of the grid.
                            unsafe {
                                let vectors = vectors.add(offset * plan.padded + lane);
                                sweep.rows::<V>(take, outputs, scalar, vectors, sums);
                            }
                        }
                    }
                }
            }
            next += count;
        }
    }
}

/// Adds the partial sums of a group and deals them to its weights.
struct Add<'a, T: Scalar> {
    plan: &'a Plan<'a>,
    /// Those of each part, chunk by chunk.
    sums: &'a [Buffer<T>],
    /// (O, C, taps) of the group.
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Add { plan, sums, grad } = self;
        let (taps, padded) = (plan.taps.len(), plan.padded);
        let (inputs, outputs) = (plan.geometry.group_inputs(), plan.geometry.group_outputs());
        let mut total = Buffer::arbitrary(plan.sums_len());
        for chunk in 0..plan.chunks {
            let of_part = |part: usize| &sums[part * plan.chunks + chunk][..];
            let sum = if plan.parts == 1 {
                of_part(0)
            } else {
                total.copy_from_slice(of_part(0));
                for part in 1..plan.parts {
                    for (total, term) in total.chunks_mut(V::LANES).zip(of_part(part).chunks(V::LANES)) {
                        (V::from_slice(total) + V::from_slice(term)).write_to(total);
                    }
                }
                &total[..]
            };
            let channels = plan.channels(chunk);
            // SAFETY: the sums hold (channel, tap, padded) or (tap, output, padded), the gradient all of a group.
            unsafe {
                match plan.lanes {
                    Lanes::Outputs => {
                        let into = grad[channels.start * taps..].as_mut_ptr();
                        transpose::<V>(
                            [channels.len() * taps, outputs],
                            sum.as_ptr(),
                            padded,
                            into,
                            inputs * taps,
                        );
                    }
                    Lanes::Inputs => {
                        for o in 0..outputs {
                            let into = grad[(o * inputs + channels.start) * taps..].as_mut_ptr();
                            let from = sum[o * padded..].as_ptr();
                            transpose::<V>([taps, channels.len()], from, outputs * padded, into, taps);
                        }
                    }
                }
            }
        }
    }
}
