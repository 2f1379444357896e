//! Optimisers and clipping on the device against `f64` on the host.

use std::collections::HashMap;

use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Backend, Cpu, Param, Scalar};
use termwise_opencl::OpenCl;
use termwise_ops::OptimizerKernel;
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig};

use crate::support;

/// The parameters after each of some steps on gradients clipped together, and the state at the end.
fn train<B: Backend + OptimizerKernel>(backend: &B, optimizer: &mut dyn Optimizer<B>) -> Vec<f64> {
    let mut samples = Samples::new(5);
    let shapes: [&[usize]; 3] = [&[7, 11], &[1], &[20_000]];
    let mut array =
        |shape: &[usize]| Array::from_f64(backend, &samples.normal(shape).mapv(|v| f64::from(v as f32)));
    let params: Vec<(String, Param<B>)> =
        shapes.iter().enumerate().map(|(i, shape)| (format!("p{i}"), Param::new(array(shape)))).collect();
    let handles: Vec<(String, &Param<B>)> =
        params.iter().map(|(name, param)| (name.clone(), param)).collect();
    let mut numbers = Vec::new();
    for step in 0..4 {
        let gradients: HashMap<String, Array<B>> =
            handles.iter().map(|(name, param)| (name.clone(), array(&param.shape()))).collect();
        // A handle elsewhere: the step must not write through it.
        let (kept, before) = (params[0].1.value(), params[0].1.value().to_f64());
        let all: Vec<&Array<B>> = handles.iter().map(|(name, _)| &gradients[name]).collect();
        let norm = backend.norm(&all);
        let factor = B::clip_factor(&norm, if step == 2 { 1e9 } else { 3.0 });
        numbers.extend([norm.item().as_f64(), factor.item().as_f64()]);
        let clipped: HashMap<String, Array<B>> =
            gradients.into_iter().map(|(name, gradient)| (name, B::scale(gradient, &factor))).collect();
        optimizer.step(&handles, &clipped, 0.1 / (1.0 + step as f64));
        assert_eq!(kept.to_f64(), before, "a step wrote into an array that is held elsewhere");
        numbers.extend(params.iter().flat_map(|(_, param)| param.value().to_f64().into_iter().take(100)));
    }
    numbers.extend(optimizer.state().iter().flat_map(|(_, array)| array.to_f64().into_iter().take(100)));
    numbers
}

fn check(name: &str, on_device: &mut dyn Optimizer<OpenCl<f32>>, on_host: &mut dyn Optimizer<Cpu<f64>>) {
    let Some(backend) = support::backend::<f32>() else { return };
    let (found, expected) = (train(&backend, on_device), train(&Cpu::<f64>::new(), on_host));
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        // Four steps, each of a few roundings; Adam divides by the root of a second moment.
        let bound = 64.0 * f64::from(f32::EPSILON) * (1.0 + expected.abs());
        assert!((found - expected).abs() <= bound, "{name}: number {i} is {found}, expected {expected}");
    }
}

#[test]
fn steps_agree_with_the_host() {
    let momentum = SgdConfig { momentum: 0.9, dampening: 0.1, weight_decay: 0.01, ..SgdConfig::default() };
    let nesterov = SgdConfig { nesterov: true, dampening: 0.0, ..momentum };
    for (name, config) in [("sgd", SgdConfig::default()), ("momentum", momentum), ("nesterov", nesterov)] {
        check(name, &mut Sgd::new(config), &mut Sgd::new(config));
    }
    let decayed = AdamConfig { weight_decay: 0.1, ..AdamConfig::adam() };
    for (name, config) in [("adam", decayed), ("adamw", AdamConfig::adamw())] {
        check(name, &mut Adam::new(config), &mut Adam::new(config));
    }
}

#[test]
fn the_norm_of_large_gradients_is_finite_where_the_device_has_f64() {
    let Some(backend) = support::backend::<f32>() else { return };
    if !backend.device().info().double {
        println!("skipped: the device does not compute in f64");
        return;
    }
    let array = Array::full(&backend, &[3, 3], 1e30);
    assert!((backend.norm(&[&array]).item() - 3e30).abs() < 1e24);
    let nan = Array::full(&backend, &[], f64::NAN);
    assert!(OpenCl::clip_factor(&nan, 1.0).item().is_nan());
}
