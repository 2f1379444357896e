//! The kernels of deformable convolution on the host: columns by bilinear sampling, and back.

use std::ops::Range;

use ndarray::ArrayView2;
use termwise_autograd::{Array, Cpu, Scalar};

use super::deformable_conv::{DeformConvKernel, DeformGeometry, Sampled};
use crate::conv::lowering::{self, Columns, sized};
use crate::gemm::matrix;
use crate::par;

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
        let pixel = |corner: usize| weight[corner] * plane[self.index[corner] as usize];
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

/// The columns of a deformable convolution.
struct Sampling<'a, T> {
    geometry: &'a DeformGeometry,
    x: &'a [T],
    offset: &'a [T],
    mask: Option<&'a [T]>,
}

impl<'a, T: Scalar> Sampling<'a, T> {
    fn new(geometry: &'a DeformGeometry, sampled: Sampled<&'a Array<Cpu<T>>>) -> Self {
        Sampling {
            geometry,
            x: sampled.x.as_slice(),
            offset: sampled.offset.as_slice(),
            mask: sampled.mask.map(Array::as_slice),
        }
    }

    /// Position in `mask` of offset group `group`, tap `tap` and output row `row` of sample `n`.
    fn mask_at(&self, n: usize, group: usize, tap: usize, row: usize) -> usize {
        let window = &self.geometry.conv.window;
        ((n * self.geometry.offset_groups + group) * window.taps() + tap) * window.positions()
            + row * window.output[1]
    }

    /// Position in `offset` of the same along `axis`, counted from the last: 0 is dx, 1 is dy.
    fn offset_at(&self, n: usize, group: usize, tap: usize, row: usize, axis: usize) -> usize {
        let (window, axes) = (&self.geometry.conv.window, self.geometry.axes);
        let channel =
            ((n * self.geometry.offset_groups + group) * window.taps() + tap) * axes + axes - 1 - axis;
        channel * window.positions() + row * window.output[1]
    }

    /// The corners that tap `tap` samples for each output of `rows`.
    fn corners(
        &self,
        n: usize,
        group: usize,
        tap: usize,
        rows: &Range<usize>,
        corners: &mut Vec<Corners<T>>,
    ) {
        let window = &self.geometry.conv.window;
        let (i, j) = (tap / window.kernel[1], tap % window.kernel[1]);
        corners.clear();
        for oh in rows.clone() {
            let offsets =
                |axis: usize| &self.offset[self.offset_at(n, group, tap, oh, axis)..][..window.output[1]];
            let dx = offsets(0);
            let dy = (self.geometry.axes == 2).then(|| offsets(1));
            let y = T::of((oh * window.stride[0]) as f64 + window.origin(0, i) as f64);
            for (ow, &dx) in dx.iter().enumerate() {
                let x = T::of((ow * window.stride[1]) as f64 + window.origin(1, j) as f64);
                let dy = dy.map_or(T::zero(), |dy| dy[ow]);
                corners.push(Corners::at(y + dy, x + dx, window.image));
            }
        }
    }

    /// The offset groups that the channels belong to, each with those of its channels.
    fn runs(&self, channels: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<T> {
        let (per_group, channels) = (self.geometry.offset_group_inputs(), channels.clone());
        (channels.start / per_group..channels.end.div_ceil(per_group)).map(move |group| {
            let run = group * per_group..(group + 1) * per_group;
            (group, run.start.max(channels.start)..run.end.min(channels.end))
        })
    }

    fn plane(&self, n: usize, channel: usize) -> &[T] {
        let pixels = self.geometry.conv.window.pixels();
        &self.x[(n * self.geometry.conv.in_channels + channel) * pixels..][..pixels]
    }
}

impl<T: Scalar> Columns<T> for Sampling<'_, T> {
    fn columns<'a>(
        &'a self,
        n: usize,
        channels: Range<usize>,
        rows: Range<usize>,
        buffer: &'a mut Vec<T>,
    ) -> ArrayView2<'a, T> {
        let window = &self.geometry.conv.window;
        let (taps, width) = (window.taps(), rows.len() * window.output[1]);
        let height = channels.len() * taps;
        let columns = sized(buffer, height * width);
        if window.pixels() == 0 {
            columns.fill(T::zero());
            return matrix(columns, height, width);
        }
        let mut corners = Vec::with_capacity(width);
        for (group, run) in self.runs(&channels) {
            for tap in 0..taps {
                self.corners(n, group, tap, &rows, &mut corners);
                if let Some(mask) = self.mask {
                    let mask = &mask[self.mask_at(n, group, tap, rows.start)..];
                    for (corners, &mask) in corners.iter_mut().zip(mask) {
                        corners.weight = corners.weight.map(|weight| weight * mask);
                    }
                }
                for channel in run.clone() {
                    let plane = self.plane(n, channel);
                    let column = &mut columns[((channel - channels.start) * taps + tap) * width..][..width];
                    for (out, corners) in column.iter_mut().zip(&corners) {
                        *out = corners.interpolate(plane, &corners.weight);
                    }
                }
            }
        }
        matrix(columns, height, width)
    }
}

impl<T: Scalar> DeformConvKernel for Cpu<T> {
    fn deform_conv_forward(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self> {
        let sampling = Sampling::new(geometry, sampled);
        let y = lowering::forward(&geometry.conv, weight.as_slice(), bias.map(Array::as_slice), &sampling);
        Array::host(&geometry.conv.output_shape(), y)
    }

    fn deform_conv_backward_sampled(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Sampled<Array<Self>> {
        let sampling = Sampling::new(geometry, sampled);
        let batch = geometry.conv.batch;
        let work = 8 * lowering::work(&geometry.conv) / batch.max(1);
        // Each task owns the gradients of one sample.
        let samples =
            par::map(batch, work, |n| sampling.sample_gradient(n, weight.as_slice(), grad_output.as_slice()));
        let gather = |part: &dyn Fn(&SampleGradient<T>) -> &[T]| {
            let all = samples.iter().flat_map(|sample| part(sample).iter().copied()).collect::<Vec<_>>();
            Array::host(&[all.len()], all)
        };
        Sampled {
            x: gather(&|sample| &sample.x),
            offset: gather(&|sample| &sample.offset),
            mask: sampled.mask.map(|_| gather(&|sample| &sample.mask)),
        }
    }

    fn deform_conv_backward_weight(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let sampling = Sampling::new(geometry, sampled);
        let grad = lowering::weight_gradient(&geometry.conv, grad_output.as_slice(), &sampling);
        Array::host(&geometry.conv.weight_shape(), grad)
    }
}

/// Gradients of one sample.
struct SampleGradient<T> {
    x: Vec<T>,      // (C, H, W)
    offset: Vec<T>, // (axes G taps, Ho, Wo)
    mask: Vec<T>,   // (G taps, Ho, Wo), empty without a mask
}

impl<T: Scalar> Sampling<'_, T> {
    fn sample_gradient(&self, n: usize, weight: &[T], grad_output: &[T]) -> SampleGradient<T> {
        let DeformGeometry { conv, axes, offset_groups } = *self.geometry;
        let window = &conv.window;
        let samples = offset_groups * window.taps() * window.positions();
        let mut grad = SampleGradient {
            x: vec![T::zero(); conv.in_channels * window.pixels()],
            offset: vec![T::zero(); axes * samples],
            mask: vec![T::zero(); if self.mask.is_some() { samples } else { 0 }],
        };
        if window.pixels() == 0 {
            return grad;
        }
        let mut buffer = Vec::new();
        for rows in lowering::tiles(&conv) {
            for group in 0..conv.groups {
                // dcolumns = W^T dy
                let columns =
                    lowering::column_gradient(&conv, weight, grad_output, n, group, &rows, &mut buffer);
                let channels = group * conv.group_inputs()..(group + 1) * conv.group_inputs();
                self.add_tile(n, &channels, &rows, columns, &mut grad);
            }
        }
        grad
    }

    /// Adds what the column gradient of one tile contributes.
    fn add_tile(
        &self,
        n: usize,
        channels: &Range<usize>,
        rows: &Range<usize>,
        grad_columns: &[T],
        grad: &mut SampleGradient<T>,
    ) {
        let (window, axes) = (&self.geometry.conv.window, self.geometry.axes);
        let (taps, pixels, width) = (window.taps(), window.pixels(), rows.len() * window.output[1]);
        let mut corners = Vec::with_capacity(width);
        // d value, d value / dy, d value / dx, each summed over the channels that share the sample.
        let mut sums = vec![[T::zero(); 3]; width];
        for (group, run) in self.runs(channels) {
            for tap in 0..taps {
                self.corners(n, group, tap, rows, &mut corners);
                let mask = self.mask.map(|mask| &mask[self.mask_at(n, group, tap, rows.start)..][..width]);
                sums.fill([T::zero(); 3]);
                for channel in run.clone() {
                    let plane = self.plane(n, channel);
                    let grad_plane = &mut grad.x[channel * pixels..][..pixels];
                    let column = &grad_columns[((channel - channels.start) * taps + tap) * width..][..width];
                    for (q, (corners, &g)) in corners.iter().zip(column).enumerate() {
                        // column = mask * sum_k weight_k x_k
                        let masked = mask.map_or(g, |mask| g * mask[q]);
                        for corner in 0..4 {
                            grad_plane[corners.index[corner] as usize] += masked * corners.weight[corner];
                        }
                        sums[q][0] += g * corners.interpolate(plane, &corners.weight);
                        sums[q][1] += masked * corners.interpolate(plane, &corners.slope_y);
                        sums[q][2] += masked * corners.interpolate(plane, &corners.slope_x);
                    }
                }
                // The gradients of one sample start at sample 0.
                let add = |into: &mut [T], at: usize, part: usize| {
                    for (into, sum) in into[at..].iter_mut().zip(&sums) {
                        *into += sum[part];
                    }
                };
                add(&mut grad.offset, self.offset_at(0, group, tap, rows.start, 0), 2);
                if axes == 2 {
                    add(&mut grad.offset, self.offset_at(0, group, tap, rows.start, 1), 1);
                }
                if mask.is_some() {
                    add(&mut grad.mask, self.mask_at(0, group, tap, rows.start), 0);
                }
            }
        }
    }
}
