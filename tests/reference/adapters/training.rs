//! Optimisers, gradient clipping and learning-rate schedules.

use std::collections::BTreeMap;

use ndarray::{Array0, Array1, ArrayD, Axis};
use termwise_autograd::{Array, Param, Scalar, Tape, Var};
use termwise_ops::Kernels;
use termwise_ops::optim::{Adam, AdamConfig, GradientSource, Optimizer, Sgd, SgdConfig, clip_grad_norm};
use termwise_ops::schedule::Schedule;
use termwise_ops::{CrossEntropy, cross_entropy, linear, matmul, scale, sub, tanh};

use super::Table;
use crate::case::Case;

pub fn table<B: Kernels>() -> Table<B> {
    vec![("optimizer", optimizer), ("clip_grad_norm", clipping), ("lr_schedule", schedule)]
}

type Gradients<B> = BTreeMap<String, Array<B>>;

/// The optimiser that the attributes describe, with the reference library's defaults.
fn make<B: Kernels>(case: &Case<B>) -> Box<dyn Optimizer<B>> {
    let attrs = &case.attrs;
    for variant in ["amsgrad", "maximize"] {
        assert!(!attrs.flag(variant), "{variant} is not offered");
    }
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

/// Replays the stored gradients, then recomputes them from the stated problem.
fn optimizer<B: Kernels>(case: &mut Case<B>) {
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

    let owned: Vec<Param<B>> = start.iter().map(|value| Param::new(case.place(value))).collect();
    let params: Vec<(String, &Param<B>)> = names.iter().cloned().zip(&owned).collect();
    let mut optimizer = make(case);
    let mut trajectory: Vec<ArrayD<f64>> = grads.iter().map(|grads| ArrayD::zeros(grads.shape())).collect();
    let mut norms = Vec::new();
    for (step, &lr) in lrs.iter().enumerate() {
        let gradients: Gradients<B> = names
            .iter()
            .cloned()
            .zip(grads.iter().map(|g| case.place(&g.index_axis(Axis(0), step).to_owned())))
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
    let absolute = if <B::Scalar as Scalar>::NAME == "f64" { 1e-13 } else { 1e-5 };
    for (name, trajectory) in names.iter().zip(&trajectory) {
        case.value_within(&format!("traj.{name}"), trajectory, absolute);
    }
    let state: BTreeMap<String, Array<B>> = optimizer.state().into_iter().collect();
    for name in case.names("out.state.") {
        if let Some(found) = state.get(&name) {
            case.value(&format!("state.{name}"), &found.to_f64());
        }
    }
    if clip_norm.is_some() {
        case.value("total_norm", &Array1::from(norms));
    }
    recompute(case, &names, &start, &trajectory, &grads);
}

/// Losses and gradients of the stated problem, at the parameters before each step.
fn recompute<B: Kernels>(
    case: &mut Case<B>,
    names: &[String],
    start: &[ArrayD<f64>],
    trajectory: &[ArrayD<f64>],
    grads: &[ArrayD<f64>],
) {
    let problem = Problem::read(case);
    let mut losses = Vec::new();
    let mut found: Vec<ArrayD<f64>> = grads.iter().map(|grads| ArrayD::zeros(grads.shape())).collect();
    for step in 0..grads[0].shape()[0] {
        let tape = Tape::new(case.backend().clone());
        let params: BTreeMap<String, Var<B>> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let value = match step.checked_sub(1) {
                    None => start[i].clone(),
                    Some(before) => trajectory[i].index_axis(Axis(0), before).to_owned(),
                };
                (name.clone(), tape.leaf(case.place(&value)))
            })
            .collect();
        let loss = problem.loss(&tape, &params);
        losses.push(loss.value().item().as_f64());
        let gradients = tape.backward(&loss);
        for (found, name) in found.iter_mut().zip(names) {
            let gradient = gradients.of(&params[name]).expect("the loss depends on every parameter");
            found.index_axis_mut(Axis(0), step).assign(&gradient.to_f64());
        }
    }
    case.value("loss", &Array1::from(losses));
    for ((name, found), expected) in names.iter().zip(&found).zip(grads) {
        case.agree(&format!("in.grads.{name}, recomputed"), found, expected);
    }
}

/// The problem that the stored gradients come from.
enum Problem<B: Kernels> {
    /// `0.5 x^T A x - b^T x`
    Quadratic { a: Array<B>, b: Array<B> },
    /// Mean cross-entropy of a perceptron with one hidden layer of tanh.
    Perceptron { x: Array<B>, labels: ArrayD<i64> },
}

impl<B: Kernels> Problem<B> {
    fn read(case: &mut Case<B>) -> Self {
        match case.attrs.text("problem").expect("problem") {
            "loss = 0.5 x^T A x - b^T x" => {
                Problem::Quadratic { a: case.array("in.A"), b: case.array("in.b") }
            }
            "loss = cross_entropy(linear(tanh(linear(X,w1,b1)),w2,b2), labels), mean" => {
                Problem::Perceptron { x: case.array("in.X"), labels: case.whole("labels") }
            }
            other => panic!("unknown problem {other}"),
        }
    }

    fn loss(&self, tape: &Tape<B>, params: &BTreeMap<String, Var<B>>) -> Var<B> {
        match self {
            Problem::Quadratic { a, b } => {
                let (x, a, b) = (&params["x"], tape.constant(a.clone()), tape.constant(b.clone()));
                sub(&scale(&matmul(x, &matmul(&a, x)), 0.5), &matmul(&b, x))
            }
            Problem::Perceptron { x, labels } => {
                let hidden = tanh(&linear(&tape.constant(x.clone()), &params["w1"], Some(&params["b1"])));
                let logits = linear(&hidden, &params["w2"], Some(&params["b2"]));
                cross_entropy(&logits, labels, None, &CrossEntropy::default())
            }
        }
    }
}

fn clipping<B: Kernels>(case: &mut Case<B>) {
    case.attrs.note("formula");
    assert_eq!(case.attrs.number("norm_type").unwrap_or(2.0), 2.0, "norm_type");
    let max_norm = case.attrs.number("max_norm").expect("max_norm");
    let gradients: Gradients<B> =
        case.names("in.").into_iter().map(|name| (name.clone(), case.array(&format!("in.{name}")))).collect();
    let owned: Vec<_> =
        gradients.values().map(|g| Param::new(Array::zeros(case.backend(), g.shape()))).collect();
    let params: Vec<(String, &Param<B>)> = gradients.keys().cloned().zip(&owned).collect();
    let clipped = clip_grad_norm(&params, &gradients, max_norm);
    case.value("total_norm", &Array0::from_elem((), clipped.total_norm()));
    for (name, param) in &params {
        let scaled = clipped.scaled(name, param).expect("every parameter has a gradient");
        case.value(name, &scaled.to_f64());
    }
    // What an optimiser sees is the same: a step of plain SGD with lr 1 from 0 leaves minus that.
    Sgd::new(SgdConfig::default()).step(&params, &clipped as &dyn GradientSource<B>, 1.0);
    for (name, param) in &params {
        case.value(name, &param.value().to_f64().mapv(|v| -v));
    }
}

fn schedule<B: Kernels>(case: &mut Case<B>) {
    let mut attrs = case.attrs.all().clone();
    attrs.remove("formula");
    attrs.remove("note");
    // The attributes are the serialised form of a schedule; it refuses keys that it does not know.
    let schedule: Schedule = serde_json::from_value(attrs.into())
        .unwrap_or_else(|error| panic!("attributes of a schedule: {error}"));
    let lrs: Array1<f64> = case.whole("step").iter().map(|&step| schedule.lr(step as f64)).collect();
    case.value("lr", &lrs);
}
