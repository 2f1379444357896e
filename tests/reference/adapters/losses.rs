//! Loss functions.

use termwise_autograd::{Array, Var};
use termwise_ops::Kernels;
use termwise_ops::{
    CrossEntropy, Reduction, bce_with_logits, cross_entropy, giou_loss, l1_loss, label_smoothed_nll_loss,
    mse_loss, sigmoid_focal_loss, smooth_l1_loss,
};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![
        ("cross_entropy", classes),
        ("label_smoothed_nll_loss", translation),
        ("bce_with_logits", binary),
        ("sigmoid_focal_loss", focal),
        ("smooth_l1", smooth_l1),
        ("l1_loss", |case| elementwise(case, l1_loss)),
        ("mse_loss", |case| elementwise(case, mse_loss)),
        ("giou_loss", boxes),
    ]
}

fn reduction<B: Kernels>(case: &Case<B>, attribute: &str, default: &str) -> Reduction {
    match case.attrs.text(attribute).unwrap_or(default) {
        "none" => Reduction::None,
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        other => panic!("attribute `{attribute}`: unknown reduction {other}"),
    }
}

/// `in.<name>` as an array off the tape, where the attribute of that kind is true.
fn weight<B: Kernels>(case: &mut Case<B>, attribute: &str, name: &str) -> Option<Array<B>> {
    let there = case.attrs.flag_or(attribute, case.has(&format!("in.{name}")));
    there.then(|| case.array(&format!("in.{name}")))
}

fn classes<B: Kernels>(case: &mut Case<B>) {
    let (logits, target) = (case.input("logits"), case.whole("target"));
    let weight = weight(case, "class_weight", "weight");
    let settings = CrossEntropy {
        ignore_index: Some(case.attrs.whole("ignore_index").unwrap_or(-100)),
        label_smoothing: case.attrs.number("label_smoothing").unwrap_or(0.0),
        reduction: reduction(case, "reduction", "mean"),
    };
    let loss = cross_entropy(&logits, &target, weight.as_ref(), &settings);
    case.output("loss", &loss);
}

fn translation<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("input");
    let (logits, target) = (case.input("logits"), case.whole("target"));
    let epsilon = case.attrs.number("epsilon").unwrap_or(0.0);
    let ignored = case.attrs.whole("ignore_index");
    let reduction = reduction(case, "reduce", "sum");
    let (loss, nll) = label_smoothed_nll_loss(&logits, &target, epsilon, ignored, reduction);
    case.output("loss", &loss);
    case.value("nll_loss", &nll.to_f64());
}

fn binary<B: Kernels>(case: &mut Case<B>) {
    // Says only that the logits are huge.
    case.attrs.note("extreme");
    let (logits, target) = (case.input("logits"), case.input("target"));
    let pos_weight = weight(case, "pos_weight", "pos_weight");
    let loss = bce_with_logits(&logits, &target, pos_weight.as_ref(), reduction(case, "reduction", "mean"));
    case.output("loss", &loss);
}

fn focal<B: Kernels>(case: &mut Case<B>) {
    let (logits, target) = (case.input("logits"), case.input("target"));
    let alpha = case.attrs.number("alpha").unwrap_or(0.25);
    let gamma = case.attrs.number("gamma").unwrap_or(2.0);
    let loss = sigmoid_focal_loss(&logits, &target, alpha, gamma, reduction(case, "reduction", "none"));
    case.output("loss", &loss);
}

fn smooth_l1<B: Kernels>(case: &mut Case<B>) {
    let beta = case.attrs.number("beta").unwrap_or(1.0);
    elementwise(case, |x, target, reduction| smooth_l1_loss(x, target, beta, reduction));
}

fn elementwise<B: Kernels>(case: &mut Case<B>, f: impl Fn(&Var<B>, &Var<B>, Reduction) -> Var<B>) {
    let (x, target) = (case.input("x"), case.input("target"));
    let loss = f(&x, &target, reduction(case, "reduction", "mean"));
    case.output("loss", &loss);
}

fn boxes<B: Kernels>(case: &mut Case<B>) {
    let (a, b) = (case.input("boxes1"), case.input("boxes2"));
    let eps = case.attrs.number("eps").unwrap_or(1e-7);
    let loss = giou_loss(&a, &b, eps, reduction(case, "reduction", "none"));
    case.output("loss", &loss);
}
