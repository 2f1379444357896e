//! The inner loop of the backward of deformable convolution, and the rows of dx that it reaches.

use std::ops::Range;

use ndarray::ArrayViewMut2;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::corners::{BLOCK, Corners, Taps};
use super::deformable::{Plan, interpolate};
use super::layout::{each, split_columns};
use crate::gemm::matrix_mut;

/// Pixels of dx that are added up at a time.
const PIXELS: usize = 64;

/// What a band adds to dx: some rows of the image, channels last, and a pixel for all that lies outside.
pub(super) struct Reached<T: Scalar> {
    pixels: Range<usize>,
    grad: Buffer<T>, // (pixels + 1, C)
}

impl<T: Scalar> Reached<T> {
    /// Zeros, in the rows that the taps of some blocks reach.
    #[inline(always)]
    pub fn of<V: Vector<Element = T>>(plan: &Plan, taps: &Taps<T>, blocks: Range<usize>) -> Self {
        let [height, width] = plan.conv.window.image;
        let mut rows = 0..height;
        if taps.geometry.axes == 2 {
            let (far, end) = (V::splat(T::infinity()), V::splat(T::of(height as f64)));
            let below = V::splat(T::of(-2.0));
            let (mut first, mut last) = (far, -far);
            for block in blocks {
                let outputs = plan.outputs(block);
                let origins = taps.origins(&outputs);
                for slot in 0..taps.slots() {
                    for i in (0..outputs.len()).step_by(V::LANES) {
                        let floor = taps.along::<V>(slot, 0, &outputs, &origins, i).floor;
                        first = V::select(below.lt(floor), floor, far).min(first);
                        last = V::select(floor.lt(end), floor, -far).max(last);
                    }
                }
            }
            let (first, last) = (-(-first).max_lane(), last.max_lane());
            // The pixels around a position lie in the row it rounds down to and in the next.
            let row = |at: T| (at.as_f64() as i64).clamp(0, height as i64) as usize;
            rows = row(first)..row(last + T::of(2.0));
        }
        let pixels = rows.start * width..rows.end.max(rows.start) * width;
        let grad = Buffer::zeros((pixels.len() + 1) * plan.conv.in_channels);
        Reached { pixels, grad }
    }

    /// The sum of what the bands of one sample reached. // (C, H * W)
    pub fn add_up(isa: Isa, bands: &[Option<Self>], channels: usize, pixels: usize, planes: &mut [T]) {
        if planes.is_empty() {
            return;
        }
        let chunks = split_columns(matrix_mut(planes, channels, pixels), PIXELS);
        each(chunks, 4 * channels * PIXELS, |chunk, planes| {
            simd::run_on(isa, AddUp { bands, first: chunk * PIXELS, planes });
        });
    }
}

struct AddUp<'a, T: Scalar> {
    bands: &'a [Option<Reached<T>>],
    first: usize,
    planes: ArrayViewMut2<'a, T>,
}

impl<T: Scalar> Kernel<T> for AddUp<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(mut self) {
        let (channels, count) = self.planes.dim();
        let chunk = self.first..self.first + count;
        let mut sum = Buffer::zeros(count * channels);
        for band in self.bands.iter().flatten() {
            let common = chunk.start.max(band.pixels.start)..chunk.end.min(band.pixels.end);
            if common.is_empty() {
                continue;
            }
            let part = |from: usize| (common.start - from) * channels..(common.end - from) * channels;
            let (sum, band) = (&mut sum[part(chunk.start)], &band.grad[part(band.pixels.start)]);
            for (sum, band) in sum.chunks_mut(V::LANES).zip(band.chunks(V::LANES)) {
                (V::from_slice(sum) + V::from_slice(band)).write_to(sum);
            }
        }
        for (channel, mut plane) in self.planes.rows_mut().into_iter().enumerate() {
            let plane = plane.as_slice_mut().expect("rows of planes are contiguous");
            for (plane, &value) in plane.iter_mut().zip(sum[channel..].iter().step_by(channels)) {
                *plane = value;
            }
        }
    }
}

/// For the first `count` outputs of a block, with `columns` holding the gradient of the columns: adds it to
/// `reached`, adds its products with the corners to `sums` (slots, N, BLOCK) and, if `COLUMNS`, puts the
/// columns themselves in its place.
#[inline(always)]
pub(super) fn spread<T: Scalar, V: Vector<Element = T>, const N: usize, const COLUMNS: bool>(
    plan: &Plan,
    corners: &Corners<T, N>,
    x: &[T],
    count: usize,
    reached: Option<&mut Reached<T>>,
    sums: &mut [T],
    columns: &mut [T],
) {
    let stride = plan.conv.in_channels;
    assert!(x.len() == (plan.conv.window.pixels() + 1) * stride && columns.len() >= count * plan.row);
    let columns = columns.as_mut_ptr();
    let (grad, pixels) = match reached {
        Some(reached) => (reached.grad.as_mut_ptr(), reached.pixels.clone()),
        None => (std::ptr::null_mut(), 0..0),
    };
    let segments = plan.segments();
    for i in 0..count {
        for segment in &segments {
            let (pixel, weight) = corners.of(segment.slot);
            let sums = &mut sums[segment.slot * N * BLOCK..][..N * BLOCK];
            let channels = segment.channels.len();
            let pixel: [usize; N] = std::array::from_fn(|k| pixel[k * BLOCK + i] as usize);
            // SAFETY: corners are pixels of the image or the one after it, of which x has all channels; those
            // with a row that `reached` lacks lie outside, and share its last pixel; the segment lies in
            // row i of the columns.
            unsafe {
                let row = Row::<V, N> {
                    weight: std::array::from_fn(|k| V::splat(weight[k * BLOCK + i])),
                    from: pixel.map(|pixel| x.as_ptr().add(pixel * stride + segment.channels.start)),
                    into: pixel.map(|pixel| {
                        let place = pixel.wrapping_sub(pixels.start).min(pixels.len());
                        grad.wrapping_add(place * stride + segment.channels.start)
                    }),
                    column: columns.add(i * plan.row + segment.at),
                };
                let totals = if grad.is_null() {
                    row.spread::<COLUMNS, false>(channels)
                } else {
                    row.spread::<COLUMNS, true>(channels)
                };
                for (k, total) in totals.into_iter().enumerate() {
                    sums[k * BLOCK + i] += total.sum();
                }
            }
        }
    }
}

/// One tap of one output: `column = sum_k weight_k from_k`.
struct Row<V: Vector, const N: usize> {
    weight: [V; N],
    from: [*const V::Element; N],
    into: [*mut V::Element; N],
    column: *mut V::Element,
}

impl<V: Vector, const N: usize> Row<V, N> {
    /// All channels; returns `<dcolumn, from_k>`, still in lanes.
    ///
    /// # Safety
    /// The pointers must be to that many numbers each, `into` only if `SCATTER`.
    #[inline(always)]
    unsafe fn spread<const COLUMNS: bool, const SCATTER: bool>(&self, channels: usize) -> [V; N] {
        let mut totals = [V::zero(); N];
        let mut c = 0;
        // SAFETY: the caller vouches for `channels` numbers everywhere.
        unsafe {
            while c + V::LANES <= channels {
                let gradient = V::load(self.column.add(c));
                let corner = self.from.map(|from| V::load(from.add(c)));
                for k in 0..N {
                    totals[k] = gradient.mul_add(corner[k], totals[k]);
                }
                if COLUMNS {
                    interpolate(&self.weight, corner).store(self.column.add(c));
                }
                if SCATTER {
                    // One after the other: corners outside share a place.
                    for k in 0..N {
                        let into = self.into[k].add(c);
                        gradient.mul_add(self.weight[k], V::load(into)).store(into);
                    }
                }
                c += V::LANES;
            }
            if c < channels {
                let rest = channels - c;
                let gradient = V::load_part(self.column.add(c), rest);
                let corner = self.from.map(|from| V::load_part(from.add(c), rest));
                for k in 0..N {
                    totals[k] = gradient.mul_add(corner[k], totals[k]);
                }
                if COLUMNS {
                    interpolate(&self.weight, corner).store_part(self.column.add(c), rest);
                }
                if SCATTER {
                    for k in 0..N {
                        let into = self.into[k].add(c);
                        gradient.mul_add(self.weight[k], V::load_part(into, rest)).store_part(into, rest);
                    }
                }
            }
        }
        totals
    }
}
