//! Deformable convolution of images and sequences.

use std::ops::Range;

use termwise_autograd::Array;
use termwise_ops::attention::{DeformConvKernel, DeformGeometry, Sampled};
use termwise_ops::conv::ConvGeometry;
use termwise_ops::tensor::{StridedKernel, Window};

use crate::launch::Launch;
use crate::layout::Strides;
use crate::ops::conv::conv2d::{gathering, parts};
use crate::ops::fold::sum_parts;
use crate::ops::tensor::matmul::{Extents, Operand, product};
use crate::program::{Source, source};
use crate::tiles::Tiles;
use crate::{Buffer, OpenCl, Real};

const DEFORMABLE_CONV: Source = source!("attention/deformable_conv");

/// Numbers of `dcolumns` that are made at a time: as many samples as have so many, or one.
const BUDGET: usize = 1 << 25;

type Operands<'a, T> = Sampled<&'a Array<OpenCl<T>>>;

/// Hands a kernel `SAMPLED` of `deformable_conv.cl`.
fn sampled<'a, T: Real>(
    launch: Launch<'a, T>,
    geometry: &DeformGeometry,
    operands: Operands<'a, T>,
) -> Launch<'a, T> {
    let launch = launch.array(operands.offset).optional(operands.mask).window(&geometry.conv.window);
    launch.int(geometry.axes).int(geometry.offset_groups).int(geometry.conv.in_channels)
}

/// A product in `count` tiles, taken in parts where so many keep no device busy: an array of a shape. `run` writes the parts,
/// given the links of a part's chain, of `depth` terms each, and the number of work-groups.
fn in_parts<T: Real>(
    backend: &OpenCl<T>,
    shape: &[usize],
    (count, links, depth, whole): (usize, usize, usize, bool),
    run: impl FnOnce(&Array<OpenCl<T>>, usize, usize),
) -> Array<OpenCl<T>> {
    let parts = if whole { 1 } else { parts(count, links * depth) };
    let partial = backend.arbitrary(&[&[parts], shape].concat());
    run(&partial, links.div_ceil(parts), count * parts);
    sum_parts(partial, shape, parts)
}

impl<T: Real> DeformConvKernel for OpenCl<T> {
    fn deform_conv_forward(
        geometry: &DeformGeometry,
        operands: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self> {
        let conv = &geometry.conv;
        let (rows, inner) = (conv.group_outputs(), conv.group_inputs());
        let (backend, shape) = (weight.backend(), conv.output_shape());
        let tiles = gathering::<T>(rows);
        let count = tiles.cover(rows, conv.batch * conv.window.positions()) * conv.groups;
        let links = conv.window.taps() * inner.div_ceil(tiles.depth);
        let source = Source { defines: tiles.defines(), ..DEFORMABLE_CONV };
        in_parts(backend, &shape, (count, links, tiles.depth, bias.is_some()), |to, length, groups| {
            let launch = backend.launch(source, "deform_conv_forward").array(weight);
            let launch = sampled(launch.array(operands.x).optional(bias).array(to), geometry, operands);
            let launch = launch.int(conv.batch).int(conv.groups).int(rows).int(inner);
            launch.int(length).groups(groups);
        })
    }

    fn deform_conv_backward(
        geometry: &DeformGeometry,
        operands: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 4],
    ) -> [Option<Array<Self>>; 4] {
        backward(geometry, operands, weight, grad_output, needs, BUDGET)
    }
}

/// The gradients of x, offset, mask and weight; as many samples at a time as need at most `budget` numbers, or one.
fn backward<T: Real>(
    geometry: &DeformGeometry,
    operands: Operands<T>,
    weight: &Array<OpenCl<T>>,
    grad_output: &Array<OpenCl<T>>,
    [need_x, need_offset, need_mask, need_weight]: [bool; 4],
    budget: usize,
) -> [Option<Array<OpenCl<T>>>; 4] {
    let (conv, backend) = (&geometry.conv, weight.backend());
    let (shape, need_mask) = (conv.input_shape(), need_mask && operands.mask.is_some());
    let grad_offset = need_offset.then(|| backend.arbitrary(operands.offset.shape()));
    let grad_mask = operands.mask.filter(|_| need_mask).map(|mask| backend.arbitrary(mask.shape()));
    let mut grad_x = vec![];
    if need_x || need_offset || need_mask {
        let filters = taps_first(conv, weight);
        let per_sample = conv.in_channels * conv.window.taps() * conv.window.positions();
        let length = (budget / per_sample.max(1)).max(1);
        for first in (0..conv.batch).step_by(length) {
            let samples = first..(first + length).min(conv.batch);
            let grad_columns = columns_gradient(conv, &filters, grad_output, &samples);
            if need_offset || need_mask {
                let grads = [grad_offset.as_ref(), grad_mask.as_ref()];
                offset_gradient(geometry, operands, &grad_columns, grads, &samples);
            }
            if need_x {
                let grad = input_gradient(geometry, operands, &grad_columns, &samples);
                grad_x.push((grad, channels_last(conv, &samples)));
            }
        }
    }
    let grad_x = need_x.then(|| {
        let parts: Vec<_> = grad_x.iter().map(|(grad, window)| (grad, window.clone())).collect();
        if parts.is_empty() {
            return Array::zeros(backend, operands.x.shape());
        }
        OpenCl::write_windows(&shape, 0.0, &parts).reshape(operands.x.shape())
    });
    let grad_weight = need_weight.then(|| weight_gradient(geometry, operands, weight, grad_output));
    [grad_x, grad_offset, grad_mask, grad_weight]
}

/// Some samples of an image (N, C, H, W), each pixel's channels side by side: (samples, pixels, C).
fn channels_last(conv: &ConvGeometry, samples: &Range<usize>) -> Window {
    let (channels, pixels) = (conv.in_channels, conv.window.pixels());
    Window {
        offset: samples.start * channels * pixels,
        shape: vec![samples.len(), pixels, channels],
        strides: vec![channels * pixels, 1, pixels],
    }
}

/// The weight (O, C / groups, taps) as (O, taps, C / groups).
fn taps_first<T: Real>(conv: &ConvGeometry, weight: &Array<OpenCl<T>>) -> Array<OpenCl<T>> {
    let (inner, taps) = (conv.group_inputs(), conv.window.taps());
    let window = Window {
        offset: 0,
        shape: vec![conv.out_channels, taps, inner],
        strides: vec![inner * taps, 1, taps],
    };
    OpenCl::read_window(weight, &window)
}

/// `W^T dy` of some samples. (samples, groups, positions, taps, C / groups)
fn columns_gradient<T: Real>(
    conv: &ConvGeometry,
    filters: &Array<OpenCl<T>>,
    grad_output: &Array<OpenCl<T>>,
    samples: &Range<usize>,
) -> Array<OpenCl<T>> {
    let &ConvGeometry { batch, out_channels, groups, window, .. } = conv;
    let (positions, taps) = (window.positions(), window.taps());
    let (inner, rows, plane) = (conv.group_inputs(), conv.group_outputs(), out_channels * positions);
    let own =
        Window { offset: samples.start * plane, shape: vec![samples.len(), plane], strides: vec![plane, 1] };
    let grad_output =
        if samples.len() == batch { grad_output.clone() } else { OpenCl::read_window(grad_output, &own) };
    let axes = [(samples.len(), [plane, 0]), (groups, [rows * positions, rows * taps * inner])];
    let extents =
        Extents { batches: Strides::from_axes(axes), ..Extents::one(positions, rows, taps * inner) };
    let (left, right) = (Operand::transposed(&grad_output, positions), Operand::rows(filters, taps * inner));
    product(&extents, left, right, None, &[samples.len(), groups, positions, taps, inner])
}

/// Writes the gradients of the offset and of the mask of some samples, those that are wanted.
fn offset_gradient<T: Real>(
    geometry: &DeformGeometry,
    operands: Operands<T>,
    grad_columns: &Array<OpenCl<T>>,
    [grad_offset, grad_mask]: [Option<&Array<OpenCl<T>>>; 2],
    samples: &Range<usize>,
) {
    let (conv, backend) = (&geometry.conv, grad_columns.backend());
    let x = OpenCl::read_window(operands.x, &channels_last(conv, samples));
    let launch = backend.launch(DEFORMABLE_CONV, "deform_conv_backward_offset").array(&x);
    let launch = launch.array(grad_columns).optional(grad_offset).optional(grad_mask);
    let launch = sampled(launch, geometry, operands).int(conv.groups).int(samples.start);
    let slots = geometry.offset_groups * conv.window.taps();
    launch.groups(samples.len() * slots * conv.window.positions());
}

/// The gradient of the input of some samples, channels last. (samples, pixels, C)
fn input_gradient<T: Real>(
    geometry: &DeformGeometry,
    operands: Operands<T>,
    grad_columns: &Array<OpenCl<T>>,
    samples: &Range<usize>,
) -> Array<OpenCl<T>> {
    let &DeformGeometry { ref conv, offset_groups, .. } = geometry;
    let (backend, window) = (grad_columns.backend(), &conv.window);
    let (pixels, lines) = (window.pixels(), samples.len() * offset_groups);
    let room = window.taps() * window.positions() * 4;
    let corners = lines * room;
    let scratch = |len: usize| -> Buffer<i32> { backend.scratch(len) };
    let (pixel_of, list) = (scratch(corners), scratch(corners));
    let (ends, starts) = (scratch(lines * pixels), scratch(lines * pixels));
    let weight_of = backend.arbitrary(&[corners]);
    // How many corners fall on each pixel; then where each pixel's begin, and, as they are listed, where they end.
    let launch = backend.launch(DEFORMABLE_CONV, "deform_conv_clear").buffer(&ends);
    launch.int(ends.len()).items(ends.len());
    let launch = sampled(backend.launch(DEFORMABLE_CONV, "deform_conv_corners"), geometry, operands);
    let launch = launch.buffer(&pixel_of).array(&weight_of).buffer(&ends).int(samples.start);
    launch.int(corners / 4).items(corners / 4);
    let launch = backend.launch(DEFORMABLE_CONV, "deform_conv_starts").buffer(&ends).buffer(&starts);
    launch.int(pixels).int(room).groups(lines);
    let launch = backend.launch(DEFORMABLE_CONV, "deform_conv_list").buffer(&pixel_of).buffer(&ends);
    launch.buffer(&list).int(pixels).int(room).int(corners).items(corners);
    let launch = backend.launch(DEFORMABLE_CONV, "deform_conv_sort").buffer(&list).buffer(&starts);
    launch.buffer(&ends).int(ends.len()).items(ends.len());

    let grad = backend.arbitrary(&[samples.len(), pixels, conv.in_channels]);
    let launch = backend.launch(DEFORMABLE_CONV, "deform_conv_backward_x").array(grad_columns);
    let launch = launch.array(&weight_of).buffer(&list).buffer(&starts).buffer(&ends).array(&grad);
    let launch = launch.window(window).int(offset_groups).int(conv.in_channels).int(conv.groups);
    launch.int(grad.len()).items(grad.len());
    grad
}

fn weight_gradient<T: Real>(
    geometry: &DeformGeometry,
    operands: Operands<T>,
    weight: &Array<OpenCl<T>>,
    grad_output: &Array<OpenCl<T>>,
) -> Array<OpenCl<T>> {
    let (conv, backend) = (&geometry.conv, weight.backend());
    let (rows, inner) = (conv.group_outputs(), conv.group_inputs());
    let tiles = Tiles::standard::<T>().fitted(rows, inner);
    let count = tiles.cover(rows, inner) * conv.window.taps() * conv.groups;
    let links = (conv.batch * conv.window.positions()).div_ceil(tiles.depth);
    let source = Source { defines: tiles.defines(), ..DEFORMABLE_CONV };
    in_parts(backend, weight.shape(), (count, links, tiles.depth, false), |to, length, groups| {
        let launch = backend.launch(source, "deform_conv_backward_weight").array(grad_output);
        let launch = sampled(launch.array(operands.x).array(to), geometry, operands);
        let launch = launch.int(conv.batch).int(conv.groups).int(rows).int(inner);
        launch.int(length).groups(groups);
    })
}

#[cfg(test)]
mod tests {
    use termwise_autograd::gradcheck::Samples;
    use termwise_ops::conv::Window;

    use super::*;
    use crate::program::tests::backend;

    /// 3 x 3 taps over an image of 5 x 7.
    fn window(stride: [usize; 2], output: [usize; 2]) -> Window {
        Window { image: [5, 7], kernel: [3, 3], stride, padding: [1, 1], dilation: [1, 1], output }
    }

    /// The cases of the operation are too small for more than one block of samples.
    #[test]
    fn samples_in_blocks_give_what_they_give_at_once() {
        let Some(backend) = backend() else { return };
        let window = window([2, 1], [3, 7]);
        let conv = ConvGeometry { batch: 5, in_channels: 4, out_channels: 6, groups: 2, window };
        let geometry = DeformGeometry { conv, axes: 2, offset_groups: 2 };
        let mut samples = Samples::new(5);
        let mut normal = |shape: &[usize]| Array::from_f64(&backend, &samples.normal(shape));
        let (x, weight) = (normal(&[5, 4, 5, 7]), normal(&[6, 2, 3, 3]));
        let (offset, mask) = (normal(&[5, 36, 3, 7]), normal(&[5, 18, 3, 7]));
        let grad_output = normal(&[5, 6, 3, 7]);
        let operands = Sampled { x: &x, offset: &offset, mask: Some(&mask) };
        let at = |samples: usize| {
            let budget = samples * 4 * 9 * 21;
            backward(&geometry, operands, &weight, &grad_output, [true; 4], budget)
                .map(|grad| grad.expect("it was asked for").to_ndarray())
        };
        let whole = at(5);
        for block in [1, 2, 3] {
            for (name, (whole, cut)) in
                ["x", "offset", "mask", "weight"].iter().zip(whole.iter().zip(at(block)))
            {
                assert_eq!(whole.shape(), cut.shape());
                for (a, b) in whole.iter().zip(&cut) {
                    assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{block} samples, {name}: {a} and {b}");
                }
            }
        }
    }

    /// An offset that is no number must not pass for a sample outside of the image.
    #[test]
    fn an_offset_that_is_no_number_shows() {
        let Some(backend) = backend() else { return };
        let (taps, positions) = (9, 35);
        let window = window([1, 1], [5, 7]);
        let conv = ConvGeometry { batch: 1, in_channels: 2, out_channels: 3, groups: 1, window };
        let geometry = DeformGeometry { conv, axes: 2, offset_groups: 1 };
        let (tap, axis, q) = (4, 1, 17);
        let mut offset = vec![0.0; taps * 2 * positions];
        offset[(tap * 2 + axis) * positions + q] = f64::NAN;
        let upload = |shape: &[usize], values: Vec<f64>| {
            Array::from_f64(&backend, &ndarray::ArrayD::from_shape_vec(shape, values).unwrap())
        };
        let (x, offset) = (upload(&[1, 2, 5, 7], vec![1.0; 70]), upload(&[1, 18, 5, 7], offset));
        let weight = upload(&[3, 2, 3, 3], vec![1.0; 54]);
        let operands = Sampled { x: &x, offset: &offset, mask: None };
        let y = OpenCl::deform_conv_forward(&geometry, operands, &weight, None).to_ndarray();
        for (at, value) in y.iter().enumerate() {
            assert_eq!(value.is_nan(), at % positions == q, "output {at}: {value}");
        }
    }
}
