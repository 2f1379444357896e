//! Shapes beyond those of `cases()`: more than one tile, sums in parts, lines that are a work-group's.

use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::Case;
use termwise_opencl::{OpenCl, Real};
use termwise_ops::{activations, losses, norms, spatial, tensor};

use crate::support;
use termwise_opencl::parity::compare;

/// Cases on the device and the same on the host.
type Cases<T> = (Vec<Case<OpenCl<T>>>, Vec<Case<Cpu<f64>>>);

/// Every case of an op that can be had at one of these shapes, and how many that must be at least.
fn check<T: Real>(op: &str, shapes: &[&[usize]], (cases, host): Cases<T>) {
    let Some(backend) = support::backend::<T>() else { return };
    let mut done = 0;
    for (case, host) in cases.iter().zip(&host).filter(|(case, _)| case.op() == op) {
        for shape in shapes {
            if let (Some(case), Some(host)) = (case.at_shape(shape), host.at_shape(shape)) {
                match compare(&backend, &case, &host) {
                    Ok(near) => println!("{case:?}: {near:.2} of the bound"),
                    Err(what) => panic!("{case:?}: {what}"),
                }
                done += 1;
            }
        }
    }
    assert!(done >= shapes.len(), "{op}: only {done} cases at {shapes:?}");
}

#[test]
fn products_of_several_tiles_and_in_parts() {
    for shape in [[2, 70, 35, 130], [1, 3, 1000, 5], [5, 64, 64, 64]] {
        check::<f32>("matmul", &[&shape], (tensor::cases(), tensor::cases()));
    }
    check::<f64>("matmul", &[&[2, 65, 300, 66]], (tensor::cases(), tensor::cases()));
    check::<f32>("linear", &[&[700, 33, 70], &[3, 129, 20, 17]], (tensor::cases(), tensor::cases()));
}

#[test]
fn sums_in_parts() {
    let shapes: &[&[usize]] = &[&[3, 5000, 9], &[2000, 3, 11], &[5, 2, 3000]];
    for op in ["sum", "mean", "amax", "var", "logsumexp"] {
        check::<f32>(op, shapes, (tensor::cases(), tensor::cases()));
    }
}

#[test]
fn long_lines() {
    check::<f32>("softmax", &[&[3, 700], &[2, 3, 300, 5]], (activations::cases(), activations::cases()));
    for op in ["log_softmax", "masked_softmax"] {
        check::<f32>(op, &[&[3, 700], &[300, 7]], (activations::cases(), activations::cases()));
    }
    for op in ["cross_entropy", "label_smoothed_nll_loss"] {
        check::<f32>(op, &[&[150, 300], &[2, 9, 400]], (losses::cases(), losses::cases()));
    }
}

#[test]
fn norms_of_many_elements() {
    check::<f32>("layer_norm", &[&[200, 3, 130]], (norms::cases(), norms::cases()));
    check::<f32>("group_norm", &[&[3, 12, 20, 17]], (norms::cases(), norms::cases()));
    check::<f32>("batch_norm", &[&[5, 3, 40, 41]], (norms::cases(), norms::cases()));
}

#[test]
fn windows_on_larger_images() {
    for op in ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "interpolate"] {
        check::<f32>(op, &[&[2, 3, 19, 23]], (spatial::cases(), spatial::cases()));
    }
    check::<f32>("roi_align", &[&[2, 5, 17, 13]], (spatial::cases(), spatial::cases()));
}
