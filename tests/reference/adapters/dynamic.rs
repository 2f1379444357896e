//! Dynamic and lightweight convolutions, and the block that the translation models are made of.

use ndarray::{ArrayD, Axis};
use termwise_autograd::{Array, Var};
use termwise_ops::Kernels;
use termwise_ops::{
    Conv2dOptions, DynamicConvOptions, dynamic_conv, dynamic_conv_2d, glu, lightweight_conv, linear, mul,
};

use super::Table;
use super::attention::expect_size;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("dynamic_conv", dynamic),
        ("lightweight_conv", lightweight),
        ("dynamic_conv_2d", dynamic_2d),
        ("conv_block_1d", block),
    ]
}

fn dynamic_options<B: Kernels>(case: &Case<B>) -> DynamicConvOptions {
    let attrs = &case.attrs;
    let options = DynamicConvOptions::new(
        attrs.whole("num_heads").unwrap_or(1),
        attrs.whole("kernel_size").expect("kernel_size"),
    );
    options
        .padding_l(attrs.whole("padding_l").expect("padding_l"))
        .weight_softmax(attrs.flag("weight_softmax"))
        .renorm_padding(attrs.flag("renorm_padding"))
        .in_proj(attrs.flag("in_proj"))
}

fn dynamic<B: Kernels>(case: &mut Case<B>) {
    let (x, options) = (case.input("x"), dynamic_options(case));
    let weight = case.param("weight_linear.weight");
    // The layer that makes the input as well always has a bias.
    let has_bias = case.attrs.flag_or("bias", case.has("param.weight_linear.bias")) || options.in_proj;
    let bias = case.param_if(has_bias, "weight_linear.bias");
    let conv_bias = case.optional_param("conv_bias", "conv_bias");
    let query = case.attrs.whole::<usize>("query_size").map(|size| {
        let query = case.input("query");
        case.expect("query_size", size, query.shape()[2]);
        query
    });
    expect_size(case, "input_size", x.shape()[2]);
    let y = dynamic_conv(&x, query.as_ref(), &weight, bias.as_ref(), conv_bias.as_ref(), options);
    case.output("y", &y);
}

fn lightweight<B: Kernels>(case: &mut Case<B>) {
    let (x, weight) = (case.input("x"), case.param("weight"));
    let bias = case.optional_param("bias", "bias");
    expect_size(case, "input_size", x.shape()[2]);
    expect_size(case, "num_heads", weight.shape()[0]);
    expect_size(case, "kernel_size", weight.shape()[2]);
    let padding_l = case.attrs.whole("padding_l").expect("padding_l");
    let y = lightweight_conv(&x, &weight, bias.as_ref(), padding_l, case.attrs.flag("weight_softmax"));
    case.output("y", &y);
}

fn dynamic_2d<B: Kernels>(case: &mut Case<B>) {
    let (x, d) = (case.input("x"), case.param("d"));
    expect_size(case, "in_channels", x.shape()[1]);
    expect_size(case, "groups", d.shape()[0]);
    let kernel: [usize; 2] = case.attrs.pair("kernel_size").expect("kernel_size");
    let options = Conv2dOptions {
        stride: case.attrs.pair("stride").unwrap_or([1; 2]),
        padding: case.attrs.pair("padding").unwrap_or([0; 2]),
        dilation: case.attrs.pair("dilation").unwrap_or([1; 2]),
        groups: 1,
    };
    let pointwise = case.attrs.whole::<usize>("pointwise_out").map(|channels| {
        let weight = case.param("pointwise.weight");
        case.expect("pointwise_out", channels, weight.shape()[0]);
        weight
    });
    let (y, weights) = dynamic_conv_2d(&x, &d, kernel, pointwise.as_ref(), options);
    case.output("y", &y);
    case.output("kernel", &weights);
}

/// Linear, gate, zeros where there is padding, convolution, linear.
fn block<B: Kernels>(case: &mut Case<B>) {
    let x = case.input("x"); // (T, B, C)
    expect_size(case, "embed_dim", x.shape()[2]);
    let mut hidden = layer(case, &x, "linear1");
    if case.attrs.flag("glu") {
        hidden = glu(&hidden, -1);
    }
    expect_size(case, "conv_dim", hidden.shape()[2]);
    if let Some(mask) = case.mask_if(case.attrs.flag("masked"), "padding_mask") {
        let keep: ArrayD<f64> = mask.t().mapv(|masked| f64::from(!masked)).insert_axis(Axis(2)); // (T, B, 1)
        let keep = case.tape().constant(Array::from_f64(case.backend(), &keep));
        hidden = mul(&hidden, &keep);
    }
    let hidden = match case.attrs.text("conv_type").expect("conv_type") {
        "dynamic" => {
            let options = dynamic_options(case);
            let weight = case.param("conv.weight_linear.weight");
            let bias = optional(case, "conv.weight_linear.bias");
            let conv_bias = optional(case, "conv.conv_bias");
            dynamic_conv(&hidden, None, &weight, bias.as_ref(), conv_bias.as_ref(), options)
        }
        "light" | "lightweight" => {
            let weight = case.param("conv.weight");
            let bias = optional(case, "conv.bias");
            expect_size(case, "num_heads", weight.shape()[0]);
            expect_size(case, "kernel_size", weight.shape()[2]);
            let padding_l = case.attrs.whole("padding_l").expect("padding_l");
            lightweight_conv(&hidden, &weight, bias.as_ref(), padding_l, case.attrs.flag("weight_softmax"))
        }
        other => panic!("unknown conv_type {other}"),
    };
    let y = layer(case, &hidden, "linear2");
    case.output("y", &y);
}

fn optional<B: Kernels>(case: &mut Case<B>, name: &str) -> Option<Var<B>> {
    case.param_if(case.has(&format!("param.{name}")), name)
}

fn layer<B: Kernels>(case: &mut Case<B>, x: &Var<B>, name: &str) -> Var<B> {
    let (weight, bias) = (case.param(&format!("{name}.weight")), case.param(&format!("{name}.bias")));
    linear(x, &weight, Some(&bias))
}
