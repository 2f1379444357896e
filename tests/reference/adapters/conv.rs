//! Convolutions: regular, transposed, deformable.

use termwise_ops::Kernels;
use termwise_ops::{Conv2dOptions, conv_transpose2d, conv2d, deform_conv2d, sigmoid, split};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("conv2d", regular),
        ("conv_transpose2d", transposed),
        ("deform_conv2d", deformable),
        ("deform_conv2d_pack", pack),
    ]
}

/// Stride, padding, dilation and groups, with the reference library's defaults.
fn options<B: Kernels>(case: &Case<B>) -> Conv2dOptions {
    let attrs = &case.attrs;
    Conv2dOptions {
        stride: attrs.pair("stride").unwrap_or([1; 2]),
        padding: attrs.pair("padding").unwrap_or([0; 2]),
        dilation: attrs.pair("dilation").unwrap_or([1; 2]),
        groups: attrs.whole("groups").unwrap_or(1),
    }
}

/// The attribute `kernel_size` must be that of the weight.
fn expect_kernel<B: Kernels>(case: &mut Case<B>, weight: &[usize]) {
    if let Some(stated) = case.attrs.pair::<usize>("kernel_size") {
        case.expect("kernel_size", &stated[..], &weight[2..]);
    }
}

fn regular<B: Kernels>(case: &mut Case<B>) {
    let (x, weight, options) = (case.input("x"), case.param("weight"), options(case));
    let bias = case.optional_param("bias", "bias");
    expect_kernel(case, weight.shape());
    let y = conv2d(&x, &weight, bias.as_ref(), options);
    case.output("y", &y);
}

fn transposed<B: Kernels>(case: &mut Case<B>) {
    let (x, weight, options) = (case.input("x"), case.param("weight"), options(case));
    let bias = case.optional_param("bias", "bias");
    expect_kernel(case, weight.shape());
    let output_padding = case.attrs.pair::<usize>("output_padding").unwrap_or([0; 2]);
    let y = conv_transpose2d(&x, &weight, bias.as_ref(), options, output_padding);
    case.output("y", &y);
}

fn deformable<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("offset_mode");
    let (x, weight, options) = (case.input("x"), case.param("weight"), options(case));
    let bias = case.optional_param("bias", "bias");
    expect_kernel(case, weight.shape());
    let offset = case.input("offset");
    let mask = case.attrs.flag("modulated").then(|| case.input("mask"));
    if let Some(stated) = case.attrs.whole::<usize>("offset_groups") {
        let taps: usize = weight.shape()[2..].iter().product();
        case.expect("offset_groups", stated, offset.shape()[1] / (2 * taps));
    }
    let y = deform_conv2d(&x, &offset, mask.as_ref(), &weight, bias.as_ref(), options);
    case.output("y", &y);
}

/// Deformable convolution whose offsets, and mask, come from a convolution of the input itself.
fn pack<B: Kernels>(case: &mut Case<B>) {
    let (x, weight, options) = (case.input("x"), case.param("weight"), options(case));
    let bias = case.optional_param("bias", "bias");
    expect_kernel(case, weight.shape());
    for (attribute, found) in [("in_channels", x.shape()[1]), ("out_channels", weight.shape()[0])] {
        if let Some(stated) = case.attrs.whole::<usize>(attribute) {
            case.expect(attribute, stated, found);
        }
    }
    let predictor = (case.param("conv_offset.weight"), case.param("conv_offset.bias"));
    let predicted = conv2d(&x, &predictor.0, Some(&predictor.1), Conv2dOptions { groups: 1, ..options });
    let taps: usize = weight.shape()[2..].iter().product();
    let groups: usize = case.attrs.whole("deform_groups").unwrap_or(1);
    let (offset, mask) = if case.attrs.flag("modulated") {
        // The first two thirds are the offsets, the rest makes the mask.
        let parts = split(&predicted, &[2 * groups * taps, groups * taps], 1);
        (parts[0].clone(), Some(sigmoid(&parts[1])))
    } else {
        case.expect("deform_groups", groups, predicted.shape()[1] / (2 * taps));
        (predicted, None)
    };
    let y = deform_conv2d(&x, &offset, mask.as_ref(), &weight, bias.as_ref(), options);
    case.output("y", &y);
}
