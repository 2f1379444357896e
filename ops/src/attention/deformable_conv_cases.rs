//! Test cases of deformable convolution. Offsets keep away from whole numbers, where bilinear
//! sampling has its kinks.

use termwise_autograd::gradcheck::{Built, Case};

use super::deformable_conv::DeformConvKernel;
use super::{deform_conv1d, deform_conv1d_pack, deform_conv2d, deform_conv2d_pack};
use crate::conv::{Conv1dOptions, Conv2dOptions, Window};
use crate::tensor::TensorKernels;

/// Test cases of deformable convolution in all forms.
pub fn cases<B: DeformConvKernel + TensorKernels>() -> Vec<Case<B>> {
    [deform_conv2d_cases(), deform_conv1d_cases(), pack_cases()].into_iter().flatten().collect()
}

/// Outputs along one axis, or `None` where the kernel does not fit.
fn outputs(image: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Option<usize> {
    Some((image + 2 * padding).checked_sub(dilation * (kernel - 1) + 1)? / stride + 1)
}

/// Sizes of a window, or `None` where the kernel does not fit.
fn output(image: [usize; 2], kernel: [usize; 2], options: &Conv2dOptions) -> Option<[usize; 2]> {
    for axis in 0..2 {
        outputs(
            image[axis],
            kernel[axis],
            options.stride[axis],
            options.padding[axis],
            options.dilation[axis],
        )?;
    }
    Some(Window::new("deform_conv2d", image, kernel, options).output)
}

/// Shapes are (batch, offset groups, channels per offset group, height, width).
fn deform_conv2d_cases<B: DeformConvKernel>() -> Vec<Case<B>> {
    let case = |label: &str,
                shape: [usize; 5],
                modulated: bool,
                reach: i64,
                kernel: [usize; 2],
                options: Conv2dOptions| {
        Case::new("deform_conv2d", label, &shape, move |shape, samples| {
            let &[n, groups, per_group, h, w] = shape else { return None };
            let channels = groups * per_group;
            if channels == 0 || !channels.is_multiple_of(options.groups) {
                return None;
            }
            let [rows, cols] = output([h, w], kernel, &options)?;
            let taps = kernel[0] * kernel[1];
            let outputs = 2 * options.groups;
            let x = ("x", samples.normal(&[n, channels, h, w]));
            let offset = ("offset", samples.off_grid(&[n, 2 * groups * taps, rows, cols], -reach, reach));
            let weight =
                ("weight", samples.normal(&[outputs, channels / options.groups, kernel[0], kernel[1]]));
            let bias = ("bias", samples.normal(&[outputs]));
            if modulated {
                let mask = ("mask", samples.normal(&[n, groups * taps, rows, cols]));
                Built::new([x, offset, weight, bias, mask], move |v| {
                    deform_conv2d(&v[0], &v[1], Some(&v[4]), &v[2], Some(&v[3]), options)
                })
            } else {
                Built::new([x, offset, weight, bias], move |v| {
                    deform_conv2d(&v[0], &v[1], None, &v[2], Some(&v[3]), options)
                })
            }
        })
    };
    let new = Conv2dOptions::new;
    vec![
        case("1x1 image and kernel", [1, 1, 1, 1, 1], true, 1, [1, 1], new()),
        case("v1, 3x3", [1, 1, 2, 3, 4], false, 1, [3, 3], new().padding(1)),
        case("v2, two offset groups", [2, 2, 1, 3, 2], true, 2, [2, 2], new().padding(1)),
        case("v2, three offset groups across two groups", [1, 3, 2, 3, 3], true, 1, [2, 1], new().groups(2)),
        case(
            "v1, stride (2, 1), dilation (1, 2)",
            [1, 1, 2, 5, 5],
            false,
            1,
            [3, 2],
            new().stride((2, 1)).dilation((1, 2)).padding(1),
        ),
        case("v2, far outside", [1, 1, 2, 3, 3], true, 6, [2, 2], new().padding(1)),
        case("empty batch", [0, 1, 2, 3, 3], true, 1, [2, 2], new()),
    ]
}

/// Shapes are (batch, offset groups, channels per offset group, steps).
fn deform_conv1d_cases<B: DeformConvKernel>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 4], reach: i64, kernel: usize, options: Conv1dOptions| {
        Case::new("deform_conv1d", label, &shape, move |shape, samples| {
            let &[n, groups, per_group, t] = shape else { return None };
            let channels = groups * per_group;
            if channels == 0 || !channels.is_multiple_of(options.groups) {
                return None;
            }
            let steps = outputs(t, kernel, options.stride, options.padding, options.dilation)?;
            let outputs = 2 * options.groups;
            let inputs = [
                ("x", samples.normal(&[n, channels, t])),
                ("offset", samples.off_grid(&[n, groups * kernel, steps], -reach, reach)),
                ("mask", samples.normal(&[n, groups * kernel, steps])),
                ("weight", samples.normal(&[outputs, channels / options.groups, kernel])),
                ("bias", samples.normal(&[outputs])),
            ];
            Built::new(inputs, move |v| deform_conv1d(&v[0], &v[1], Some(&v[2]), &v[3], Some(&v[4]), options))
        })
    };
    let new = Conv1dOptions::new;
    vec![
        case("one step", [1, 1, 1, 1], 1, 1, new()),
        case("kernel 3", [2, 1, 3, 5], 2, 3, new().padding(1)),
        case(
            "stride 2, dilation 2, groups",
            [1, 2, 2, 7],
            4,
            3,
            new().padding(2).stride(2).dilation(2).groups(2),
        ),
    ]
}

/// Shapes are (batch, channels, height, width) and (batch, channels, steps). The offsets are predicted, so a kink can
/// come near but is hit with probability zero; small weights and a bias of 0.4 keep most offsets off the grid.
fn pack_cases<B: DeformConvKernel + TensorKernels>() -> Vec<Case<B>> {
    let images =
        |label: &str, shape: [usize; 4], modulated: bool, predictor: usize, options: Conv2dOptions| {
            Case::new("deform_conv2d_pack", label, &shape, move |shape, samples| {
                let &[n, channels, h, w] = shape else { return None };
                output([h, w], [3, 3], &options)?;
                if channels == 0 {
                    return None;
                }
                let predicted = if modulated { 27 } else { 18 };
                let inputs = [
                    ("x", samples.normal(&[n, channels, h, w])),
                    ("weight", samples.normal(&[2, channels, 3, 3])),
                    ("bias", samples.normal(&[2])),
                    ("offset_weight", samples.normal(&[predicted, channels, predictor, predictor]) * 0.01),
                    ("offset_bias", samples.uniform(&[predicted], 0.3, 0.7)),
                ];
                Built::new(inputs, move |v| {
                    deform_conv2d_pack(&v[0], &v[1], Some(&v[2]), &v[3], Some(&v[4]), modulated, options)
                })
            })
        };
    let sequences = |label: &str, shape: [usize; 3], modulated: bool, predictor: usize| {
        Case::new("deform_conv1d_pack", label, &shape, move |shape, samples| {
            let &[n, channels, t] = shape else { return None };
            if channels == 0 || t == 0 {
                return None;
            }
            let predicted = if modulated { 6 } else { 3 };
            let inputs = [
                ("x", samples.normal(&[n, channels, t])),
                ("weight", samples.normal(&[2, channels, 3])),
                ("offset_weight", samples.normal(&[predicted, channels, predictor]) * 0.05),
                ("offset_bias", samples.uniform(&[predicted], 0.3, 0.7)),
            ];
            let options = Conv1dOptions::new().padding(1);
            Built::new(inputs, move |v| {
                deform_conv1d_pack(&v[0], &v[1], None, &v[2], Some(&v[3]), modulated, options)
            })
        })
    };
    let new = || Conv2dOptions::new().padding(1);
    vec![
        images("v2, 3x3 predictor, stride 2", [1, 2, 4, 3], true, 3, new().stride(2)),
        images("v1, 1x1 predictor", [1, 2, 2, 3], false, 1, new()),
        sequences("v2, predictor 3", [1, 3, 5], true, 3),
        sequences("v1, predictor 1", [2, 2, 4], false, 1),
    ]
}
