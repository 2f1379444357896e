//! Convolution with a kernel for each output, forward: see [`super::kernels`] for where kernels come from.

use ndarray::ArrayViewMut2;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::frame::{Block, Frame};
use super::kernels::{Kernels, Source};
use super::layout::{each, split_at};
use crate::attention::dynamic_conv_per_position::PositionGeometry;
use crate::gemm::matrix_mut;

/// Where the kernels of all samples come from.
#[derive(Clone, Copy)]
pub(in crate::attention) enum Sources<'a, T> {
    /// The softmax over the taps of `d x_q`, for `d` (G taps, C); made before, if they were kept.
    Predicted(&'a [T], Option<&'a [T]>),
    /// From an array. // (N, G, taps, positions)
    Given(&'a [T]),
}

/// Most numbers of kernels that are kept from forward to backward (16 MiB of `f32`). Beyond, they are made again.
const KEPT: usize = 1 << 22;

/// Numbers to keep of predicted kernels, 0 if that is too many.
pub(in crate::attention) fn kept_len(geometry: &PositionGeometry) -> usize {
    let len = geometry.batch * sample_kept_len(geometry, &Frame::new(geometry.window).blocks());
    if len <= KEPT { len } else { 0 }
}

/// Numbers to keep of one sample.
pub(super) fn sample_kept_len(geometry: &PositionGeometry, blocks: &[Block]) -> usize {
    block_kept_len(geometry, blocks.iter().map(Block::lanes).sum())
}

pub(super) fn block_kept_len(geometry: &PositionGeometry, lanes: usize) -> usize {
    geometry.groups * (geometry.window.taps() + 1) * lanes
}

/// Multiplications for one output.
pub(super) fn output_work<T>(geometry: &PositionGeometry, sources: &Sources<T>) -> usize {
    let taps = geometry.window.taps();
    match sources {
        Sources::Predicted(..) => (geometry.groups + 1) * taps * geometry.channels,
        Sources::Given(_) => taps * geometry.channels,
    }
}

/// `y_q = sum_j w_jq x_{q+j}`, (N, C, Ho, Wo), and the predicted kernels in `kept`, if there is room for them.
pub(in crate::attention) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &PositionGeometry,
    x: &[T],
    sources: Sources<T>,
    kept: &mut [T],
) -> Buffer<T> {
    let PositionGeometry { batch, channels, window, .. } = *geometry;
    let frame = Frame::new(window);
    let blocks = frame.blocks();
    let widths: Vec<usize> = blocks.iter().map(Block::outputs).collect();
    let work = output_work(geometry, &sources);
    let mut y = Buffer::arbitrary(batch * channels * window.positions());
    if y.is_empty() {
        return y;
    }
    let keep = !kept.is_empty();
    let mut kept = kept.chunks_mut(sample_kept_len(geometry, &blocks));
    let samples = y.chunks_mut(channels * window.positions()).map(|y| (y, kept.next())).collect();
    each(samples, work * window.positions(), |n, (y, kept): (&mut [T], _)| {
        let framed = frame.around(&x[n * channels * window.pixels()..], channels);
        let source = sources.of(geometry, n);
        let mut kept: &mut [T] = kept.unwrap_or(&mut []);
        let pieces = split_at(matrix_mut(y, channels, window.positions()), &widths).into_iter().zip(&blocks);
        let tasks = pieces.map(|(y, block)| {
            let len = if keep { block_kept_len(geometry, block.lanes()) } else { 0 };
            let (own, rest) = std::mem::take(&mut kept).split_at_mut(len);
            kept = rest;
            Outputs { geometry, frame: &frame, source, x: &framed, block, y, kept: own }
        });
        each(tasks.collect(), work * widths[0], |_, task| simd::run_on(isa, task));
    });
    y
}

impl<'a, T> Sources<'a, T> {
    /// Those of one sample, to be made.
    pub(super) fn of(&self, geometry: &PositionGeometry, n: usize) -> Source<'a, T> {
        match *self {
            Sources::Predicted(d, _) => Source::Predicted(d),
            Sources::Given(kernels) => {
                let len = geometry.groups * geometry.window.taps() * geometry.window.positions();
                Source::Given(&kernels[n * len..][..len])
            }
        }
    }
}

/// The outputs of one block.
struct Outputs<'a, T> {
    geometry: &'a PositionGeometry,
    frame: &'a Frame,
    source: Source<'a, T>,
    x: &'a [T], // (C, rows, classes, width)
    block: &'a Block,
    y: ArrayViewMut2<'a, T>, // (C, outputs)
    kept: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Outputs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(mut self) {
        let &PositionGeometry { channels, groups, .. } = self.geometry;
        let (frame, block) = (self.frame, self.block);
        let together = channels / groups;
        let mut kernels = Kernels::new(frame, channels, groups, block.lanes());
        if let Source::Predicted(_) = self.source {
            kernels.query(frame, self.x, block);
        }
        for run in kernels.runs(groups) {
            kernels.make::<V>(&self.source, run.clone(), channels, frame, block);
            if !self.kept.is_empty() {
                kernels.keep(groups, self.kept);
            }
            for group in run {
                let mut channel = group * together;
                while channel < (group + 1) * together {
                    channel += match (group + 1) * together - channel {
                        4.. => self.channels::<V, 4>(&kernels, group, channel),
                        2.. => self.channels::<V, 2>(&kernels, group, channel),
                        _ => self.channels::<V, 1>(&kernels, group, channel),
                    };
                }
            }
        }
    }
}

impl<T: Scalar> Outputs<'_, T> {
    /// `M` channels of a group from `channel` on; returns `M`.
    #[inline(always)]
    fn channels<V: Vector<Element = T>, const M: usize>(
        &mut self,
        kernels: &Kernels<T>,
        group: usize,
        channel: usize,
    ) -> usize {
        let (frame, block) = (self.frame, self.block);
        let (width, cols) = (block.width(), block.cols.len());
        let values = kernels.group(group);
        let scales = kernels.scales(group);
        let x = &self.x[channel * frame.plane()..(channel + M) * frame.plane()];
        for (i, row) in block.rows.clone().enumerate() {
            let x = &x[row * frame.window.stride[0] * frame.line() + block.cols.start..];
            for col in (0..cols).step_by(V::LANES) {
                let lane = i * width + col;
                let mut sums = [V::zero(); M];
                // SAFETY: the kernels of the group have `lanes` numbers for each tap, and lane is a
                // multiple of the lanes of a vector; every row of the frame goes on behind the
                // outputs as far as the taps reach, up to whole vectors.
                unsafe {
                    let (mut weight, x) = (values.add(lane), x.as_ptr().add(col));
                    for &tap in &frame.taps {
                        let w = V::load(weight);
                        for (m, sum) in sums.iter_mut().enumerate() {
                            *sum = w.mul_add(V::load(x.add(m * frame.plane() + tap)), *sum);
                        }
                        weight = weight.add(kernels.lanes);
                    }
                }
                let scale = V::from_slice(&scales[lane..]);
                for (m, &sum) in sums.iter().enumerate() {
                    let mut y = self.y.row_mut(channel + m);
                    let y = y.as_slice_mut().expect("rows of planes are contiguous");
                    (sum * scale)
                        .write_to(&mut y[i * cols + col..(i * cols + col + V::LANES).min((i + 1) * cols)]);
                }
            }
        }
        M
    }
}
