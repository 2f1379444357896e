//! Convolution of sequences against plain loops.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{self, available};

use super::super::steps::{StepKernels, forward};
use super::super::steps_backward::backward;
use super::steps_reference::{reference, softmax, softmax_backward};
use super::{Numbers, assert_close, assert_same_bits_on_any_number_of_threads, widened};
use crate::attention::TapRange;
use crate::attention::dynamic_conv_per_step::StepGeometry;

/// `shape` is (steps, batch, heads, channels per head, taps).
fn geometry(shape: [usize; 5], padding_l: usize, before: usize, shared: bool) -> StepGeometry {
    let [steps, batch, heads, together, taps] = shape;
    let x = [before + steps, batch, heads * together];
    if shared {
        StepGeometry::new("test", &x, &[heads, 1, taps], before, padding_l)
    } else {
        StepGeometry::new("test", &x, &[steps, batch, heads, taps], before, padding_l)
    }
}

fn geometries(shared: bool) -> Vec<StepGeometry> {
    let mut all: Vec<_> = [
        ([1, 1, 1, 1, 1], 0, 0),
        ([5, 2, 2, 3, 3], 1, 0),
        ([9, 2, 3, 8, 7], 3, 0),
        ([20, 1, 5, 16, 4], 3, 0),
        ([140, 1, 2, 32, 5], 2, 0),
        ([11, 2, 1, 64, 31], 15, 0),
        ([7, 1, 2, 100, 17], 16, 0),
        ([6, 1, 9, 17, 18], 2, 0),
        ([3, 2, 2, 24, 9], 8, 0),
        // In pieces: steps before, some of which no tap reaches.
        ([4, 2, 2, 2, 4], 3, 3),
        ([2, 1, 1, 5, 2], 1, 9),
        // All taps on one side, or outside.
        ([4, 1, 2, 3, 3], 0, 0),
        ([4, 1, 1, 2, 3], 7, 0),
        ([3, 1, 2, 0, 3], 1, 0),
        ([0, 2, 2, 3, 3], 1, 0),
        ([4, 0, 2, 3, 3], 1, 0),
    ]
    .into_iter()
    .map(|(shape, padding_l, before)| geometry(shape, padding_l, before, shared))
    .collect();
    // Each number of channels that has loops of its own, and those beside it.
    all.extend([4, 7, 9, 12, 33, 48].map(|channels| geometry([10, 2, 3, channels, 6], 2, 0, shared)));
    all
}

/// Elements of input, kernels and output.
fn lens(geometry: &StepGeometry) -> [usize; 3] {
    let rows = if geometry.shared { 1 } else { geometry.steps * geometry.batch };
    let per_step = geometry.batch * geometry.channels;
    [geometry.inputs * per_step, rows * geometry.heads * geometry.taps, geometry.steps * per_step]
}

fn check_given<T: Scalar>() {
    for geometry in [false, true].into_iter().flat_map(geometries) {
        let (mut numbers, [inputs, kernels, outputs]) = (Numbers::new(3), lens(&geometry));
        let (x, w, dy) =
            (numbers.normal::<T>(inputs), numbers.normal::<T>(kernels), numbers.normal::<T>(outputs));
        let [y, dx, dw] = reference(&geometry, &widened(&x), &widened(&w), &widened(&dy));
        for isa in available() {
            let (found, made) = forward(isa, &geometry, &x, StepKernels::Given(&w));
            assert!(made.is_none());
            assert_close(&format!("{geometry:?}, {isa}: y"), &found, &y);
            let found = backward(isa, &geometry, &x, &w, false, &dy, [true; 2]);
            assert_close(&format!("{geometry:?}, {isa}: dx"), found[0].as_ref().unwrap(), &dx);
            assert_close(&format!("{geometry:?}, {isa}: dw"), found[1].as_ref().unwrap(), &dw);
            for needs in [[true, false], [false, true], [false, false]] {
                let part = backward(isa, &geometry, &x, &w, false, &dy, needs);
                for i in 0..2 {
                    assert_eq!(part[i].is_some(), needs[i]);
                    assert!(part[i].is_none() || part[i].as_deref() == found[i].as_deref(), "{needs:?}");
                }
            }
        }
    }
}

fn check_softmax<T: Scalar>() {
    for geometry in geometries(false) {
        let (mut numbers, [inputs, kernels, outputs]) = (Numbers::new(4), lens(&geometry));
        let (x, dy) = (numbers.normal::<T>(inputs), numbers.normal::<T>(outputs));
        for (range, scale) in [(TapRange::All, 1.0), (TapRange::Inside, 1.0), (TapRange::All, 32.0)] {
            let logits: Vec<T> = numbers.normal::<T>(kernels).iter().map(|&v| v * T::of(scale)).collect();
            let weights = softmax(&geometry, &widened(&logits), range);
            let [y, dx, dw] = reference(&geometry, &widened(&x), &weights, &widened(&dy));
            let ds = softmax_backward(&geometry, &weights, &dw);
            for isa in available() {
                let name = format!("{geometry:?}, {range:?}, {isa}");
                let (found, made) = forward(isa, &geometry, &x, StepKernels::Softmax(&logits, range));
                let made = made.unwrap();
                assert_close(&format!("{name}: y"), &found, &y);
                assert_close(&format!("{name}: weights"), &made, &weights);
                let found = backward(isa, &geometry, &x, &made, true, &dy, [true; 2]);
                assert_close(&format!("{name}: dx"), found[0].as_ref().unwrap(), &dx);
                assert_close(&format!("{name}: ds"), found[1].as_ref().unwrap(), &ds);
            }
        }
    }
}

#[test]
fn given_kernels_equal_plain_loops_in_f32() {
    check_given::<f32>();
}

#[test]
fn given_kernels_equal_plain_loops_in_f64() {
    check_given::<f64>();
}

#[test]
fn softmax_and_convolution_equal_plain_loops_in_f32() {
    check_softmax::<f32>();
}

#[test]
fn softmax_and_convolution_equal_plain_loops_in_f64() {
    check_softmax::<f64>();
}

#[test]
fn taps_outside_get_nothing() {
    // Two inputs: step 0 sees tap 1, step 1 both, step 2 the second input with tap 0, step 3 none.
    let geometry = StepGeometry { inputs: 2, ..geometry([4, 1, 1, 1, 2], 1, 0, false) };
    let logits = [9.0, 0.0, 2.0, 2.0, 0.0, 1e3, -1e3, 7.0];
    for isa in available() {
        let (_, made) = forward(isa, &geometry, &[1.0, 1.0], StepKernels::Softmax(&logits, TapRange::Inside));
        assert_eq!(made.unwrap()[..], [0.0, 1.0, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0], "{isa}");
    }
}

#[test]
fn broken_logits_show() {
    let geometry = geometry([3, 1, 1, 1, 2], 0, 0, false);
    for (broken, shows) in [(f32::NAN, true), (f32::INFINITY, true), (f32::NEG_INFINITY, false)] {
        let logits = [0.0, 0.0, broken, 1.0, 0.0, 0.0];
        for isa in available() {
            let kernels = StepKernels::Softmax(&logits, TapRange::All);
            let (y, made) = forward(isa, &geometry, &[1.0, 2.0, 4.0], kernels);
            assert_eq!(
                y.iter().map(|v| v.is_nan()).collect::<Vec<_>>(),
                [false, shows, false],
                "{broken}, {isa}"
            );
            assert!(shows || made.unwrap()[2..4] == [0.0, 1.0]);
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for shared in [false, true] {
        let geometry = geometry([300, 3, 5, 32, 9], 4, 0, shared);
        let (mut numbers, [inputs, kernels, outputs]) = (Numbers::new(5), lens(&geometry));
        let (x, w, dy) =
            (numbers.normal::<f32>(inputs), numbers.normal::<f32>(kernels), numbers.normal::<f32>(outputs));
        assert_same_bits_on_any_number_of_threads(|| {
            let mut all = vec![forward(simd::isa(), &geometry, &x, StepKernels::Given(&w)).0];
            all.extend(backward(simd::isa(), &geometry, &x, &w, false, &dy, [true; 2]).into_iter().flatten());
            if !shared {
                let (y, made) = forward(simd::isa(), &geometry, &x, StepKernels::Softmax(&w, TapRange::All));
                let made = made.expect("weights");
                let gradients = backward(simd::isa(), &geometry, &x, &made, true, &dy, [true; 2]);
                all.extend([y, made].into_iter().chain(gradients.into_iter().flatten()));
            }
            all
        });
    }
}
