//! Convolution of sequences with a kernel for each step, backward.
//!
//! Two passes, each as the forward one: over the steps of the input, where `dx_s = sum_k w_{s-k,k} dy_{s-k}`
//! goes through the rows of dy that read `s`, so that nothing is scattered; and over those of the
//! output, where `dw_tk = <dy_t, x_{t+k}>` and, where kernels are a softmax, `ds = w (dw - <w, dw>)`.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::layout::{Add, Shared, each};
use super::mix::{Mix, OUTPUTS, copy_row, copy_row_filled, dots, softmax_row_backward};
use super::steps::{Outputs, Rows, Tile, WIDEST, Weights, isa_for, tiles};
use crate::attention::dynamic_conv_per_step::StepGeometry;

/// Taps of a shared kernel whose gradient is summed at a time.
const TAPS: usize = 8;

/// Gradients in the input and in the kernels, or in what they are a softmax of, as far as they are needed.
pub(in crate::attention) fn backward<T: Scalar>(
    isa: Isa,
    geometry: &StepGeometry,
    x: &[T],
    weights: &[T],
    softmax: bool,
    grad_output: &[T],
    [needs_x, needs_weights]: [bool; 2],
) -> [Option<Buffer<T>>; 2] {
    let isa = isa_for::<T>(isa, geometry);
    let grad_x = needs_x.then(|| {
        let mut grad = Buffer::arbitrary(x.len());
        let into = Shared::new(&mut grad);
        each(tiles(geometry, geometry.inputs), Tile::work(geometry), |_, tile| {
            simd::run_on(isa, Input { geometry, tile, weights, grad_output, grad: &into });
        });
        grad
    });
    let grad_weights = needs_weights.then(|| {
        if geometry.shared {
            return shared_gradient(isa, geometry, x, grad_output);
        }
        let mut grad = Buffer::arbitrary(weights.len());
        let into = Shared::new(&mut grad);
        each(tiles(geometry, geometry.steps), Tile::work(geometry), |_, tile| {
            let weights = softmax.then_some(weights);
            simd::run_on(isa, Kernels { geometry, tile, x, weights, grad_output, grad: &into });
        });
        grad
    });
    [grad_x, grad_weights]
}

/// The gradient of a kernel that all steps share. // (H, K)
fn shared_gradient<T: Scalar>(isa: Isa, geometry: &StepGeometry, x: &[T], grad_output: &[T]) -> Buffer<T> {
    let mut grad = Buffer::zeros(geometry.heads * geometry.taps);
    let tiles = tiles(geometry, geometry.steps);
    // Some tiles at a time, so that their sums do not add up to much.
    for some in tiles.chunks(64) {
        let terms = each(some.to_vec(), Tile::work(geometry), |_, tile| {
            let at = tile.heads.start * geometry.taps;
            (at, simd::run_on(isa, SharedKernels { geometry, tile, x, grad_output }))
        });
        for (at, term) in terms {
            simd::run_on(isa, Add { sum: &mut grad[at..at + term.len()], term: &term });
        }
    }
    grad
}

/// dx of one tile.
struct Input<'a, T> {
    geometry: &'a StepGeometry,
    /// Steps of the input.
    tile: Tile,
    weights: &'a [T],
    grad_output: &'a [T],
    grad: &'a Shared<'a, T>,
}

impl<T: Scalar> Kernel<T> for Input<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (geometry, tile, taps) = (self.geometry, &self.tile, self.geometry.taps);
        let count = tile.steps.len().next_multiple_of(OUTPUTS);
        // The step of the output whose last tap reads the first step of the tile.
        let first = tile.steps.start as isize - geometry.first_tap - (taps as isize - 1);
        let rows = Rows::of::<V>(geometry, tile, self.grad_output, first, count + taps - 1);
        let weights = Weights::of::<V>(geometry, tile, self.weights, first, count + taps - 1);
        for head in 0..tile.heads.len() {
            let mix = Mix {
                rows: rows.data[head * rows.width..].as_ptr(),
                pitch: rows.pitch,
                // Row i reads output r with its tap taps - 1 - (i - r).
                weights: weights.data[weights.at(0, head) + taps - 1..].as_ptr(),
                row_step: weights.pitch as isize - 1,
                output_step: 1,
                taps,
            };
            // SAFETY: there are `count + taps - 1` rows and kernels; the tile's steps and heads of dx belong to
            // this task alone.
            unsafe { mix.write::<V>(&rows, weights.pitch, &Outputs::of(geometry, tile, head, self.grad)) };
        }
    }
}

/// dw of one tile, or ds where `weights` are a softmax.
struct Kernels<'a, T> {
    geometry: &'a StepGeometry,
    tile: Tile,
    x: &'a [T],
    weights: Option<&'a [T]>,
    grad_output: &'a [T],
    grad: &'a Shared<'a, T>,
}

impl<T: Scalar> Kernel<T> for Kernels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let (geometry, tile, taps) = (self.geometry, &self.tile, self.geometry.taps);
        let (count, first) = (tile.steps.len(), tile.steps.start as isize);
        // Whole vectors of taps.
        let x = Rows::of::<V>(geometry, tile, self.x, first + geometry.first_tap, count + taps + WIDEST);
        let dy = Rows::of::<V>(geometry, tile, self.grad_output, first, count);
        let mut grad = Buffer::zeros(taps.next_multiple_of(WIDEST));
        let mut weights = Buffer::zeros(taps.next_multiple_of(WIDEST));
        for (i, step) in tile.steps.clone().enumerate() {
            for (j, head) in tile.heads.clone().enumerate() {
                let from = &x.data[i * x.pitch + j * x.width..];
                let dy = &dy.data[i * dy.pitch + j * dy.width..];
                // SAFETY: rows are whole vectors wide, and from row i on there are as many as whole vectors of
                // taps read.
                unsafe {
                    dots::<T, V>(dy.as_ptr(), from.as_ptr(), (x.width, x.pitch), taps, grad.as_mut_ptr());
                }
                let at = geometry.kernel_at(step, tile.b, head);
                if let Some(kernels) = self.weights {
                    copy_row_filled::<T, V>(&kernels[at..at + taps], &mut weights, T::zero());
                    softmax_row_backward::<T, V>(&weights, &mut grad);
                }
                // SAFETY: the kernels of this tile's steps and heads belong to this task alone.
                copy_row::<T, V>(&grad[..taps], unsafe { self.grad.row(at, taps) });
            }
        }
    }
}

/// What one tile adds to dw of a shared kernel. // (heads, K)
struct SharedKernels<'a, T> {
    geometry: &'a StepGeometry,
    tile: Tile,
    x: &'a [T],
    grad_output: &'a [T],
}

impl<T: Scalar> Kernel<T> for SharedKernels<'_, T> {
    type Output = Buffer<T>;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> Buffer<T> {
        let (geometry, tile, taps) = (self.geometry, &self.tile, self.geometry.taps);
        let (count, first) = (tile.steps.len(), tile.steps.start as isize);
        let x = Rows::of::<V>(geometry, tile, self.x, first + geometry.first_tap, count + taps + TAPS);
        let dy = Rows::of::<V>(geometry, tile, self.grad_output, first, count);
        let mut grad = Buffer::zeros(tile.heads.len() * taps);
        for head in 0..tile.heads.len() {
            for tap in (0..taps).step_by(TAPS) {
                let mut sums = [V::zero(); TAPS];
                for i in 0..count {
                    for at in (0..x.width).step_by(V::LANES) {
                        let dy = V::from_slice(&dy.data[i * dy.pitch + head * dy.width + at..]);
                        let rows = &x.data[(i + tap) * x.pitch + head * x.width + at..];
                        for (j, sum) in sums.iter_mut().enumerate() {
                            *sum = dy.mul_add(V::from_slice(&rows[j * x.pitch..]), *sum);
                        }
                    }
                }
                let grad = &mut grad[head * taps..(head + 1) * taps];
                for (grad, sum) in grad[tap..].iter_mut().zip(sums) {
                    *grad = sum.sum();
                }
            }
        }
        grad
    }
}
