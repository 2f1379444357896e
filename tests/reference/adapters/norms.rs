//! Normalisations.

use termwise_autograd::{Array, Cpu, Scalar};
use termwise_ops::{batch_norm_eval, batch_norm_train, group_norm, layer_norm};

use super::Table;
use crate::case::{Case, CpuVar};

pub fn table<T: Scalar>() -> Table<T> {
    vec![("batch_norm", batch), ("layer_norm", layer), ("group_norm", group)]
}

/// Weight and bias, where the case is affine.
fn affine<T: Scalar>(case: &mut Case<T>) -> (Option<CpuVar<T>>, Option<CpuVar<T>>) {
    (case.optional_param("affine", "weight"), case.optional_param("affine", "bias"))
}

fn eps<T: Scalar>(case: &Case<T>) -> f64 {
    case.attrs.number("eps").unwrap_or(1e-5)
}

fn batch<T: Scalar>(case: &mut Case<T>) {
    let (x, (weight, bias), eps) = (case.input("x"), affine(case), eps(case));
    let momentum = case.attrs.number("momentum").unwrap_or(0.1);
    let running = |case: &mut Case<T>, name: &str| -> Array<Cpu<T>> {
        Array::from_f64(&Cpu::new(), &case.numbers(&format!("in.{name}")))
    };
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

fn layer<T: Scalar>(case: &mut Case<T>) {
    let (x, (weight, bias), eps) = (case.input("x"), affine(case), eps(case));
    let shape: Vec<usize> = case.attrs.list("normalized_shape").expect("normalized_shape");
    let y = layer_norm(&x, &shape, weight.as_ref(), bias.as_ref(), eps);
    case.output("y", &y);
}

fn group<T: Scalar>(case: &mut Case<T>) {
    let (x, (weight, bias), eps) = (case.input("x"), affine(case), eps(case));
    let groups = case.attrs.whole("num_groups").expect("num_groups");
    let y = group_norm(&x, groups, weight.as_ref(), bias.as_ref(), eps);
    case.output("y", &y);
}
