//! Deformable convolution as plain loops over outputs, channels, taps and corners: what the kernels are held to.

use termwise_autograd::Scalar;

use crate::attention::deformable_conv::{DeformGeometry, Sampled};

/// The four pixels around a sampling position; those outside the image have weight 0.
#[derive(Clone, Copy)]
struct Corners<T> {
    /// Where they lie in a plane: top left, top right, bottom left, bottom right.
    index: [u32; 4],
    /// Bilinear weight of each.
    weight: [T; 4],
    /// Derivative of the weights as the position moves down.
    slope_y: [T; 4],
    /// Derivative of the weights as the position moves right.
    slope_x: [T; 4],
}

impl<T: Scalar> Corners<T> {
    fn at(y: T, x: T, [height, width]: [usize; 2]) -> Self {
        let (fy, fx) = (y - y.floor(), x - x.floor());
        let mut corners = Corners {
            index: [0; 4],
            weight: [T::zero(); 4],
            slope_y: [T::zero(); 4],
            slope_x: [T::zero(); 4],
        };
        if y.is_nan() || x.is_nan() {
            // Not silently "outside": a broken offset must show.
            corners.weight = [T::nan(); 4];
            return corners;
        }
        let (rows, cols) = (neighbours(y, height), neighbours(x, width));
        let one = T::one();
        let (along_y, along_x) = ([one - fy, fy], [one - fx, fx]);
        let sign = [-one, one];
        for (i, row) in rows.into_iter().enumerate() {
            for (j, col) in cols.into_iter().enumerate() {
                let (Some(row), Some(col)) = (row, col) else { continue };
                let corner = 2 * i + j;
                corners.index[corner] = (row * width + col) as u32;
                corners.weight[corner] = along_y[i] * along_x[j];
                corners.slope_y[corner] = sign[i] * along_x[j];
                corners.slope_x[corner] = along_y[i] * sign[j];
            }
        }
        corners
    }

    fn interpolate(&self, plane: &[T], weight: &[T; 4]) -> T {
        // Without an image all corners lie outside.
        let value = |index: u32| plane.get(index as usize).copied().unwrap_or(T::zero());
        let pixel = |corner: usize| weight[corner] * value(self.index[corner]);
        pixel(0) + pixel(1) + pixel(2) + pixel(3)
    }
}

/// The whole numbers `floor(at)` and `floor(at) + 1`, where they are inside `0 .. extent`.
fn neighbours<T: Scalar>(at: T, extent: usize) -> [Option<usize>; 2] {
    let floor = at.floor();
    if floor < -T::one() || floor >= T::of(extent as f64) {
        return [None, None];
    }
    let low = floor.to_isize().unwrap_or(-1);
    [usize::try_from(low).ok(), usize::try_from(low + 1).ok().filter(|&high| high < extent)]
}

/// Output, and gradients in input, offset, mask and weight.
pub(super) fn reference<T: Scalar>(
    geometry: &DeformGeometry,
    sampled: Sampled<&[T]>,
    weight: &[T],
    bias: Option<&[T]>,
    grad_output: &[T],
) -> [Vec<T>; 5] {
    let DeformGeometry { conv, axes, offset_groups } = *geometry;
    let window = &conv.window;
    let (taps, positions, pixels) = (window.taps(), window.positions(), window.pixels());
    let (inputs, outputs) = (conv.group_inputs(), conv.group_outputs());
    let mut y = vec![T::zero(); conv.batch * conv.out_channels * positions];
    let zeros = |like: &[T]| vec![T::zero(); like.len()];
    let (mut dx, mut doffset) = (zeros(sampled.x), zeros(sampled.offset));
    let (mut dmask, mut dweight) = (zeros(sampled.mask.unwrap_or(&[])), zeros(weight));
    if let Some(bias) = bias {
        y.iter_mut().enumerate().for_each(|(at, y)| *y = bias[at / positions % conv.out_channels]);
    }
    for at in 0..conv.batch * positions {
        let (n, q) = (at / positions, at % positions);
        for c in 0..conv.in_channels {
            let plane = (n * conv.in_channels + c) * pixels;
            for tap in 0..taps {
                let slot = (n * offset_groups + c / geometry.offset_group_inputs()) * taps + tap;
                let mask_at = slot * positions + q;
                let mask = sampled.mask.map_or(T::one(), |mask| mask[mask_at]);
                // The row of dx is the last, that of dy before it.
                let offset_at = |axis: usize| (slot * axes + axes - 1 - axis) * positions + q;
                let position = |axis: usize, output: usize, tap: usize| {
                    let origin =
                        T::of((output * window.stride[axis]) as f64 + window.origin(axis, tap) as f64);
                    if axis == 0 && axes == 1 { origin } else { origin + sampled.offset[offset_at(1 - axis)] }
                };
                let down = position(0, q / window.output[1], tap / window.kernel[1]);
                let right = position(1, q % window.output[1], tap % window.kernel[1]);
                let corners = Corners::at(down, right, window.image);
                let x = &sampled.x[plane..plane + pixels];
                let value = corners.interpolate(x, &corners.weight);
                let mut dcolumn = T::zero();
                for o in c / inputs * outputs..(c / inputs + 1) * outputs {
                    let weight_at = (o * inputs + c % inputs) * taps + tap;
                    let output_at = (n * conv.out_channels + o) * positions + q;
                    y[output_at] += weight[weight_at] * mask * value;
                    dweight[weight_at] += grad_output[output_at] * mask * value;
                    dcolumn += weight[weight_at] * grad_output[output_at];
                }
                for corner in 0..4 {
                    if let Some(dx) = dx[plane..plane + pixels].get_mut(corners.index[corner] as usize) {
                        *dx += dcolumn * mask * corners.weight[corner];
                    }
                }
                if sampled.mask.is_some() {
                    dmask[mask_at] += dcolumn * value;
                }
                doffset[offset_at(0)] += dcolumn * mask * corners.interpolate(x, &corners.slope_x);
                if axes == 2 {
                    doffset[offset_at(1)] += dcolumn * mask * corners.interpolate(x, &corners.slope_y);
                }
            }
        }
    }
    [y, dx, doffset, dmask, dweight]
}
