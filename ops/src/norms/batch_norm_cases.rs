//! Test cases of batch normalisation.

use termwise_autograd::Array;
use termwise_autograd::gradcheck::{Built, Case};

use super::{BatchNormKernel, batch_norm_eval, batch_norm_train};

/// Test cases of both modes, with and without weight and bias.
pub(super) fn cases<B: BatchNormKernel>() -> Vec<Case<B>> {
    let train = |affine: bool, offset: f64, shape: &[usize]| {
        let label = format!("training, affine {affine}, mean about {offset}");
        Case::new("batch_norm", label, shape, move |shape, samples| {
            if shape.len() < 2 || shape.iter().product::<usize>() < 2 * shape[1] {
                return None;
            }
            let x = ("x", samples.normal(shape) + offset);
            if !affine {
                return Built::new([x], |v| batch_norm_train(&v[0], None, None, 1e-3).0);
            }
            let channels = &shape[1..2];
            let weight = ("weight", samples.normal(channels));
            let bias = ("bias", samples.normal(channels));
            Built::new([x, weight, bias], |v| batch_norm_train(&v[0], Some(&v[1]), Some(&v[2]), 1e-3).0)
        })
    };
    let eval = |affine: bool, shape: &[usize]| {
        let label = format!("evaluation, affine {affine}");
        Case::new("batch_norm", label, shape, move |shape, samples| {
            if shape.len() < 2 {
                return None;
            }
            let channels = &shape[1..2];
            let mean = samples.normal(channels);
            let var = samples.uniform(channels, 0.5, 2.0);
            let on = move |backend: &B| (Array::from_f64(backend, &mean), Array::from_f64(backend, &var));
            let x = ("x", samples.normal(shape));
            if !affine {
                return Built::new([x], move |v| {
                    let (mean, var) = on(v[0].tape().backend());
                    batch_norm_eval(&v[0], &mean, &var, None, None, 1e-5)
                });
            }
            let weight = ("weight", samples.normal(channels));
            let bias = ("bias", samples.normal(channels));
            Built::new([x, weight, bias], move |v| {
                let (mean, var) = on(v[0].tape().backend());
                batch_norm_eval(&v[0], &mean, &var, Some(&v[1]), Some(&v[2]), 1e-5)
            })
        })
    };
    vec![
        train(true, 0.0, &[2, 1]),
        train(true, 0.0, &[5, 3]),
        train(true, 0.0, &[3, 2, 5]),
        train(true, 0.0, &[2, 3, 3, 4]),
        train(false, 0.0, &[2, 3, 1, 5]),
        train(false, 100.0, &[4, 2, 3]),
        eval(true, &[1, 1]),
        eval(true, &[2, 3, 3, 2]),
        eval(false, &[3, 4]),
        eval(true, &[0, 3]),
    ]
}
