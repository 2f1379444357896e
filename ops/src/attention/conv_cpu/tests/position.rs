//! Convolution with a kernel for each position, given or predicted, against plain loops.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{self, available};

use super::super::position::{Sources, forward, kept_len};
use super::super::position_backward::backward;
use super::position_reference::{predict, predict_backward, reference};
use super::{Numbers, assert_close, assert_same_bits_on_any_number_of_threads, widened};
use crate::attention::dynamic_conv_per_position::PositionGeometry;
use crate::conv::{Conv2dOptions, Window};

/// Shapes are (batch, groups, channels per group, height, width).
fn geometry(shape: [usize; 5], kernel: [usize; 2], options: Conv2dOptions) -> PositionGeometry {
    let [batch, groups, together, height, width] = shape;
    let window = Window::new("test", [height, width], kernel, &options);
    PositionGeometry { batch, channels: groups * together, groups, window }
}

fn geometries() -> Vec<(&'static str, PositionGeometry)> {
    let new = Conv2dOptions::new;
    vec![
        ("one of everything", geometry([1, 1, 1, 1, 1], [1, 1], new())),
        ("3x3", geometry([2, 2, 3, 5, 6], [3, 3], new().padding(1))),
        ("whole vectors", geometry([1, 3, 4, 9, 16], [3, 3], new().padding(1))),
        ("many channels in a group", geometry([1, 2, 11, 6, 7], [3, 5], new().padding((1, 2)))),
        ("no padding", geometry([1, 2, 2, 8, 9], [4, 2], new())),
        ("dilation", geometry([1, 2, 2, 11, 20], [3, 3], new().padding((4, 2)).dilation((4, 3)))),
        ("stride", geometry([2, 1, 3, 9, 13], [3, 3], new().padding(1).stride(2))),
        (
            "stride, dilation",
            geometry([1, 2, 1, 10, 23], [2, 5], new().padding((0, 3)).stride((1, 3)).dilation((2, 2))),
        ),
        ("stride beyond the kernel", geometry([1, 1, 2, 9, 14], [1, 2], new().stride((2, 5)))),
        ("kernel larger than the image", geometry([1, 2, 2, 2, 3], [5, 7], new().padding((2, 3)))),
        ("long rows", geometry([1, 1, 2, 3, 301], [1, 3], new().padding((0, 1)))),
        ("many groups", geometry([1, 40, 1, 6, 5], [7, 7], new().padding(3))),
        ("many samples", geometry([9, 1, 2, 3, 3], [3, 3], new().padding(1))),
        ("no channels", geometry([1, 2, 0, 3, 3], [3, 3], new().padding(1))),
        ("empty batch", geometry([0, 2, 2, 3, 3], [3, 3], new().padding(1))),
    ]
}

/// Elements of input, kernels and output.
fn lens(geometry: &PositionGeometry) -> [usize; 3] {
    let PositionGeometry { batch, channels, groups, window } = *geometry;
    let positions = window.positions();
    [
        batch * channels * window.pixels(),
        batch * groups * window.taps() * positions,
        batch * channels * positions,
    ]
}

fn check_given<T: Scalar>() {
    for (name, geometry) in geometries() {
        let (mut numbers, [inputs, kernels, outputs]) = (Numbers::new(3), lens(&geometry));
        let (x, w, dy) =
            (numbers.normal::<T>(inputs), numbers.normal::<T>(kernels), numbers.normal::<T>(outputs));
        let [y, dx, dw] = reference(&geometry, &widened(&x), &widened(&w), &widened(&dy));
        for isa in available() {
            let sources = Sources::Given(&w[..]);
            assert_close(&format!("{name}, {isa}: y"), &forward(isa, &geometry, &x, sources, &mut []), &y);
            let found = backward(isa, &geometry, &x, sources, &dy, [true; 2]);
            assert_close(&format!("{name}, {isa}: dx"), found[0].as_ref().unwrap(), &dx);
            assert_close(&format!("{name}, {isa}: dw"), found[1].as_ref().unwrap(), &dw);
            for needs in [[true, false], [false, true], [false, false]] {
                let part = backward(isa, &geometry, &x, sources, &dy, needs);
                for i in 0..2 {
                    assert_eq!(part[i].is_some(), needs[i]);
                    assert!(
                        part[i].is_none() || part[i].as_deref() == found[i].as_deref(),
                        "{name}, {needs:?}"
                    );
                }
            }
        }
    }
}

fn check_predicted<T: Scalar>() {
    for (name, geometry) in geometries() {
        let queries = [0, 1].map(|axis| geometry.window.image[axis].div_ceil(geometry.window.stride[axis]));
        if geometry.window.output[0] > queries[0] || geometry.window.output[1] > queries[1] {
            continue;
        }
        let (mut numbers, [inputs, _, outputs]) = (Numbers::new(4), lens(&geometry));
        let rows = geometry.groups * geometry.window.taps();
        let (x, d) = (numbers.normal::<T>(inputs), numbers.normal::<T>(rows * geometry.channels));
        let dy = numbers.normal::<T>(outputs);
        let (wide_x, wide_d) = (widened(&x), widened(&d));
        let kernels = predict(&geometry, &wide_x, &wide_d);
        let [y, mut dx, dkernels] = reference(&geometry, &wide_x, &kernels, &widened(&dy));
        let dd = predict_backward(&geometry, &wide_x, &wide_d, &kernels, &dkernels, &mut dx);
        for isa in available() {
            let mut kept = vec![T::nan(); kept_len(&geometry)];
            let made = forward(isa, &geometry, &x, Sources::Predicted(&d, None), &mut kept);
            assert_close(&format!("{name}, {isa}: y"), &made, &y);
            let again = forward(isa, &geometry, &x, Sources::Predicted(&d, None), &mut []);
            assert!(made[..] == again[..], "{name}, {isa}: keeping kernels changes the output");
            let mut gradients = Vec::new();
            for kept in [Some(&kept[..]), None] {
                let found = backward(isa, &geometry, &x, Sources::Predicted(&d, kept), &dy, [true; 2]);
                assert_close(&format!("{name}, {isa}: dx"), found[0].as_ref().unwrap(), &dx);
                assert_close(&format!("{name}, {isa}: dd"), found[1].as_ref().unwrap(), &dd);
                for needs in [[true, false], [false, true]] {
                    let part = backward(isa, &geometry, &x, Sources::Predicted(&d, kept), &dy, needs);
                    for i in 0..2 {
                        assert_eq!(part[i].is_some(), needs[i]);
                        assert!(
                            part[i].is_none() || part[i].as_deref() == found[i].as_deref(),
                            "{name}, {needs:?}"
                        );
                    }
                }
                gradients.push(found.map(|gradient| gradient.unwrap().to_vec()));
            }
            assert!(gradients[0] == gradients[1], "{name}, {isa}: keeping kernels changes the gradients");
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
fn predicted_kernels_equal_plain_loops_in_f32() {
    check_predicted::<f32>();
}

#[test]
fn predicted_kernels_equal_plain_loops_in_f64() {
    check_predicted::<f64>();
}

#[test]
fn kernels_too_many_to_keep_are_made_again() {
    let options = Conv2dOptions::new().padding(3);
    assert!(kept_len(&geometry([1, 16, 4, 64, 64], [7, 7], options)) > 0);
    assert_eq!(kept_len(&geometry([2, 16, 4, 64, 64], [7, 7], options)), 0);
}

#[test]
fn large_logits_and_broken_ones_behave_as_in_a_softmax() {
    let geometry = geometry([1, 1, 1, 1, 3], [1, 2], Conv2dOptions::new().padding((0, 0)));
    // Kernels (1, 0) where x_q > 0, by a margin that exp would not survive, and NaN where x_q is.
    let d = [1e4f32, -1e4];
    for isa in available() {
        let y = forward(isa, &geometry, &[2.0, 5.0, 7.0], Sources::Predicted(&d, None), &mut []);
        assert_eq!(y[..], [2.0, 5.0], "{isa}");
        let y = forward(isa, &geometry, &[2.0, f32::NAN, 7.0], Sources::Predicted(&d, None), &mut []);
        assert!(y[1].is_nan(), "{isa}");
        let y = forward(isa, &geometry, &[1e38, 5.0, 7.0], Sources::Predicted(&d, None), &mut []);
        assert!(y[0].is_nan() && y[1] == 5.0, "{isa}: {:?}", &y[..]);
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for batch in [1, 3] {
        let geometry = geometry([batch, 4, 3, 37, 29], [5, 3], Conv2dOptions::new().padding((2, 1)));
        let (mut numbers, [inputs, kernels, outputs]) = (Numbers::new(5), lens(&geometry));
        let (x, w) = (numbers.normal::<f32>(inputs), numbers.normal::<f32>(kernels));
        let (d, dy) = (numbers.normal::<f32>(60 * 12), numbers.normal::<f32>(outputs));
        assert_same_bits_on_any_number_of_threads(|| {
            let mut all = Vec::new();
            for sources in [Sources::Given(&w[..]), Sources::Predicted(&d[..], None)] {
                all.push(forward(simd::isa(), &geometry, &x, sources, &mut []));
                let gradients = backward(simd::isa(), &geometry, &x, sources, &dy, [true; 2]);
                all.extend(gradients.into_iter().flatten());
            }
            all
        });
    }
}
