//! Test cases of dynamic and lightweight convolution in all forms.

use termwise_autograd::gradcheck::{Built, Case};

use super::{
    BlockConv, ConvBlock1d, DynamicConv2dKernels, DynamicConvKernels, DynamicConvOptions, conv_block_1d,
    dynamic_conv, dynamic_conv_2d, lightweight_conv,
};
use super::{dynamic_conv_per_position, dynamic_conv_per_step, dynamic_conv_step_softmax};
use crate::activations::GluKernel;
use crate::conv::Conv2dOptions;

/// Test cases of dynamic and lightweight convolution and of the sums they are made of.
pub fn cases<B: DynamicConvKernels + DynamicConv2dKernels + GluKernel>() -> Vec<Case<B>> {
    [
        dynamic_conv_per_step::cases(),
        dynamic_conv_step_softmax::cases(),
        dynamic_conv_per_position::cases(),
        dynamic_conv_cases(),
        lightweight_conv_cases(),
        dynamic_conv_2d_cases(),
        conv_block_1d_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Shapes are (steps, batch, channels per head).
fn dynamic_conv_cases<B: DynamicConvKernels>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 3], query_size: Option<usize>, options: DynamicConvOptions| {
        Case::new("dynamic_conv", label, &shape, move |shape, samples| {
            let &[steps, batch, per_head] = shape else { return None };
            if per_head == 0 {
                return None;
            }
            let channels = options.num_heads * per_head;
            let outputs =
                options.num_heads * options.kernel_size + if options.in_proj { channels } else { 0 };
            let x = ("x", samples.normal(&[steps, batch, channels]));
            let weight = ("weight_linear", samples.normal(&[outputs, query_size.unwrap_or(channels)]));
            let bias = ("bias", samples.normal(&[outputs]));
            let conv_bias = ("conv_bias", samples.normal(&[channels]));
            match query_size {
                Some(size) => {
                    let query = ("query", samples.normal(&[steps, batch, size]));
                    Built::new([x, weight, bias, conv_bias, query], move |v| {
                        dynamic_conv(&v[0], Some(&v[4]), &v[1], Some(&v[2]), Some(&v[3]), options)
                    })
                }
                None => Built::new([x, weight, bias, conv_bias], move |v| {
                    dynamic_conv(&v[0], None, &v[1], Some(&v[2]), Some(&v[3]), options)
                }),
            }
        })
    };
    let new = DynamicConvOptions::new;
    vec![
        case("one step, one tap", [1, 1, 1], None, new(1, 1)),
        case("centred", [5, 2, 2], None, new(2, 3)),
        case("causal, longer than the sequence", [3, 1, 2], None, new(2, 5).causal()),
        case("a query of its own", [4, 2, 3], Some(5), new(1, 3).causal()),
        case("no softmax", [4, 1, 1], None, new(3, 3).weight_softmax(false)),
        case("renormalised", [4, 1, 2], None, new(2, 5).renorm_padding(true)),
        case("projected input", [4, 1, 2], None, new(2, 3).in_proj(true)),
        case("empty batch", [4, 0, 2], None, new(2, 3)),
    ]
}

/// Shapes are (steps, batch, channels per head).
fn lightweight_conv_cases<B: DynamicConvKernels>() -> Vec<Case<B>> {
    let case = |shape: [usize; 3], heads: usize, taps: usize, padding_l: usize, weight_softmax: bool| {
        let label = format!("{heads} heads, {taps} taps, padding_l {padding_l}, softmax {weight_softmax}");
        Case::new("lightweight_conv", label, &shape, move |shape, samples| {
            let &[steps, batch, per_head] = shape else { return None };
            if per_head == 0 {
                return None;
            }
            let inputs = [
                ("x", samples.normal(&[steps, batch, heads * per_head])),
                ("weight", samples.normal(&[heads, 1, taps])),
                ("bias", samples.normal(&[heads * per_head])),
            ];
            Built::new(inputs, move |v| {
                lightweight_conv(&v[0], &v[1], Some(&v[2]), padding_l, weight_softmax)
            })
        })
    };
    vec![
        case([1, 1, 1], 1, 1, 0, false),
        case([6, 2, 3], 2, 3, 1, true),
        case([7, 1, 1], 3, 4, 3, false),
        case([3, 2, 2], 1, 7, 3, true),
        case([0, 2, 2], 2, 3, 1, true),
    ]
}

/// Shapes are (batch, groups, channels per group, height, width).
fn dynamic_conv_2d_cases<B: DynamicConv2dKernels>() -> Vec<Case<B>> {
    let case =
        |label: &str, shape: [usize; 5], kernel: [usize; 2], pointwise: bool, options: Conv2dOptions| {
            Case::new("dynamic_conv_2d", label, &shape, move |shape, samples| {
                let &[batch, groups, per_group, h, w] = shape else { return None };
                let channels = groups * per_group;
                if channels == 0 || h == 0 || w == 0 {
                    return None;
                }
                let x = ("x", samples.normal(&[batch, channels, h, w]));
                let d = ("d", samples.normal(&[groups, kernel[0] * kernel[1], channels]));
                if pointwise {
                    let weight = ("pointwise", samples.normal(&[3, channels, 1, 1]));
                    Built::new([x, d, weight], move |v| {
                        dynamic_conv_2d(&v[0], &v[1], kernel, Some(&v[2]), options).0
                    })
                } else {
                    Built::new([x, d], move |v| dynamic_conv_2d(&v[0], &v[1], kernel, None, options).0)
                }
            })
        };
    let new = Conv2dOptions::new;
    vec![
        case("1x1", [1, 1, 1, 1, 1], [1, 1], false, new()),
        case("3x3, pointwise", [2, 2, 2, 3, 2], [3, 3], true, new().padding(1)),
        case(
            "one channel per group, dilation 2",
            [1, 3, 1, 3, 4],
            [3, 3],
            false,
            new().padding(2).dilation(2),
        ),
        case("stride 2", [1, 2, 1, 5, 4], [3, 3], false, new().padding(1).stride(2)),
        case("kernel (5, 3), larger than the image", [1, 1, 2, 2, 2], [5, 3], false, new().padding((2, 1))),
    ]
}

/// Shapes are (steps, batch, channels).
fn conv_block_1d_cases<B: DynamicConvKernels + GluKernel>() -> Vec<Case<B>> {
    let case = |label: &str, shape: [usize; 3], glu: bool, dynamic: bool| {
        Case::new("conv_block_1d", label, &shape, move |shape, samples| {
            let &[steps, batch, channels] = shape else { return None };
            if channels == 0 {
                return None;
            }
            let (heads, taps, width) = (2, 3, 4);
            let mask = samples.mask(&[batch, steps], 0.3);
            let kernel_shape = if dynamic { vec![heads * taps, width] } else { vec![heads, 1, taps] };
            let inputs = [
                ("x", samples.normal(&[steps, batch, channels])),
                ("linear1.weight", samples.normal(&[if glu { 2 * width } else { width }, channels])),
                ("linear1.bias", samples.normal(&[if glu { 2 * width } else { width }])),
                ("conv.weight", samples.normal(&kernel_shape)),
                ("linear2.weight", samples.normal(&[channels, width])),
                ("linear2.bias", samples.normal(&[channels])),
            ];
            Built::new(inputs, move |v| {
                let conv = if dynamic {
                    let options = DynamicConvOptions::new(heads, taps).causal();
                    BlockConv::Dynamic { weight_linear: &v[3], bias: None, conv_bias: None, options }
                } else {
                    BlockConv::Lightweight { weight: &v[3], bias: None, padding_l: 1, weight_softmax: true }
                };
                let block = ConvBlock1d {
                    linear1_weight: &v[1],
                    linear1_bias: Some(&v[2]),
                    glu,
                    conv,
                    linear2_weight: &v[4],
                    linear2_bias: Some(&v[5]),
                };
                conv_block_1d(&v[0], Some(&mask), &block)
            })
        })
    };
    vec![
        case("one step", [1, 1, 1], true, true),
        case("dynamic, gated", [4, 2, 3], true, true),
        case("lightweight, gated", [5, 1, 2], true, false),
        case("dynamic, not gated", [3, 2, 2], false, true),
    ]
}
