//! Convolution with a kernel for each output, backward.
//!
//! ```text
//! for each band of outputs, in parallel
//!     for each block of outputs, for some groups of channels at a time
//!         make the kernels again
//!         dw = <dy, x> under each tap; dx from the kernels and dy, a row of outputs at a time
//!         where kernels are predicted:
//!             ds = w (dw - sum w dw)
//!             dx at the queries += d^T ds, dd += ds queries^T
//! add up the dx and dd of all bands, in order
//! ```
//!
//! A band has a dx of its own, of the rows that its taps reach.

mod gradients;

use std::ops::Range;

use ndarray::ArrayViewMut2;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::frame::{Block, Frame, WIDEST};
use super::kernels::{Kernels, Source};
use super::layout::{Add, each, split_at};
use super::position::{Sources, block_kept_len, output_work, sample_kept_len};
use super::product::product;
use crate::attention::dynamic_conv_per_position::PositionGeometry;
use crate::gemm::matrix_mut;
use crate::par;

/// Bands that are computed at a time, of one sample or of several: enough for as many threads, few enough
/// that what each holds of dx and dd does not add up.
const BANDS: usize = 8;

/// Gradients in the input and in what the kernels come from, as far as they are needed.
pub(in crate::attention) fn backward<T: Scalar>(
    isa: Isa,
    geometry: &PositionGeometry,
    x: &[T],
    sources: Sources<T>,
    grad_output: &[T],
    [needs_x, needs_source]: [bool; 2],
) -> [Option<Buffer<T>>; 2] {
    let PositionGeometry { batch, channels, groups, window } = *geometry;
    let (positions, pixels, rows) = (window.positions(), window.pixels(), groups * window.taps());
    if channels == 0 {
        let source = if let Sources::Given(kernels) = sources { kernels.len() } else { 0 };
        return [needs_x.then(|| Buffer::zeros(0)), needs_source.then(|| Buffer::zeros(source))];
    }
    let frame = Frame::new(window);
    let blocks = frame.blocks();
    let mut grad_x = needs_x.then(|| Buffer::zeros(batch * channels * pixels));
    let (d, kept) = match sources {
        Sources::Predicted(d, kept) => (Some(d), kept),
        Sources::Given(_) => (None, None),
    };
    let predicted = d.is_some();
    let sample_kept = sample_kept_len(geometry, &blocks);
    let mut grad_given = (needs_source && !predicted).then(|| Buffer::arbitrary(batch * rows * positions));
    let mut sums: Vec<Buffer<T>> = Vec::new();
    for first in (0..batch).step_by(BANDS) {
        let samples = first..(first + BANDS).min(batch);
        let together = blocks.len().div_ceil((BANDS / samples.len()).max(1)).max(1);
        let framed = par::map(samples.len(), channels * frame.plane(), |i| {
            frame.around(&x[(first + i) * channels * pixels..], channels)
        });
        let widths: Vec<usize> =
            blocks.chunks(together).map(|band| band.iter().map(Block::outputs).sum()).collect();
        let mut given = grad_given.iter_mut().flat_map(|grad| {
            let len = rows * positions;
            let grads = grad[samples.start * len..samples.end * len].chunks_mut(len);
            grads.flat_map(|grad| split_at(matrix_mut(grad, rows, positions), &widths))
        });
        let mut bands = Vec::new();
        for n in samples.clone() {
            for blocks in blocks.chunks(together) {
                if needs_source && predicted && sums.len() == bands.len() {
                    sums.push(Buffer::zeros(rows * channels));
                }
                bands.push(Band {
                    geometry,
                    frame: &frame,
                    source: sources.of(geometry, n),
                    d,
                    kept: kept.map(|kept| &kept[n * sample_kept..][..sample_kept]),
                    x: &framed[n - first],
                    grad_output: &grad_output[n * channels * positions..][..channels * positions],
                    blocks,
                    needs_x,
                    grad_given: given.next(),
                    grad_d: None,
                });
            }
        }
        bands.iter_mut().zip(&mut sums).for_each(|(band, sum)| band.grad_d = Some(sum));
        let work = 3 * output_work(geometry, &sources) * widths[0];
        let reached = each(bands, work, |_, band| simd::run_on(isa, band));
        if let Some(grad_x) = &mut grad_x {
            let grad_x = &mut grad_x[first * channels * pixels..][..samples.len() * channels * pixels];
            par::for_each_chunk(grad_x, pixels, 2 * pixels, |index, plane| {
                let (sample, channel) = (index / channels, index % channels);
                for (framed, rows) in reached.chunks(widths.len()).nth(sample).into_iter().flatten().flatten()
                {
                    let len = rows.len() * frame.line();
                    frame.add_inside(&framed[channel * len..][..len], rows.start, plane);
                }
            });
        }
    }
    let grad_d = (needs_source && predicted).then(|| {
        let mut sums = sums.into_iter();
        let mut sum = sums.next().unwrap_or_else(|| Buffer::zeros(rows * channels));
        sums.for_each(|term| simd::run_on(isa, Add { sum: &mut sum, term: &term }));
        sum
    });
    [grad_x, if predicted { grad_d } else { grad_given }]
}

/// Consecutive blocks of one sample.
struct Band<'a, T: Scalar> {
    geometry: &'a PositionGeometry,
    frame: &'a Frame,
    source: Source<'a, T>,
    d: Option<&'a [T]>,    // (G taps, C)
    kept: Option<&'a [T]>, // for each block, see `Source::Kept`
    x: &'a [T],            // (C, rows, classes, width)
    grad_output: &'a [T],  // (C, positions)
    blocks: &'a [Block],
    needs_x: bool,
    grad_given: Option<ArrayViewMut2<'a, T>>, // (G taps, positions of the band)
    grad_d: Option<&'a mut Buffer<T>>,        // (G taps, C)
}

/// Numbers that a band works with.
struct Scratch<T: Scalar> {
    /// Gradient of the output times the scale of the kernels, with zeros on either side.
    /// // (channels of a group, margin + width + margin)
    cotangent: Buffer<T>,
    margin: usize,
    /// Gradient of the kernels of one group along one row, and its sum times the kernels. // (taps + 1, width)
    grad_kernel: Buffer<T>,
    /// Gradient of the queries. // (C, lanes)
    grad_queries: Buffer<T>,
    /// The queries the other way round. // (lanes, C)
    queries: Buffer<T>,
    /// Gradient of the framed input, some rows of it. // (C, rows, classes, width)
    grad_x: Buffer<T>,
    /// Which rows.
    rows: Range<usize>,
    /// The taps of each row and class of columns: which one, and how far right it reads.
    taps: Vec<(usize, Vec<(usize, usize)>)>,
}

impl<T: Scalar> Kernel<T> for Band<'_, T> {
    /// Gradient of the framed input, and the rows that it is of.
    type Output = Option<(Buffer<T>, Range<usize>)>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(mut self) -> Self::Output {
        let &PositionGeometry { channels, groups, window, .. } = self.geometry;
        let lanes = self.blocks.iter().map(Block::lanes).max().unwrap_or(0);
        let mut kernels = Kernels::new(self.frame, channels, groups, lanes);
        let mut scratch = self.scratch(lanes);
        let mut at = 0;
        for block in self.blocks {
            let lanes = block.lanes();
            let source = match self.kept {
                Some(kept) => {
                    let from = block_kept_len(self.geometry, block.first_lane);
                    Source::Kept(&kept[from..][..block_kept_len(self.geometry, lanes)])
                }
                None => self.source,
            };
            if self.d.is_some() {
                kernels.query(self.frame, self.x, block);
                turn(&kernels.queries, lanes, &mut scratch.queries, channels);
            }
            for (index, run) in kernels.runs(groups).into_iter().enumerate() {
                kernels.make::<V>(&source, run.clone(), channels, self.frame, block);
                for group in run.clone() {
                    for row in 0..block.rows.len() {
                        self.row::<V>(&mut kernels, &mut scratch, group, block, row, at);
                    }
                }
                if let Some(d) = self.d {
                    let rows = run.start * window.taps()..run.end * window.taps();
                    let (values, queries) = (kernels.values_mut(), &scratch.queries);
                    if self.needs_x {
                        let d = &d[rows.start * channels..rows.end * channels];
                        product::<T, V>(
                            [channels, lanes, rows.len()],
                            (d, 1, channels),
                            (values, lanes),
                            (&mut scratch.grad_queries, lanes),
                            index > 0,
                        );
                    }
                    if let Some(grad) = &mut self.grad_d {
                        product::<T, V>(
                            [rows.len(), channels, lanes],
                            (values, lanes, 1),
                            (queries, channels),
                            (&mut grad[rows.start * channels..], channels),
                            true,
                        );
                    }
                }
            }
            if self.d.is_some() && self.needs_x {
                self.add_queries::<V>(&mut scratch, block);
            }
            at += block.outputs();
        }
        if self.needs_x { Some((scratch.grad_x, scratch.rows)) } else { None }
    }
}

impl<T: Scalar> Band<'_, T> {
    fn scratch(&self, lanes: usize) -> Scratch<T> {
        let &PositionGeometry { channels, groups, window, .. } = self.geometry;
        let frame = self.frame;
        let [first, last] = [self.blocks.first(), self.blocks.last()].map(|block| block.expect("a block"));
        let extent = (window.dilation[0] * (window.kernel[0] - 1)).max(window.padding[0]);
        let start = first.rows.start * window.stride[0];
        let rows = start..(last.rows.end - 1) * window.stride[0] + extent + 1;
        let width = self.blocks.iter().map(Block::width).max().unwrap_or(0);
        let margin = (frame.reach + WIDEST).next_multiple_of(WIDEST);
        let mut taps = Vec::new();
        for i in 0..window.kernel[0] {
            for class in 0..frame.classes {
                let row = (i * window.dilation[0] * frame.classes + class) * frame.width;
                let of_class = (0..window.kernel[1])
                    .filter(|j| j * window.dilation[1] % frame.classes == class)
                    .map(|j| (i * window.kernel[1] + j, j * window.dilation[1] / frame.classes));
                taps.push((row, of_class.collect::<Vec<_>>()));
            }
        }
        taps.retain(|(_, taps)| !taps.is_empty());
        Scratch {
            cotangent: Buffer::zeros(channels / groups * (width + 2 * margin)),
            margin,
            grad_kernel: Buffer::arbitrary((window.taps() + 1) * width),
            grad_queries: Buffer::arbitrary(channels * lanes),
            queries: Buffer::arbitrary(channels * lanes),
            grad_x: Buffer::zeros(if self.needs_x { channels * rows.len() * frame.line() } else { 0 }),
            rows,
            taps,
        }
    }

    /// One row of a block's outputs, for one group. Where kernels are predicted, their gradient before the
    /// softmax takes their place.
    #[inline(always)]
    fn row<V: Vector<Element = T>>(
        &mut self,
        kernels: &mut Kernels<T>,
        scratch: &mut Scratch<T>,
        group: usize,
        block: &Block,
        row: usize,
        at: usize,
    ) {
        let window = &self.geometry.window;
        let together = self.geometry.channels / self.geometry.groups;
        let (width, cols, taps) = (block.width(), block.cols.len(), window.taps());
        let channels = group * together..(group + 1) * together;
        // dy times the scale.
        let pitch = width + 2 * scratch.margin;
        let output = (block.rows.start + row) * window.output[1] + block.cols.start;
        let scales = &kernels.scales(group)[row * width..][..width];
        for (channel, into) in channels.clone().zip(scratch.cotangent.chunks_mut(pitch)) {
            let from = &self.grad_output[channel * window.positions() + output..][..cols];
            let (before, into) = into.split_at_mut(scratch.margin);
            before.fill(T::zero());
            for col in (0..width).step_by(V::LANES) {
                let from = V::from_slice(from.get(col..).unwrap_or(&[]));
                (from * V::from_slice(&scales[col..])).write_to(&mut into[col..]);
            }
            into[width..].fill(T::zero());
        }
        if self.d.is_some() || self.grad_given.is_some() {
            self.kernel_gradients::<V>(kernels, scratch, &channels, block, row);
        }
        if self.needs_x {
            self.input_gradients::<V>(kernels, scratch, &channels, block, row);
        }
        let (grad_kernel, total) = scratch.grad_kernel.split_at(taps * width);
        assert!(total.len() >= width && width.is_multiple_of(V::LANES));
        if self.d.is_some() {
            // ds = w (dw - sum w dw)
            let (first, lanes) = (kernels.groups.start, kernels.lanes);
            let values = &mut kernels.values_mut()[(group - first) * taps * lanes..][..taps * lanes];
            for (values, grad) in values.chunks_mut(lanes).zip(grad_kernel.chunks_exact(width)) {
                let values = &mut values[row * width..][..width];
                // SAFETY: `width` is a whole number of vectors, and all three rows are that long.
                unsafe {
                    for col in (0..width).step_by(V::LANES) {
                        let (value, total) = (values.as_mut_ptr().add(col), V::load(total.as_ptr().add(col)));
                        (V::load(value) * (V::load(grad.as_ptr().add(col)) - total)).store(value);
                    }
                }
            }
        } else if let Some(grad) = &mut self.grad_given {
            let first = at + row * cols;
            for (tap, from) in grad_kernel.chunks(width).take(taps).enumerate() {
                let into =
                    grad.row_mut(group * taps + tap).into_slice().expect("rows of planes are contiguous");
                into[first..first + cols].copy_from_slice(&from[..cols]);
            }
        }
    }

    /// Adds the gradient of the queries where they were read.
    #[inline(always)]
    fn add_queries<V: Vector<Element = T>>(&self, scratch: &mut Scratch<T>, block: &Block) {
        let frame = self.frame;
        let plane = scratch.rows.len() * frame.line();
        let gradients = scratch.grad_queries.chunks(block.lanes());
        for (gradients, plane) in gradients.zip(scratch.grad_x.chunks_mut(plane)) {
            for (row, gradients) in block.rows.clone().zip(gradients.chunks(block.width())) {
                let first = (row * frame.window.stride[0] - scratch.rows.start) * frame.line();
                let into = &mut plane[first + frame.query + block.cols.start..][..block.cols.len()];
                for (into, from) in into.chunks_mut(V::LANES).zip(gradients.chunks(V::LANES)) {
                    (V::from_slice(into) + V::from_slice(&from[..into.len()])).write_to(into);
                }
            }
        }
    }
}

/// `rows` (channels, lanes) the other way round.
#[inline(always)]
fn turn<T: Copy>(rows: &[T], lanes: usize, turned: &mut [T], channels: usize) {
    for (channel, row) in rows.chunks(lanes).take(channels).enumerate() {
        for (into, &value) in turned[channel..].iter_mut().step_by(channels).zip(row) {
            *into = value;
        }
    }
}
