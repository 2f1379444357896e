//! Activation functions and the softmax family.

use termwise_autograd::Var;
use termwise_ops::Kernels;
use termwise_ops::{
    gelu, gelu_tanh, glu, leaky_relu, log_softmax, masked_softmax, relu, sigmoid, silu, softmax, tanh,
};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("relu", |case| pointwise(case, relu)),
        ("sigmoid", |case| pointwise(case, sigmoid)),
        ("silu", |case| pointwise(case, silu)),
        ("tanh", |case| pointwise(case, tanh)),
        ("leaky_relu", |case| {
            let slope = case.attrs.number("negative_slope").unwrap_or(0.01);
            pointwise(case, |x| leaky_relu(x, slope));
        }),
        ("gelu", |case| match case.attrs.text("approximate").unwrap_or("none") {
            "none" => pointwise(case, gelu),
            "tanh" => pointwise(case, gelu_tanh),
            other => panic!("unknown approximation {other}"),
        }),
        ("glu", |case| along(case, glu)),
        ("softmax", |case| along(case, softmax)),
        ("log_softmax", |case| along(case, log_softmax)),
        ("masked_softmax", |case| {
            case.attrs.note("fill");
            let mask = case.mask("mask");
            along(case, |x, axis| masked_softmax(x, &mask, axis));
        }),
    ]
}

fn pointwise<B: Kernels>(case: &mut Case<B>, f: impl Fn(&Var<B>) -> Var<B>) {
    // Says only that the inputs are huge.
    case.attrs.note("extreme");
    case.map("x", f);
}

/// Along attribute `dim`, the last axis by default.
fn along<B: Kernels>(case: &mut Case<B>, f: impl Fn(&Var<B>, isize) -> Var<B>) {
    // The inputs are scaled already.
    case.attrs.note("logit_scale");
    let axis = case.attrs.whole("dim").unwrap_or(-1);
    case.map("x", |x| f(x, axis));
}
