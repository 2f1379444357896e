//! The weight gradient with positions in the lanes: `dW[o, (c, m)] = sum_q dy[o, q] grid[c, step_m + q]`, one vector of
//! `q` at a time.
//!
//! For groups of few channels, which would leave most of a vector empty: depthwise convolution above all. Nothing
//! is transposed; each sum is a vector of partial sums, added up at the very end.

use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::axis::Axis;
use super::grid::Grid;
use super::sweep::{used, used_lanes};
use super::{lanes_on, tasks_wanted};
use crate::conv::ConvGeometry;

/// How much longer a multiplication takes here than in a matrix product.
const COST: usize = 4;
/// Bytes of a grid: a part of a core's first cache.
const GRID_BYTES: usize = 24 << 10;
/// Weights whose sums are in registers at once: a 3x3 kernel, or a row of one.
const MANY: usize = 9;
const FEW: usize = 3;

/// Whether positions should be in the lanes: where channels would leave most of them empty.
pub(super) fn applies<T: Scalar>(isa: Isa, geometry: &ConvGeometry) -> bool {
    // Every multiply-add reads a vector, at half the rate at best; measured.
    const RATE: f64 = 0.3;
    let [by_outputs, by_inputs] = used_lanes::<T>(isa, geometry);
    by_outputs.max(by_inputs) < RATE * used(geometry.window.output[1], lanes_on::<T>(isa))
}

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
    let [rows, cols] = [0, 1].map(|axis| Axis::convolution(&geometry.window, axis));
    let (inputs, outputs, taps) = (geometry.group_inputs(), geometry.group_outputs(), geometry.window.taps());
    let row_bytes = inputs * Grid::row_len(&rows, &cols) * size_of::<T>();
    let block = (GRID_BYTES / row_bytes.max(1)).clamp(1, rows.extent());
    let grid = Grid::new(rows, cols, block);
    let offsets = grid.taps(&grid.rows.parts[0], &grid.cols.parts[0], geometry.window.kernel[1]);
    let channels = (0..inputs).map(|c| c * grid.channel);
    let steps =
        channels.flat_map(|channel| offsets.iter().map(move |&(_, offset)| channel + offset)).collect();

    // A task has some groups, or some of the outputs of one.
    let work = geometry.batch * geometry.out_channels * geometry.window.positions() * inputs * taps;
    let wanted = tasks_wanted(COST * work);
    let fair = geometry.out_channels.div_ceil(wanted);
    let run = if fair >= outputs { fair / outputs * outputs } else { divisor_up_to(outputs, fair) };
    let plan = Plan { geometry, grid, steps };
    let sum = |(i, grad): (usize, &mut [T])| {
        simd::run_on(isa, Task { plan: &plan, x, grad_output, first: i * run, grad });
    };
    let chunk = run * inputs * taps;
    if wanted == 1 {
        grad.chunks_mut(chunk).enumerate().for_each(sum);
    } else {
        grad.par_chunks_mut(chunk).enumerate().for_each(sum);
    }
    grad
}

/// The largest divisor of `n` that is at most `bound`.
fn divisor_up_to(n: usize, bound: usize) -> usize {
    (1..=bound.max(1)).rev().find(|&d| n.is_multiple_of(d)).unwrap_or(1)
}

struct Plan<'a> {
    geometry: &'a ConvGeometry,
    grid: Grid,
    /// Offset in the grid of each weight of an output.
    steps: Vec<usize>,
}

/// The weights of some outputs: those of whole groups, or within one.
struct Task<'a, T> {
    plan: &'a Plan<'a>,
    x: &'a [T],
    grad_output: &'a [T],
    /// The first output.
    first: usize,
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Task { plan, x, grad_output, first, grad } = self;
        let (geometry, grid, steps) = (plan.geometry, &plan.grid, &plan.steps[..]);
        let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
        let (pixels, positions) = (geometry.window.pixels(), geometry.window.positions());
        let width = geometry.window.output[1];
        let count = grad.len() / steps.len();
        let mut x_grid = Buffer::arbitrary(grid.len(inputs));
        let mut sums = Buffer::zeros(count.min(outputs) * steps.len() * V::LANES);
        let mut next = first;
        while next < first + count {
            let group = next / outputs;
            let of_group = next..(first + count).min((group + 1) * outputs);
            for n in 0..geometry.batch {
                let x = &x[(n * geometry.in_channels + group * inputs) * pixels..][..inputs * pixels];
                for block in grid.blocks() {
                    grid.fill::<V>(&block, x, &mut x_grid);
                    for (o, sums) in of_group.clone().zip(sums.chunks_mut(steps.len() * V::LANES)) {
                        let from = (n * geometry.out_channels + o) * positions + block.start * width;
                        let rows = Rows {
                            grad_output: &grad_output[from..][..block.len() * width],
                            width,
                            grid: &x_grid,
                            pitch: grid.pitch,
                        };
                        let many = steps.len() / MANY * MANY;
                        for at in (0..many).step_by(MANY) {
                            rows.add::<V, MANY>(&steps[at..], &mut sums[at * V::LANES..]);
                        }
                        for at in (many..steps.len()).step_by(FEW) {
                            rows.add::<V, FEW>(&steps[at..], &mut sums[at * V::LANES..]);
                        }
                    }
                }
            }
            for (grad, sums) in grad[(next - first) * steps.len()..].iter_mut().zip(sums.chunks_mut(V::LANES))
            {
                *grad = V::from_slice(sums).sum();
                sums.fill(T::zero());
            }
            next = of_group.end;
        }
    }
}

/// Rows of one output and the grid of its inputs.
struct Rows<'a, T> {
    grad_output: &'a [T],
    width: usize,
    grid: &'a [T],
    pitch: usize,
}

impl<T: Scalar> Rows<'_, T> {
    /// `sums[k] += dy[q] grid[steps[k] + q]` for the first `N` steps, or as many as there are.
    #[inline(always)]
    fn add<V: Vector<Element = T>, const N: usize>(&self, steps: &[usize], sums: &mut [T]) {
        let valid = N.min(steps.len());
        let mut totals = [V::zero(); N];
        let mut from = [self.grid.as_ptr(); N];
        for k in 0..N {
            // Steps that are not there repeat the last one and are not written.
            let step = steps[k.min(valid - 1)];
            from[k] = self.grid[step..].as_ptr();
            totals[k] = V::from_slice(&sums[k.min(valid - 1) * V::LANES..]);
        }
        for (row, grad) in self.grad_output.chunks_exact(self.width).enumerate() {
            let skip = row * self.pitch;
            let mut at = 0;
            // SAFETY: every step of the grid is readable at each position of the block.
            unsafe {
                while at + V::LANES <= self.width {
                    let grad = V::load(grad.as_ptr().add(at));
                    for (total, from) in totals.iter_mut().zip(&from) {
                        *total = grad.mul_add(V::load(from.add(skip + at)), *total);
                    }
                    at += V::LANES;
                }
                if at < self.width {
                    let count = self.width - at;
                    let grad = V::load_part(grad.as_ptr().add(at), count);
                    for (total, from) in totals.iter_mut().zip(&from) {
                        *total = grad.mul_add(V::load_part(from.add(skip + at), count), *total);
                    }
                }
            }
        }
        for (total, sums) in totals.into_iter().zip(sums.chunks_mut(V::LANES)).take(valid) {
            total.write_to(sums);
        }
    }
}
