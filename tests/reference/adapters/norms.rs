//! Normalisations.

use termwise_autograd::{Array, Var};
use termwise_ops::Kernels;
use termwise_ops::{batch_norm_eval, batch_norm_train, group_norm, layer_norm};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![("batch_norm", batch), ("layer_norm", layer), ("group_norm", group)]
}

/// Weight and bias, where the case is affine.
fn affine<B: Kernels>(case: &mut Case<B>) -> (Option<Var<B>>, Option<Var<B>>) {
    (case.optional_param("affine", "weight"), case.optional_param("affine", "bias"))
}

fn eps<B: Kernels>(case: &Case<B>) -> f64 {
    case.attrs.number("eps").unwrap_or(1e-5)
}

fn batch<B: Kernels>(case: &mut Case<B>) {
    let (x, (weight, bias), eps) = (case.input("x"), affine(case), eps(case));
    let momentum = case.attrs.number("momentum").unwrap_or(0.1);
    let running = |case: &mut Case<B>, name: &str| -> Array<B> { case.array(&format!("in.{name}")) };
    let (mean, var) = (running(case, "running_mean"), running(case, "running_var"));
    let (y, after) = if case.attrs.flag("training") {
        let (y, statistics) = batch_norm_train(&x, weight.as_ref(), bias.as_ref(), eps);
        (y, statistics.update_running(&mean, &var, momentum))
    } else {
        let y = batch_norm_eval(&x, &mean, &var, weight.as_ref(), bias.as_ref(), eps);
        (y, (mean, var))
    };
    case.output("y", &y);
    case.value("running_mean", &after.0.to_f64());
    case.value("running_var", &after.1.to_f64());
}

fn layer<B: Kernels>(case: &mut Case<B>) {
    let (x, (weight, bias), eps) = (case.input("x"), affine(case), eps(case));
    let shape: Vec<usize> = case.attrs.list("normalized_shape").expect("normalized_shape");
    let y = layer_norm(&x, &shape, weight.as_ref(), bias.as_ref(), eps);
    case.output("y", &y);
}

fn group<B: Kernels>(case: &mut Case<B>) {
    let (x, (weight, bias), eps) = (case.input("x"), affine(case), eps(case));
    let groups = case.attrs.whole("num_groups").expect("num_groups");
    let y = group_norm(&x, groups, weight.as_ref(), bias.as_ref(), eps);
    case.output("y", &y);
}
