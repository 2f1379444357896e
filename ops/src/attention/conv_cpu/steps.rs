//! Convolution of sequences with a kernel for each step, forward.
//!
//! ```text
//! for each tile of steps, sequence and some heads, in parallel
//!     copy the rows of x that its taps read, steps outside the sequence as zeros
//!     copy or make the kernels
//!     for some steps at a time: go through the rows that any of them reads, each times its weight
//! ```

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::layout::{Shared, each};
use super::mix::{Mix, OUTPUTS, copy_row, copy_row_filled, softmax_row};
use crate::attention::dynamic_conv_per_step::StepGeometry;

/// Steps of a tile.
const STEPS: usize = 128;
/// Channels of a tile, about: as many heads as make so many.
const CHANNELS: usize = 64;
/// Every row of a tile is filled up to a multiple of this: the widest vector.
pub(super) const WIDEST: usize = 16;

/// Where the kernels come from.
#[derive(Clone, Copy)]
pub(in crate::attention) enum StepKernels<'a, T> {
    /// From an array (T, B, H, K), or (H, K) where `geometry.shared`.
    Given(&'a [T]),
    /// The softmax of an array (T, B, H, K): over all taps or over those within the sequence.
    Softmax(&'a [T], TapRange),
}

/// The taps a softmax runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapRange {
    /// All of them.
    All,
    /// Those within the sequence; the others get weight 0.
    Inside,
}

/// Consecutive steps of one sequence, some heads.
#[derive(Clone)]
pub(super) struct Tile {
    pub steps: Range<usize>,
    pub b: usize,
    pub heads: Range<usize>,
}

/// All tiles of `steps` steps.
pub(super) fn tiles(geometry: &StepGeometry, steps: usize) -> Vec<Tile> {
    let together = (CHANNELS / geometry.head_channels().max(1)).clamp(1, geometry.heads);
    let mut tiles = Vec::new();
    for start in (0..steps).step_by(STEPS) {
        for b in 0..geometry.batch {
            for head in (0..geometry.heads).step_by(together) {
                let heads = head..(head + together).min(geometry.heads);
                tiles.push(Tile { steps: start..(start + STEPS).min(steps), b, heads });
            }
        }
    }
    tiles
}

impl Tile {
    /// Multiplications in a tile.
    pub fn work(geometry: &StepGeometry) -> usize {
        STEPS * CHANNELS.max(geometry.head_channels()) * geometry.taps
    }
}

/// The instruction set whose vectors the channels of a head fill best.
pub(super) fn isa_for<T>(isa: Isa, geometry: &StepGeometry) -> Isa {
    let (wide, half) = (64 / size_of::<T>(), 32 / size_of::<T>());
    let channels = geometry.head_channels();
    let halves = !channels.is_multiple_of(wide) && channels.is_multiple_of(half);
    if isa == Isa::Avx512 && halves { Isa::Avx2 } else { isa }
}

/// Rows of channels of a tile, the channels of each head filled up with zeros to whole vectors.
pub(super) struct Rows<T: Scalar> {
    pub data: Buffer<T>, // (rows, heads, width)
    /// Numbers of one head.
    pub width: usize,
    /// Numbers of a row.
    pub pitch: usize,
}

impl<T: Scalar> Rows<T> {
    /// The rows of `values` (T, B, C) from step `first` on for a tile's sequence and heads; zeros outside.
    #[inline(always)]
    pub fn of<V: Vector<Element = T>>(
        geometry: &StepGeometry,
        tile: &Tile,
        values: &[T],
        first: isize,
        count: usize,
    ) -> Self {
        let channels = geometry.head_channels();
        let width = channels.next_multiple_of(V::LANES);
        let pitch = tile.heads.len() * width;
        let mut data = Buffer::arbitrary(count * pitch);
        let per_step = geometry.batch * geometry.channels;
        let steps = values.len() / per_step.max(1);
        for (i, row) in data.chunks_exact_mut(pitch.max(1)).enumerate() {
            let Some(step) = usize::try_from(first + i as isize).ok().filter(|&step| step < steps) else {
                row.fill(T::zero());
                continue;
            };
            let from = step * per_step + tile.b * geometry.channels + tile.heads.start * channels;
            let from = &values[from..from + tile.heads.len() * channels];
            for (head, row) in row.chunks_exact_mut(width).enumerate() {
                let from = &from[head * channels..][..channels];
                copy_row::<T, V>(from, row);
            }
        }
        Rows { data, width, pitch }
    }
}

/// The kernels of a tile.
pub(super) struct Weights<T: Scalar> {
    pub data: Buffer<T>, // (rows, heads, K)
    taps: usize,
    /// Numbers of a row; 0 where all steps share one.
    pub pitch: usize,
}

impl<T: Scalar> Weights<T> {
    /// Room for the kernels of some rows, zeros in it.
    pub fn zeros(geometry: &StepGeometry, tile: &Tile, rows: usize) -> Self {
        let pitch = tile.heads.len() * geometry.taps;
        let data = Buffer::zeros(pitch * if geometry.shared { 1 } else { rows });
        Weights { data, taps: geometry.taps, pitch: if geometry.shared { 0 } else { pitch } }
    }

    /// Where the kernel of one head lies in one row.
    pub fn at(&self, row: usize, head: usize) -> usize {
        row * self.pitch + head * self.taps
    }

    /// The kernels (T, B, H, K) of the steps from `first` on, or the ones that all share.
    #[inline(always)]
    pub fn of<V: Vector<Element = T>>(
        geometry: &StepGeometry,
        tile: &Tile,
        kernels: &[T],
        first: isize,
        count: usize,
    ) -> Self {
        let mut weights = Weights::zeros(geometry, tile, count);
        let rows = if geometry.shared { 1 } else { count };
        for row in 0..rows {
            let step = if geometry.shared { Some(0) } else { usize::try_from(first + row as isize).ok() };
            let Some(step) = step.filter(|&step| step < geometry.steps) else { continue };
            for (i, head) in tile.heads.clone().enumerate() {
                let from = &kernels[geometry.kernel_at(step, tile.b, head)..][..geometry.taps];
                let at = weights.at(row, i);
                copy_row::<T, V>(from, &mut weights.data[at..at + geometry.taps]);
            }
        }
        weights
    }
}

/// `y_t = sum_k w_tk x_{t+k}`, (T, B, C), and the kernels (T, B, H, K) where they are a softmax.
pub(in crate::attention) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &StepGeometry,
    x: &[T],
    kernels: StepKernels<T>,
) -> (Buffer<T>, Option<Buffer<T>>) {
    let StepGeometry { steps, batch, channels, heads, taps, .. } = *geometry;
    let mut y = Buffer::arbitrary(steps * batch * channels);
    let mut made = match kernels {
        StepKernels::Given(_) => None,
        StepKernels::Softmax(..) => Some(Buffer::arbitrary(steps * batch * heads * taps)),
    };
    let isa = isa_for::<T>(isa, geometry);
    let (into, made_into) = (Shared::new(&mut y), made.as_mut().map(|made| Shared::new(made)));
    each(tiles(geometry, steps), Tile::work(geometry), |_, tile| {
        let made = made_into.as_ref();
        simd::run_on(isa, Forward { geometry, tile, x, kernels, y: &into, made });
    });
    (y, made)
}

/// The outputs of one tile.
struct Forward<'a, T> {
    geometry: &'a StepGeometry,
    tile: Tile,
    x: &'a [T],
    kernels: StepKernels<'a, T>,
    y: &'a Shared<'a, T>,
    made: Option<&'a Shared<'a, T>>,
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (geometry, tile) = (self.geometry, &self.tile);
        let taps = geometry.taps;
        let count = tile.steps.len().next_multiple_of(OUTPUTS);
        let first = tile.steps.start as isize;
        let x = Rows::of::<V>(geometry, tile, self.x, first + geometry.first_tap, count + taps - 1);
        let weights = match self.kernels {
            StepKernels::Given(kernels) => Weights::of::<V>(geometry, tile, kernels, first, count),
            StepKernels::Softmax(logits, range) => self.softmax::<V>(logits, range, count),
        };
        for head in 0..tile.heads.len() {
            let mix = Mix {
                rows: x.data[head * x.width..].as_ptr(),
                pitch: x.pitch,
                weights: weights.data[weights.at(0, head)..].as_ptr(),
                // Row i is tap i - r of output r.
                row_step: 1,
                output_step: weights.pitch as isize - 1,
                taps,
            };
            // SAFETY: there are `count + taps - 1` rows of x and kernels for `count` outputs; the tile's steps
            // and heads of y belong to this task alone.
            unsafe { mix.write::<V>(&x, weights.pitch, &Outputs::of(geometry, tile, head, self.y)) };
        }
    }
}

impl<T: Scalar> Forward<'_, T> {
    /// Makes the kernels of the tile: those that are convolved with, and those that are kept.
    #[inline(always)]
    fn softmax<V: Vector<Element = T>>(&self, logits: &[T], range: TapRange, count: usize) -> Weights<T> {
        let (geometry, tile, taps) = (self.geometry, &self.tile, self.geometry.taps);
        let mut weights = Weights::zeros(geometry, tile, count);
        let mut row = Buffer::arbitrary(taps.next_multiple_of(WIDEST));
        for (i, step) in tile.steps.clone().enumerate() {
            let inside = match range {
                TapRange::All => 0..taps,
                TapRange::Inside => geometry.taps_inside(step),
            };
            for (j, head) in tile.heads.clone().enumerate() {
                let from = geometry.kernel_at(step, tile.b, head);
                copy_row_filled::<T, V>(&logits[from..from + taps], &mut row, T::neg_infinity());
                row[..inside.start].fill(T::neg_infinity());
                row[inside.end..taps].fill(T::neg_infinity());
                if inside.is_empty() {
                    row.fill(T::zero());
                } else {
                    softmax_row::<T, V>(&mut row);
                }
                let at = weights.at(i, j);
                copy_row::<T, V>(&row[..taps], &mut weights.data[at..at + taps]);
                if let Some(made) = self.made {
                    // SAFETY: the kernels of this tile's steps and heads belong to this task alone.
                    copy_row::<T, V>(&row[..taps], unsafe { made.row(from, taps) });
                }
            }
        }
        weights
    }
}

/// Where the outputs of one head of a tile go.
pub(super) struct Outputs<'a, T> {
    values: &'a Shared<'a, T>,
    first: usize,
    stride: usize,
    count: usize,
    channels: usize,
}

impl<'a, T> Outputs<'a, T> {
    /// Those of the `head`th head of a tile in `values` (T, B, C).
    pub fn of(geometry: &StepGeometry, tile: &Tile, head: usize, values: &'a Shared<'a, T>) -> Self {
        let channels = geometry.head_channels();
        let stride = geometry.batch * geometry.channels;
        let first =
            tile.steps.start * stride + tile.b * geometry.channels + (tile.heads.start + head) * channels;
        Outputs { values, first, stride, count: tile.steps.len(), channels }
    }
}

impl<T: Scalar> Mix<T> {
    /// Computes all outputs of a head, those from output `l` on with the rows from `l` on and the weights
    /// `l * advance` further.
    ///
    /// # Safety
    /// There must be rows and weights for the outputs, rounded up to [`OUTPUTS`], and the outputs belong to
    /// the caller alone.
    #[inline(always)]
    pub unsafe fn write<V: Vector<Element = T>>(&self, rows: &Rows<T>, advance: usize, outputs: &Outputs<T>) {
        let mut at = 0;
        while at < rows.width {
            // SAFETY: the caller vouches for the rest.
            at += unsafe {
                match ((rows.width - at) / V::LANES, self.taps) {
                    (4.., 2..) => self.write_some::<V, 4, { OUTPUTS / 4 }>(at, advance, outputs),
                    (2.., 4..) => self.write_some::<V, 2, { OUTPUTS / 2 }>(at, advance, outputs),
                    (_, 8..) => self.write_some::<V, 1, OUTPUTS>(at, advance, outputs),
                    (_, 4..) => self.write_some::<V, 1, { OUTPUTS / 2 }>(at, advance, outputs),
                    _ => self.write_some::<V, 1, 1>(at, advance, outputs),
                }
            };
        }
    }

    /// `NV` vectors of channels from `at` on of all outputs, `R` outputs at a time.
    #[inline(always)]
    unsafe fn write_some<V: Vector<Element = T>, const NV: usize, const R: usize>(
        &self,
        at: usize,
        advance: usize,
        outputs: &Outputs<T>,
    ) -> usize {
        for first in (0..outputs.count).step_by(R) {
            let mix = Mix {
                rows: self.rows.wrapping_add(first * self.pitch + at),
                weights: self.weights.wrapping_add(first * advance),
                ..*self
            };
            // SAFETY: the caller vouches for rows, weights and outputs.
            unsafe {
                let sums = mix.sum::<V, NV, R>();
                for (r, sums) in sums.iter().enumerate().take(outputs.count - first) {
                    let into =
                        outputs.values.row(outputs.first + (first + r) * outputs.stride, outputs.channels);
                    for (into, &sum) in into[at..].chunks_mut(V::LANES).zip(sums) {
                        sum.write_to(into);
                    }
                }
            }
        }
        NV * V::LANES
    }
}
