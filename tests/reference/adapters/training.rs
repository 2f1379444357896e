//! Optimisers, gradient clipping and learning-rate schedules.

use std::collections::BTreeMap;

use ndarray::{Array0, Array1, ArrayD, Axis};
use termwise_autograd::{Array, Cpu, Param, Scalar};
use termwise_ops::optim::{
    Adam, AdamConfig, GradientSource, Optimizer, OptimizerKernel, Sgd, SgdConfig, clip_grad_norm,
};
use termwise_ops::schedule::Schedule;

use super::Table;
use crate::case::Case;

pub fn table<T: Scalar>() -> Table<T> {
    vec![("optimizer", optimizer), ("clip_grad_norm", clipping), ("lr_schedule", schedule)]
}

type Gradients<T> = BTreeMap<String, Array<Cpu<T>>>;

/// The optimiser that the attributes describe, with the reference library's defaults.
fn make<T: Scalar>(case: &Case<T>) -> Box<dyn Optimizer<Cpu<T>>>
where
    Cpu<T>: OptimizerKernel,
{
    let attrs = &case.attrs;
    let decay = attrs.number("weight_decay");
    let adam = |defaults: AdamConfig| {
        let betas = attrs.numbers("betas").unwrap_or(vec![defaults.beta1, defaults.beta2]);
        let [beta1, beta2] = betas[..] else { panic!("betas: expected two, found {betas:?}") };
        let eps = attrs.number("eps").unwrap_or(defaults.eps);
        let weight_decay = decay.unwrap_or(defaults.weight_decay);
        Box::new(Adam::new(AdamConfig { beta1, beta2, eps, weight_decay, ..defaults }))
    };
    match attrs.text("optimizer").expect("optimizer") {
        "sgd" => Box::new(Sgd::new(SgdConfig {
            momentum: attrs.number("momentum").unwrap_or(0.0),
            dampening: attrs.number("dampening").unwrap_or(0.0),
            nesterov: attrs.flag("nesterov"),
            weight_decay: decay.unwrap_or(0.0),
        })),
        "adam" => adam(AdamConfig::adam()),
        "adamw" => adam(AdamConfig::adamw()),
        other => panic!("unknown optimizer {other}"),
    }
}

fn array<T: Scalar>(values: &ArrayD<f64>) -> Array<Cpu<T>> {
    Array::from_f64(&Cpu::new(), values)
}

/// Replays the stored gradients, then recomputes them from the stated problem.
fn optimizer<T: Scalar>(case: &mut Case<T>) {
    let names = case.names("param.");
    let start: Vec<ArrayD<f64>> = names.iter().map(|name| case.numbers(&format!("param.{name}"))).collect();
    let grads: Vec<ArrayD<f64>> =
        names.iter().map(|name| case.numbers(&format!("in.grads.{name}"))).collect();
    let steps: usize = case.attrs.whole("steps").expect("steps");
    for grads in &grads {
        case.expect("steps", steps, grads.shape()[0]);
    }
    let lr = case.attrs.number("lr").expect("lr");
    let lrs = match case.attrs.flag("per_step_lr") {
        true => case.numbers("in.lr").into_iter().collect(),
        false => vec![lr; steps],
    };
    let clip_norm = case.attrs.number("clip_norm");

    let owned: Vec<Param<Cpu<T>>> = start.iter().map(|value| Param::new(array(value))).collect();
    let params: Vec<(String, &Param<Cpu<T>>)> = names.iter().cloned().zip(&owned).collect();
    let mut optimizer = make(case);
    let mut trajectory: Vec<ArrayD<f64>> = grads.iter().map(|grads| ArrayD::zeros(grads.shape())).collect();
    let mut norms = Vec::new();
    for (step, &lr) in lrs.iter().enumerate() {
        let gradients: Gradients<T> = names
            .iter()
            .cloned()
            .zip(grads.iter().map(|g| array(&g.index_axis(Axis(0), step).to_owned())))
            .collect();
        match clip_norm {
            Some(max_norm) => {
                let clipped = clip_grad_norm(&params, &gradients, max_norm);
                norms.push(clipped.total_norm());
                optimizer.step(&params, &clipped, lr);
            }
            None => optimizer.step(&params, &gradients, lr),
        }
        for (trajectory, param) in trajectory.iter_mut().zip(&owned) {
            trajectory.index_axis_mut(Axis(0), step).assign(&param.value().to_f64());
        }
        if step == steps / 2 {
            // A saved state, taken up by another optimiser, must go on as if nothing had happened.
            let state = optimizer.state();
            optimizer = make(case);
            optimizer.load_state(&params, state).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    // Replaying stored gradients leaves nothing but the rounding of the update itself.
    let absolute = if T::NAME == "f64" { 1e-13 } else { 1e-5 };
    for (name, trajectory) in names.iter().zip(&trajectory) {
        case.value_within(&format!("traj.{name}"), trajectory, absolute);
    }
    let state: BTreeMap<String, Array<Cpu<T>>> = optimizer.state().into_iter().collect();
    for name in case.names("out.state.") {
        if let Some(found) = state.get(&name) {
            case.value(&format!("state.{name}"), &found.to_f64());
        }
    }
    if clip_norm.is_some() {
        case.value("total_norm", &Array1::from(norms));
    }
}

fn clipping<T: Scalar>(case: &mut Case<T>) {
    case.attrs.note("formula");
    assert_eq!(case.attrs.number("norm_type").unwrap_or(2.0), 2.0, "norm_type");
    let max_norm = case.attrs.number("max_norm").expect("max_norm");
    let gradients: Gradients<T> = case
        .names("in.")
        .into_iter()
        .map(|name| (name.clone(), array(&case.numbers(&format!("in.{name}")))))
        .collect();
    let owned: Vec<_> =
        gradients.values().map(|g| Param::new(Array::zeros(&Cpu::new(), g.shape()))).collect();
    let params: Vec<(String, &Param<Cpu<T>>)> = gradients.keys().cloned().zip(&owned).collect();
    let clipped = clip_grad_norm(&params, &gradients, max_norm);
    case.value("total_norm", &Array0::from_elem((), clipped.total_norm()));
    for (name, param) in &params {
        let scaled = clipped.scaled(name, param).expect("every parameter has a gradient");
        case.value(name, &scaled.to_f64());
    }
    // What an optimiser sees is the same: a step of plain SGD with lr 1 from 0 leaves minus that.
    Sgd::new(SgdConfig::default()).step(&params, &clipped as &dyn GradientSource<Cpu<T>>, 1.0);
    for (name, param) in &params {
        case.value(name, &param.value().to_f64().mapv(|v| -v));
    }
}

fn schedule<T: Scalar>(case: &mut Case<T>) {
    let mut attrs = case.attrs.all().clone();
    attrs.remove("formula");
    attrs.remove("note");
    // The attributes are the serialised form of a schedule; it refuses keys that it does not know.
    let schedule: Schedule = serde_json::from_value(attrs.into())
        .unwrap_or_else(|error| panic!("attributes of a schedule: {error}"));
    let lrs: Array1<f64> = case.whole("step").iter().map(|&step| schedule.lr(step as f64)).collect();
    case.value("lr", &lrs);
}
