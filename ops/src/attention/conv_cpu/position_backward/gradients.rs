//! The two sums over taps and channels for one row of outputs: gradients of the kernels, and of the input.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::simd::Vector;

use super::super::frame::Block;
use super::super::kernels::Kernels;
use super::{Band, Scratch};

impl<T: Scalar> Band<'_, T> {
    /// `dw = <dy, x>` under each tap, times the scale, and `sum w dw`.
    #[inline(always)]
    pub(super) fn kernel_gradients<V: Vector<Element = T>>(
        &self,
        kernels: &Kernels<T>,
        scratch: &mut Scratch<T>,
        channels: &Range<usize>,
        block: &Block,
        row: usize,
    ) {
        let frame = self.frame;
        let (width, taps) = (block.width(), frame.window.taps());
        let group = channels.start / channels.len();
        let pitch = width + 2 * scratch.margin;
        let row_at = (block.rows.start + row) * frame.window.stride[0] * frame.line() + block.cols.start;
        let (grad, total) = scratch.grad_kernel.split_at_mut(taps * width);
        for col in (0..width).step_by(V::LANES) {
            let values = kernels.group(group).wrapping_add(row * width + col);
            let mut channel = 0;
            while channel < channels.len() {
                let x = &self.x[(channels.start + channel) * frame.plane() + row_at + col..];
                let cotangent = &scratch.cotangent[channel * pitch + scratch.margin + col..];
                let under = UnderTaps {
                    taps: &frame.taps,
                    x,
                    plane: frame.plane(),
                    cotangent,
                    pitch,
                    values,
                    lanes: kernels.lanes,
                };
                let (grad, total) = (&mut grad[col..], &mut total[col..]);
                // SAFETY: rows of the frame go on behind the outputs as far as the taps reach, up to whole
                // vectors; the others are `width` long, and the kernels of a group have `lanes` numbers
                // for each tap, of which this row is part.
                channel += unsafe {
                    match channels.len() - channel {
                        4.. => under.sum::<V, 4>(grad, width, channel > 0, total),
                        2.. => under.sum::<V, 2>(grad, width, channel > 0, total),
                        _ => under.sum::<V, 1>(grad, width, channel > 0, total),
                    }
                };
            }
            let total = &mut total[col..];
            (V::from_slice(total) * V::from_slice(&kernels.scales(group)[row * width + col..]))
                .write_to(total);
        }
    }

    /// `dx_{q+j} += w_jq dy_q`, for each place in the input the sum over the taps of a row of the kernel.
    #[inline(always)]
    pub(super) fn input_gradients<V: Vector<Element = T>>(
        &self,
        kernels: &Kernels<T>,
        scratch: &mut Scratch<T>,
        channels: &Range<usize>,
        block: &Block,
        row: usize,
    ) {
        let frame = self.frame;
        let width = block.width();
        let (pitch, plane) = (width + 2 * scratch.margin, scratch.rows.len() * frame.line());
        let group = channels.start / channels.len();
        let first = (block.rows.start + row) * frame.window.stride[0] - scratch.rows.start;
        for (place, taps) in &scratch.taps {
            let reach = taps.last().map_or(0, |&(_, right)| right);
            let into = first * frame.line() + place + block.cols.start;
            for col in (0..width + reach).step_by(V::LANES) {
                let mut channel = 0;
                while channel < channels.len() {
                    // SAFETY: a tap reads kernels and cotangent up to `reach` before and a vector behind the
                    // row, where both have margins; the frame has room for the last vector.
                    channel += unsafe {
                        let from = Shifted {
                            taps,
                            values: kernels.group(group).wrapping_add(row * width + col),
                            lanes: kernels.lanes,
                            cotangent: scratch.cotangent[channel * pitch + scratch.margin..]
                                .as_ptr()
                                .add(col),
                            pitch,
                        };
                        let into = &mut scratch.grad_x[(channels.start + channel) * plane + into + col..];
                        match channels.len() - channel {
                            4.. => from.add_to::<V, 4>(into, plane),
                            2.. => from.add_to::<V, 2>(into, plane),
                            _ => from.add_to::<V, 1>(into, plane),
                        }
                    };
                }
            }
        }
    }
}

/// Input, gradient of the output and kernels, for a vector of outputs.
struct UnderTaps<'a, T> {
    /// Where each tap reads.
    taps: &'a [usize],
    x: &'a [T],
    plane: usize,
    cotangent: &'a [T],
    pitch: usize,
    values: *const T,
    lanes: usize,
}

impl<T: Scalar> UnderTaps<'_, T> {
    /// `grad_j = sum_c dy_c x_{c, j}` over `M` channels, and `total = sum_j w_j grad_j`, both added if `add`;
    /// returns `M`.
    ///
    /// # Safety
    /// Under each tap a vector must be readable, in `x` for each channel; rows of `grad` must have one for each tap.
    #[inline(always)]
    unsafe fn sum<V: Vector<Element = T>, const M: usize>(
        &self,
        grad: &mut [T],
        width: usize,
        add: bool,
        total: &mut [T],
    ) -> usize {
        let mut dy = [V::zero(); M];
        for (m, dy) in dy.iter_mut().enumerate() {
            *dy = V::from_slice(&self.cotangent[m * self.pitch..]);
        }
        let (x, mut grad, mut value) = (self.x.as_ptr(), grad.as_mut_ptr(), self.values);
        let mut sum_of_all = if add { V::from_slice(total) } else { V::zero() };
        for &tap in self.taps {
            // SAFETY: the caller vouches for these.
            unsafe {
                let mut sum = dy[0] * V::load(x.add(tap));
                for (m, dy) in dy.iter().enumerate().skip(1) {
                    sum = dy.mul_add(V::load(x.add(m * self.plane + tap)), sum);
                }
                sum_of_all = V::load(value).mul_add(sum, sum_of_all);
                (if add { sum + V::load(grad) } else { sum }).store(grad);
            }
            grad = grad.wrapping_add(width);
            value = value.wrapping_add(self.lanes);
        }
        sum_of_all.write_to(total);
        M
    }
}

/// Kernels and gradient of the output of one row of outputs, for a vector of places in the input.
struct Shifted<'a, T> {
    /// Which taps, and how far to the left of a place the output is whose tap reads it.
    taps: &'a [(usize, usize)],
    values: *const T,
    lanes: usize,
    cotangent: *const T,
    pitch: usize,
}

impl<T: Scalar> Shifted<'_, T> {
    /// Adds `sum_j w_j dy` to a vector of `M` channels, which lie `plane` apart; returns `M`.
    ///
    /// # Safety
    /// A vector must be readable at each tap's shift, and all of `into` be there.
    #[inline(always)]
    unsafe fn add_to<V: Vector<Element = T>, const M: usize>(&self, into: &mut [T], plane: usize) -> usize {
        let mut sums = [V::zero(); M];
        for &(tap, right) in self.taps {
            // SAFETY: the caller vouches for the vectors.
            unsafe {
                let w = V::load(self.values.wrapping_add(tap * self.lanes).wrapping_sub(right));
                for (m, sum) in sums.iter_mut().enumerate() {
                    let dy = V::load(self.cotangent.wrapping_add(m * self.pitch).wrapping_sub(right));
                    *sum = w.mul_add(dy, *sum);
                }
            }
        }
        for (m, &sum) in sums.iter().enumerate() {
            let into = &mut into[m * plane..];
            (V::from_slice(into) + sum).write_to(into);
        }
        M
    }
}
