//! Convolutions and attention at shapes beyond those of `cases()`: more than one tile, sums in parts, several blocks of
//! keys.

use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_opencl::{OpenCl, Real};
use termwise_ops::attention::{self, AttentionKernels, deform_conv2d};
use termwise_ops::conv::{Conv2dKernel, Conv2dOptions, conv2d};

use crate::support;
use termwise_opencl::parity::compare;

/// Compares every case, and as many must be there as are said.
fn check<T: Real>(count: usize, cases: Vec<Case<OpenCl<T>>>, host: Vec<Case<Cpu<f64>>>) {
    let Some(backend) = support::backend::<T>() else { return };
    assert_eq!((cases.len(), host.len()), (count, count));
    for (case, host) in cases.iter().zip(&host) {
        match compare(&backend, case, host) {
            Ok(near) => println!("{} {case:?}: {near:.2} of the bound", T::NAME),
            Err(what) => panic!("{} {case:?}: {what}", T::NAME),
        }
    }
}

/// The cases of an op, at a larger shape, whose label has one of some words.
fn larger<B: AttentionKernels>(op: &str, shape: &[usize], words: &[&str]) -> Vec<Case<B>> {
    let cases = attention::cases::<B>();
    let chosen = cases.iter().filter(|case| case.op() == op && case.shape().len() == shape.len());
    let chosen = chosen.filter(|case| words.iter().any(|word| case.label().contains(word)));
    chosen.filter_map(|case| case.at_shape(shape)).collect()
}

/// Shapes are (batch, input channels, output channels, height, width).
fn convolutions<B: Conv2dKernel>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 5], kernel: [usize; 2], bias: bool, options: Conv2dOptions| {
        Case::new("conv2d", label, &shape, move |shape, samples| {
            let &[n, inputs, outputs, h, w] = shape else { return None };
            let x = ("x", samples.normal(&[n, inputs, h, w]));
            let weight =
                ("weight", samples.normal(&[outputs, inputs / options.groups, kernel[0], kernel[1]]));
            if bias {
                let bias = ("bias", samples.normal(&[outputs]));
                Built::new([x, weight, bias], move |v| conv2d(&v[0], &v[1], Some(&v[2]), options))
            } else {
                Built::new([x, weight], move |v| conv2d(&v[0], &v[1], None, options))
            }
        })
    };
    let new = Conv2dOptions::new;
    vec![
        case("several tiles", [2, 70, 66, 9, 8], [3, 3], true, new().padding(1)),
        case("in parts", [1, 130, 9, 3, 4], [3, 3], false, new().padding(1)),
        case(
            "stride 2, dilation 2",
            [2, 20, 17, 11, 12],
            [3, 2],
            false,
            new().stride(2).dilation(2).padding(2),
        ),
        case("groups of some channels", [2, 36, 40, 7, 9], [3, 3], true, new().padding(1).groups(2)),
        case("pointwise", [3, 33, 65, 5, 7], [1, 1], true, new()),
        case(
            "depthwise, the weight's sums in parts",
            [3, 5, 5, 30, 29],
            [3, 3],
            false,
            new().padding(1).groups(5),
        ),
        case("few outputs", [2, 70, 3, 6, 5], [3, 3], true, new().padding(1)),
    ]
}

#[test]
fn convolutions_of_several_tiles() {
    check::<f32>(7, convolutions(), convolutions());
    check::<f64>(7, convolutions(), convolutions());
}

/// Shapes are (batch, offset groups, channels per offset group, output channels, height, width).
fn deformable<B: AttentionKernels>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 6], modulated: bool, options: Conv2dOptions| {
        Case::new("deform_conv2d", label, &shape, move |shape, samples| {
            let &[n, offset_groups, per_group, outputs, h, w] = shape else { return None };
            let (inputs, [rows, columns]) =
                (offset_groups * per_group, [h, w].map(|v| (v - 1) / options.stride[0] + 1));
            let x = ("x", samples.normal(&[n, inputs, h, w]));
            let offset = ("offset", samples.off_grid(&[n, 18 * offset_groups, rows, columns], -2, 2));
            let weight = ("weight", samples.normal(&[outputs, inputs / options.groups, 3, 3]));
            if modulated {
                let mask = ("mask", samples.normal(&[n, 9 * offset_groups, rows, columns]));
                Built::new([x, offset, weight, mask], move |v| {
                    deform_conv2d(&v[0], &v[1], Some(&v[3]), &v[2], None, options)
                })
            } else {
                Built::new([x, offset, weight], move |v| {
                    deform_conv2d(&v[0], &v[1], None, &v[2], None, options)
                })
            }
        })
    };
    let new = || Conv2dOptions::new().padding(1);
    vec![
        case("v1, several tiles", [2, 1, 70, 66, 7, 6], false, new()),
        case("v2, offset groups within groups", [1, 6, 4, 20, 6, 7], true, new().groups(2)),
        case(
            "v2, stride 2, an offset group across groups",
            [2, 2, 20, 36, 9, 8],
            true,
            new().stride(2).groups(4),
        ),
    ]
}

#[test]
fn deformable_convolutions_of_several_tiles() {
    check::<f32>(3, deformable(), deformable());
    check::<f64>(3, deformable(), deformable());
}

#[test]
fn attention_over_several_blocks_of_keys() {
    // Image: two blocks of queries and of keys, value heads wider than one tile; sequences likewise.
    fn cases<B: AttentionKernels>() -> Vec<Case<B>> {
        let image = larger("transformer_attention", &[1, 9, 8, 1, 66], &["1111 image", "0110 image"]);
        let sequence =
            larger("transformer_attention", &[2, 70, 131, 2, 5], &["1111 sequence", "1001 sequence"]);
        image.into_iter().chain(sequence).collect()
    }
    let count = cases::<Cpu<f64>>().len();
    assert!(count >= 6, "{count} cases");
    check::<f32>(count, cases(), cases());
    check::<f64>(count, cases(), cases());
}

#[test]
fn rows_and_steps_beyond_a_group() {
    fn cases<B: AttentionKernels>() -> Vec<Case<B>> {
        let shared = larger("shared_row_attention", &[3, 70, 131, 2, 33], &[""]);
        let steps = larger("lightweight_conv", &[70, 3, 33], &[""]);
        let softmax = larger("softmax_conv", &[40, 2, 2, 37, 3], &[""]);
        let images = larger("dynamic_conv_2d", &[2, 2, 35, 9, 8], &[""]);
        shared.into_iter().chain(steps).chain(softmax).chain(images).collect()
    }
    let count = cases::<Cpu<f64>>().len();
    assert!(count >= 16, "{count} cases");
    check::<f32>(count, cases(), cases());
}
