//! Steps worked out by hand, state saved and taken up again, what is skipped.

use std::collections::HashMap;

use numbers::normal;
use termwise_autograd::{Array, Cpu, Param, Scalar};

use super::*;

type Host = Cpu<f64>;

/// Numbers that look random, without a generator.
mod numbers {
    pub fn normal(len: usize, seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
        };
        (0..len).map(|_| next() + next() + next()).collect()
    }
}

fn param(values: &[f64]) -> Param<Host> {
    Param::new(Array::host(&[values.len()], values.to_vec()))
}

fn gradients(values: &[f64]) -> HashMap<String, Array<Host>> {
    HashMap::from([("p".to_string(), Array::host(&[values.len()], values.to_vec()))])
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-14 * (1.0 + e.abs()), "{found:?} is not {expected:?}");
    }
}

/// The parameter after each of the steps with these gradients.
fn trajectory(optimizer: &mut dyn Optimizer<Host>, start: f64, lr: f64, grads: &[f64]) -> Vec<f64> {
    let p = param(&[start]);
    let params = [("p".to_string(), &p)];
    grads
        .iter()
        .map(|&g| {
            optimizer.step(&params, &gradients(&[g]), lr);
            p.value().item()
        })
        .collect()
}

#[test]
fn sgd_adds_weight_decay_to_the_gradient() {
    let mut sgd = Sgd::new(SgdConfig { weight_decay: 0.5, ..SgdConfig::default() });
    // g = 2 + 0.5 * 4 = 4, p = 4 - 0.1 * 4 = 3.6; g = 1 + 1.8 = 2.8, p = 3.6 - 0.28
    assert_close(&trajectory(&mut sgd, 4.0, 0.1, &[2.0, 1.0]), &[3.6, 3.32]);
    assert!(sgd.state().is_empty(), "without momentum there is nothing to keep");
}

#[test]
fn sgd_momentum_starts_from_the_whole_gradient_and_is_dampened_afterwards() {
    let mut sgd = Sgd::new(SgdConfig { momentum: 0.5, dampening: 0.25, ..SgdConfig::default() });
    // b = 2; b = 0.5 * 2 + 0.75 * 4 = 4; b = 0.5 * 4 + 0.75 * 0 = 2
    assert_close(&trajectory(&mut sgd, 1.0, 0.1, &[2.0, 4.0, 0.0]), &[0.8, 0.4, 0.2]);
    assert_eq!(sgd.state()[0].1.item(), 2.0);
}

#[test]
fn sgd_nesterov_looks_ahead() {
    let mut sgd = Sgd::new(SgdConfig { momentum: 0.5, nesterov: true, ..SgdConfig::default() });
    // b = 2, g = 2 + 0.5 * 2 = 3; b = 0.5 * 2 + 4 = 5, g = 4 + 2.5 = 6.5
    assert_close(&trajectory(&mut sgd, 1.0, 0.1, &[2.0, 4.0]), &[0.7, 0.05]);
}

#[test]
#[should_panic(expected = "sgd: nesterov needs momentum > 0 and dampening = 0, they are 0.9 and 0.1")]
fn sgd_nesterov_with_dampening_is_refused() {
    Sgd::<Host>::new(SgdConfig { momentum: 0.9, dampening: 0.1, nesterov: true, ..SgdConfig::default() });
}

#[test]
fn adam_corrects_bias_before_it_adds_eps() {
    let config = AdamConfig { beta1: 0.5, beta2: 0.75, eps: 0.1, ..AdamConfig::adam() };
    // t = 1: m = 1, v = 1, mhat = 2, vhat = 4: p = 1 - 0.1 * 2 / (2 + 0.1)
    // t = 2: m = 0.5 + 1.5 = 2, mhat = 2 / 0.75, v = 0.75 + 0.25 * 9 = 3, vhat = 3 / 0.4375
    let first: f64 = 1.0 - 0.2 / 2.1;
    let second = first - 0.1 * (2.0 / 0.75) / ((3.0f64 / 0.4375).sqrt() + 0.1);
    let mut adam = Adam::new(config);
    assert_close(&trajectory(&mut adam, 1.0, 0.1, &[2.0, 3.0]), &[first, second]);
    let state: Vec<(String, f64)> = adam.state().into_iter().map(|(name, a)| (name, a.item())).collect();
    let expected = [("exp_avg.p", 2.0), ("exp_avg_sq.p", 3.0), ("step.p", 2.0)];
    assert_eq!(state, expected.map(|(name, value)| (name.to_string(), value)));
}

#[test]
fn weight_decay_of_adam_acts_on_the_gradient_and_of_adamw_on_the_parameter() {
    // One step from p = 2 with gradient 0. Adam: g = 0.25 * 2, so a step of length lr = 0.1 whatever
    // the decay. AdamW: p = 2 (1 - 0.1 * 0.25), and no step, because the gradient is 0.
    let config = AdamConfig { eps: 0.0, weight_decay: 0.25, ..AdamConfig::adam() };
    assert_close(&trajectory(&mut Adam::new(config), 2.0, 0.1, &[0.0]), &[1.9]);
    let config = AdamConfig { weight_decay: 0.25, ..AdamConfig::adamw() };
    assert_close(&trajectory(&mut Adam::new(config), 2.0, 0.1, &[0.0]), &[1.95]);
    // With a gradient of 3 the step comes on top.
    let config = AdamConfig { eps: 0.0, weight_decay: 0.25, ..AdamConfig::adamw() };
    assert_close(&trajectory(&mut Adam::new(config), 2.0, 0.1, &[3.0]), &[1.95 - 0.1]);
}

#[test]
fn frozen_parameters_and_those_without_gradient_stay_and_keep_their_state() {
    let (moving, idle) = (param(&[1.0]), param(&[1.0]));
    let frozen = Param::<Host>::buffer(Array::host(&[1], vec![1.0]));
    let params = [("p".to_string(), &moving), ("idle".to_string(), &idle), ("frozen".to_string(), &frozen)];
    let mut source = gradients(&[1.0]);
    source.insert("frozen".to_string(), Array::host(&[1], vec![1.0]));
    let mut adam = Adam::new(AdamConfig { weight_decay: 0.1, ..AdamConfig::adamw() });
    adam.step(&params, &source, 0.1);
    assert!(moving.value().item() < 0.95);
    assert_eq!((idle.value().item(), frozen.value().item()), (1.0, 1.0));
    assert!(adam.state().iter().all(|(name, _)| name.ends_with(".p")), "{:?}", adam.state());
    assert_eq!(clip_grad_norm(&params, &source, 1.0).total_norm(), 1.0, "the frozen one does not count");
}

#[test]
#[should_panic(expected = "optimizer: parameter `p` has shape [2], its gradient [3]")]
fn a_gradient_of_another_shape_is_named() {
    let p = param(&[1.0, 2.0]);
    let mut sgd = Sgd::new(SgdConfig::default());
    sgd.step(&[("p".to_string(), &p)], &gradients(&[1.0, 2.0, 3.0]), 0.1);
}

#[test]
fn a_step_leaves_arrays_that_others_hold_alone() {
    let p = param(&[1.0]);
    let before = p.value();
    Sgd::new(SgdConfig::default()).step(&[("p".to_string(), &p)], &gradients(&[1.0]), 0.5);
    assert_eq!((before.item(), p.value().item()), (1.0, 0.5));
}

#[test]
fn a_step_reuses_the_storage_that_nobody_else_holds() {
    let p = param(&[1.0]);
    let place = p.value().as_slice().as_ptr();
    Sgd::new(SgdConfig::default()).step(&[("p".to_string(), &p)], &gradients(&[1.0]), 0.5);
    assert_eq!(p.value().as_slice().as_ptr(), place);
}

/// Trains three steps, saves, and compares three more with and without the detour.
fn resumes<O: Optimizer<Host>>(make: impl Fn() -> O) {
    let p = param(&[1.0, -2.0]);
    let params = [("p".to_string(), &p)];
    let step = |optimizer: &mut O, i: usize| {
        optimizer.step(&params, &gradients(&[0.3 * i as f64, 1.0 / (1 + i) as f64]), 0.1);
    };
    let mut optimizer = make();
    (0..3).for_each(|i| step(&mut optimizer, i));
    let (state, value) = (optimizer.state(), p.value());
    (3..6).for_each(|i| step(&mut optimizer, i));
    let straight = p.value();

    let mut resumed = make();
    resumed.load_state(&params, state).unwrap();
    p.set(value);
    (3..6).for_each(|i| step(&mut resumed, i));
    assert_eq!(p.value().as_slice(), straight.as_slice());
}

#[test]
fn a_saved_state_continues_bit_for_bit() {
    resumes(|| Sgd::new(SgdConfig { momentum: 0.9, dampening: 0.1, ..SgdConfig::default() }));
    resumes(|| Adam::new(AdamConfig::adamw()));
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let p = param(&[1.0, 2.0]);
    let params = [("p".to_string(), &p)];
    let entry =
        |name: &str, shape: &[usize], value: f64| (name.to_string(), Array::full(&Host::new(), shape, value));
    let mut adam = Adam::new(AdamConfig::adam());
    adam.step(&params, &gradients(&[1.0, 1.0]), 0.1);
    let mut refused = |state| adam.load_state(&params, state).unwrap_err().to_string();

    let found = refused(vec![entry("exp_avg.q", &[2], 0.0)]);
    assert_eq!(
        found,
        "optimizer state: entry `exp_avg.q` belongs to no parameter of this model and optimizer"
    );
    let found = refused(vec![entry("exp_avg.p", &[3], 0.0)]);
    assert_eq!(found, "optimizer state: entry `exp_avg.p` has shape [3], expected [2]");
    let found = refused(vec![entry("exp_avg.p", &[2], 0.0), entry("step.p", &[], 1.0)]);
    assert_eq!(
        found,
        "optimizer state: entry `exp_avg_sq.p` is missing, others of the same parameter are there"
    );
    let moments = |count| {
        vec![entry("exp_avg.p", &[2], 0.0), entry("exp_avg_sq.p", &[2], 0.0), entry("step.p", &[], count)]
    };
    assert!(refused(moments(0.0)).contains("expected a whole number from 1, found 0"));
    assert!(refused(moments(1.5)).contains("found 1.5"));
    assert_eq!(adam.state()[2].1.item(), 1.0, "the old state is still there");
    adam.load_state(&params, moments(7.0)).unwrap();
    assert_eq!(adam.state()[2].1.item(), 7.0);
}

#[test]
fn clipping_scales_all_gradients_by_one_factor() {
    let (a, b) = (param(&[0.0]), param(&[0.0]));
    let params = [("a".to_string(), &a), ("b".to_string(), &b)];
    let source = HashMap::from([
        ("a".to_string(), Array::<Host>::host(&[1], vec![3.0])),
        ("b".to_string(), Array::host(&[1], vec![-4.0])),
    ]);
    let clipped = clip_grad_norm(&params, &source, 1.0);
    assert_eq!(clipped.total_norm(), 5.0);
    let factor = 1.0 / (5.0 + 1e-6);
    assert_close(clipped.scaled("a", &a).unwrap().as_slice(), &[3.0 * factor]);
    Sgd::new(SgdConfig::default()).step(&params, &clipped, 1.0);
    assert_close(&[a.value().item(), b.value().item()], &[-3.0 * factor, 4.0 * factor]);
    // Clipping what is clipped sees the smaller norm, and lets it pass.
    let twice = clip_grad_norm(&params, &clipped, 2.0);
    assert_close(&[twice.total_norm()], &[5.0 * factor]);
    assert_close(twice.scaled("b", &b).unwrap().as_slice(), &[-4.0 * factor]);
}

#[test]
fn small_gradients_pass_unscaled_and_nan_is_not_hidden() {
    let p = param(&[0.0, 0.0]);
    let params = [("p".to_string(), &p)];
    let source = gradients(&[0.3, 0.4]);
    assert_eq!(clip_grad_norm(&params, &source, 1.0).scaled("p", &p).unwrap().as_slice(), [0.3, 0.4]);
    let source = gradients(&[0.3, f64::NAN]);
    let clipped = clip_grad_norm(&params, &source, 1.0);
    assert!(clipped.total_norm().is_nan() && clipped.scaled("p", &p).unwrap().as_slice()[0].is_nan());
    let none = HashMap::new();
    assert_eq!(clip_grad_norm::<Host>(&params, &none, 1.0).total_norm(), 0.0);
}

/// Large enough to be split over tasks, with a ragged last chunk.
const LARGE: usize = 5 * 4096 + 17;

#[test]
fn large_parameters_step_like_single_elements() {
    fn run<T: Scalar>(optimizer: &mut dyn Optimizer<Cpu<T>>, p: &[f64], gs: &[Vec<f64>]) -> Vec<T> {
        let array = |v: &[f64]| Array::<Cpu<T>>::host(&[v.len()], v.iter().map(|&v| T::of(v)).collect());
        let p = Param::new(array(p));
        for g in gs {
            let source = HashMap::from([("p".to_string(), array(g))]);
            optimizer.step(&[("p".to_string(), &p)], &source, 0.05);
        }
        p.value().as_slice().to_vec()
    }
    let start = normal(LARGE, 1);
    let gs = [normal(LARGE, 2), normal(LARGE, 3)];
    let configs = [
        SgdConfig { weight_decay: 0.1, ..SgdConfig::default() },
        SgdConfig { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..SgdConfig::default() },
    ];
    for i in [0, 4095, 4096, LARGE - 1] {
        let (one, one_gs) = ([start[i]], [vec![gs[0][i]], vec![gs[1][i]]]);
        for config in configs {
            let all = run::<f32>(&mut Sgd::new(config), &start, &gs);
            assert_eq!(all[i], run::<f32>(&mut Sgd::new(config), &one, &one_gs)[0]);
        }
        let all = run::<f32>(&mut Adam::new(AdamConfig::adamw()), &start, &gs);
        assert_eq!(all[i], run::<f32>(&mut Adam::new(AdamConfig::adamw()), &one, &one_gs)[0]);
    }
}

#[test]
fn the_norm_has_the_same_bits_for_any_number_of_threads_and_does_not_overflow() {
    let numbers = Array::<Host>::host(&[LARGE], normal(LARGE, 4));
    let expected = numbers.as_slice().iter().map(|v| v * v).sum::<f64>().sqrt();
    let norm_with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let values = numbers.as_slice().to_vec();
        pool.install(move || {
            let array = Array::<Host>::host(&[LARGE], values);
            Host::new().norm(&[&array, &array]).item()
        })
    };
    assert_eq!(norm_with(1).to_bits(), norm_with(3).to_bits());
    assert!((norm_with(1) / 2f64.sqrt() - expected).abs() < 1e-12 * expected);
    let huge = Array::<Cpu<f32>>::host(&[2], vec![3e30, 4e30]);
    assert!((Cpu::<f32>::new().norm(&[&huge]).item() / 5e30 - 1.0).abs() < 1e-6);
}
