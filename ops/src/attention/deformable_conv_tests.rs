//! Deformable convolution against the definition, the regular convolution and its own limits.

use ndarray::{Array4, Array5, ArrayD, Ix4, s};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu, Tape, Var};

use super::{deform_conv1d, deform_conv2d, deform_conv2d_pack, regular_conv};
use crate::conv::{Conv1dOptions, Conv2dOptions, Window, conv1d};

type Leaf = Var<Cpu<f64>>;

fn leaf(tape: &Tape<Cpu<f64>>, values: &ArrayD<f64>) -> Leaf {
    tape.leaf(values.clone().into())
}

fn assert_close(what: &str, ours: &ArrayD<f64>, expected: &ArrayD<f64>) {
    assert_eq!(ours.shape(), expected.shape(), "{what}");
    for (index, value) in expected.indexed_iter() {
        let error = (ours[&index] - value).abs();
        assert!(error <= 1e-13 * (1.0 + value.abs()), "{what} at {index:?}: {} is not {value}", ours[&index]);
    }
}

/// Output and the gradients in `inputs` of what `run` computes.
fn evaluate(inputs: &[&ArrayD<f64>], run: impl Fn(&[Leaf]) -> Leaf) -> Vec<ArrayD<f64>> {
    let tape = Tape::new(Cpu::new());
    let leaves: Vec<Leaf> = inputs.iter().map(|values| leaf(&tape, values)).collect();
    let y = run(&leaves);
    let cotangent = Samples::new(99).normal(y.shape());
    let gradients = tape.backward_with(&[(&y, cotangent.into())]);
    let mut all = vec![y.value().to_f64()];
    all.extend(leaves.iter().filter_map(|leaf| gradients.of(leaf)).map(Array::to_f64));
    all
}

/// Eq. 1: `y = sum_m W_m sum_k A_m(q, k) x_k` of each image, with the dense weights.
fn by_definition(
    x: &ArrayD<f64>,
    offset: &ArrayD<f64>,
    mask: Option<&ArrayD<f64>>,
    weight: &ArrayD<f64>,
    options: Conv2dOptions,
) -> ArrayD<f64> {
    let four = |array: &ArrayD<f64>| array.clone().into_dimensionality::<Ix4>().unwrap();
    let (x, weight, mask) = (four(x), four(weight), mask.map(four));
    let (batch, channels, h, w) = x.dim();
    let (outputs, group_inputs, kh, kw) = weight.dim();
    let window = Window::new("test", [h, w], [kh, kw], &options);
    let dense = dense_weights(&four(offset), mask.as_ref(), &window);
    let per_offset_group = channels / dense.dim().1;
    let mut y = Array4::zeros((batch, outputs, window.output[0], window.output[1]));
    for ((n, o, qy, qx), y) in y.indexed_iter_mut() {
        for c in 0..group_inputs {
            let channel = o / (outputs / options.groups) * group_inputs + c;
            for m in 0..window.taps() {
                for k in 0..h * w {
                    let a = dense[[n, channel / per_offset_group, m, qy * window.output[1] + qx, k]];
                    *y += weight[[o, c, m / kw, m % kw]] * a * x[[n, channel, k / w, k % w]];
                }
            }
        }
    }
    y.into_dyn()
}

#[test]
fn equals_the_definition() {
    let new = Conv2dOptions::new;
    for (shape, kernel, offset_groups, options, reach) in [
        ([2, 4, 5, 6], [3, 3], 2, new().padding(1), 2),
        ([1, 6, 6, 5], [3, 2], 3, new().padding((2, 0)).stride((2, 1)).dilation((1, 2)).groups(2), 3),
        ([1, 1, 1, 1], [3, 3], 1, new().padding(1), 2),
        ([1, 2, 2, 3], [5, 4], 1, new().padding(2), 1),
        ([1, 2, 3, 3], [1, 1], 2, new().stride(2), 9),
    ] {
        let mut samples = Samples::new(5);
        let image = [shape[2], shape[3]];
        let [rows, cols] = Window::new("test", image, kernel, &options).output;
        let taps = kernel[0] * kernel[1];
        let x = samples.normal(&shape);
        let offset =
            samples.uniform(&[shape[0], 2 * offset_groups * taps, rows, cols], -reach as f64, reach as f64);
        let mask = samples.normal(&[shape[0], offset_groups * taps, rows, cols]);
        let weight = samples.normal(&[2 * options.groups, shape[1] / options.groups, kernel[0], kernel[1]]);
        for mask in [None, Some(&mask)] {
            let tape = Tape::inference(Cpu::new());
            let mask_var = mask.map(|mask| leaf(&tape, mask));
            let (x_var, offset_var) = (leaf(&tape, &x), leaf(&tape, &offset));
            let y =
                deform_conv2d(&x_var, &offset_var, mask_var.as_ref(), &leaf(&tape, &weight), None, options);
            assert_close("y", &y.value().to_f64(), &by_definition(&x, &offset, mask, &weight, options));
        }
    }
}

#[test]
fn zero_offsets_are_the_regular_convolution_values_and_gradients() {
    let mut samples = Samples::new(2);
    let options = Conv2dOptions::new().padding((1, 2)).stride((2, 1)).dilation((1, 2)).groups(2);
    let (x, weight, bias) =
        (samples.normal(&[2, 4, 5, 7]), samples.normal(&[6, 2, 3, 3]), samples.normal(&[6]));
    let regular = evaluate(&[&x, &weight, &bias], |v| regular_conv(&v[0], &v[1], Some(&v[2]), options));
    let shape = regular[0].shape().to_vec();
    for offset_groups in [1, 2, 4] {
        let deformable = evaluate(&[&x, &weight, &bias], |v| {
            let zeros = Array::zeros(&Cpu::new(), &[2, 18 * offset_groups, shape[2], shape[3]]);
            deform_conv2d(&v[0], &v[0].tape().constant(zeros), None, &v[1], Some(&v[2]), options)
        });
        for (name, (ours, expected)) in ["y", "dx", "dW", "db"].iter().zip(deformable.iter().zip(&regular)) {
            assert_close(name, ours, expected);
        }
    }
}

#[test]
fn zero_offsets_of_sequences_are_the_regular_convolution_values_and_gradients() {
    let mut samples = Samples::new(3);
    let options = Conv1dOptions::new().padding(2).stride(2).dilation(2);
    let (x, weight) = (samples.normal(&[2, 4, 9]), samples.normal(&[3, 4, 3]));
    let regular = evaluate(&[&x, &weight], |v| conv1d(&v[0], &v[1], None, options));
    let steps = regular[0].shape()[2];
    let deformable = evaluate(&[&x, &weight], |v| {
        let zeros = v[0].tape().constant(Array::zeros(&Cpu::new(), &[2, 3, steps]));
        deform_conv1d(&v[0], &zeros, None, &v[1], None, options)
    });
    for (ours, expected) in deformable.iter().zip(&regular) {
        assert_close("1-D", ours, expected);
    }
}

#[test]
fn a_sequence_is_an_image_of_height_one() {
    let mut samples = Samples::new(4);
    let (x, weight) = (samples.normal(&[2, 4, 7]), samples.normal(&[2, 2, 3]));
    let (offset, mask) = (samples.off_grid(&[2, 6, 7], -3, 3), samples.normal(&[2, 6, 7]));
    let line = evaluate(&[&x, &offset, &mask, &weight], |v| {
        let options = Conv1dOptions::new().padding(1).groups(2);
        deform_conv1d(&v[0], &v[1], Some(&v[2]), &v[3], None, options)
    });
    let mut pairs = ArrayD::zeros(vec![2, 12, 1, 7]);
    pairs.slice_mut(s![.., 1..;2, 0, ..]).assign(&offset);
    let raised = |array: &ArrayD<f64>| array.clone().insert_axis(ndarray::Axis(2));
    let image = evaluate(&[&raised(&x), &pairs, &raised(&mask), &raised(&weight)], |v| {
        let options = Conv2dOptions::new().padding((0, 1)).groups(2);
        deform_conv2d(&v[0], &v[1], Some(&v[2]), &v[3], None, options)
    });
    for (part, (ours, expected)) in line.iter().zip(&image).enumerate() {
        let expected = match part {
            2 => expected.slice(s![.., 1..;2, .., ..]).into_dyn(),
            _ => expected.view(),
        };
        assert_close("part", &raised(ours), &expected.to_owned());
    }
}

#[test]
fn whole_offsets_shift_the_image() {
    let mut samples = Samples::new(6);
    let (x, weight) = (samples.normal(&[1, 2, 6, 7]), samples.normal(&[3, 2, 3, 3]));
    let options = Conv2dOptions::new().padding(1);
    let mut offset = ArrayD::zeros(vec![1, 18, 6, 7]);
    offset.slice_mut(s![.., 0..;2, .., ..]).fill(2.0); // dy
    offset.slice_mut(s![.., 1..;2, .., ..]).fill(-1.0); // dx
    let mut shifted = ArrayD::zeros(x.raw_dim());
    shifted.slice_mut(s![.., .., ..4, 1..]).assign(&x.slice(s![.., .., 2.., ..6]));
    let tape = Tape::inference(Cpu::new());
    let [x, offset, weight, shifted] = [&x, &offset, &weight, &shifted].map(|values| leaf(&tape, values));
    let moved = deform_conv2d(&x, &offset, None, &weight, None, options).value().to_f64();
    let expected = regular_conv(&shifted, &weight, None, options).value().to_f64();
    // Taps that leave the shifted frame at the top or right still find image in the original one.
    let inside = s![.., .., 1.., ..6];
    assert_close(
        "inside",
        &moved.slice(inside).to_owned().into_dyn(),
        &expected.slice(inside).to_owned().into_dyn(),
    );
}

#[test]
fn the_derivative_at_whole_numbers_is_the_right_hand_one() {
    let mut samples = Samples::new(8);
    let (x, weight) = (samples.normal(&[1, 1, 3, 4]), samples.normal(&[1, 1, 2, 2]));
    let options = Conv2dOptions::new().padding(1);
    // Whole numbers inside, on the edge and just outside of the image.
    let offset = samples.integers(&[1, 8, 4, 5], -3, 4).mapv(|v| v as f64);
    let at = |offset: &ArrayD<f64>| {
        evaluate(&[&x, offset, &weight], |v| deform_conv2d(&v[0], &v[1], None, &v[2], None, options))
    };
    let cotangent = Samples::new(99).normal(&[1, 1, 4, 5]);
    let base = at(&offset);
    let mut nonzero = 0;
    for index in 0..offset.len() {
        // Linear up to the next whole number: half a step gives the slope exactly but for rounding.
        let mut moved = offset.clone();
        moved.as_slice_mut().unwrap()[index] += 0.5;
        let slope = 2.0 * ((&at(&moved)[0] - &base[0]) * &cotangent).sum();
        let ours = base[2].as_slice().unwrap()[index];
        assert!((ours - slope).abs() < 1e-12, "offset {index}: {ours} is not {slope}");
        nonzero += usize::from(slope != 0.0);
    }
    assert!(nonzero > 50, "only {nonzero} offsets matter");
}

#[test]
fn samples_far_outside_are_zero_and_nan_shows() {
    let run = |dx: f64| {
        let inputs = [&[1, 1, 1, 2][..], &[1, 2, 1, 2], &[1, 1, 1, 1]];
        let values = [vec![5.0, 7.0], vec![0.0, 0.0, dx, dx], vec![1.0]];
        let inputs: Vec<_> = inputs
            .iter()
            .zip(values)
            .map(|(shape, v)| ArrayD::from_shape_vec(shape.to_vec(), v).unwrap())
            .collect();
        evaluate(&inputs.iter().collect::<Vec<_>>(), |v| {
            deform_conv2d(&v[0], &v[1], None, &v[2], None, Conv2dOptions::new())
        })
    };
    for far in [-1e300, -2.5, 2.0, 1e19, f64::INFINITY] {
        let results = run(far);
        assert!(results.iter().all(|result| result.iter().all(|&v| v == 0.0)), "{far}: {results:?}");
    }
    assert!(run(f64::NAN)[0].iter().all(|v| v.is_nan()));
}

#[test]
fn a_predictor_of_zeros_gives_the_regular_convolution_and_half_of_it_under_a_mask() {
    let mut samples = Samples::new(9);
    let (x, weight) = (samples.normal(&[1, 3, 5, 4]), samples.normal(&[2, 3, 3, 3]));
    let options = Conv2dOptions::new().padding(1).stride(2);
    let tape = Tape::inference(Cpu::new());
    let (x, weight) = (leaf(&tape, &x), leaf(&tape, &weight));
    let regular = regular_conv(&x, &weight, None, options).value().to_f64();
    for predictor in [1, 3, 5] {
        for (modulated, share) in [(false, 1.0), (true, 0.5)] {
            let channels = if modulated { 27 } else { 18 };
            let zeros = tape.constant(Array::zeros(&Cpu::new(), &[channels, 3, predictor, predictor]));
            let y = deform_conv2d_pack(&x, &weight, None, &zeros, None, modulated, options);
            assert_close("pack", &y.value().to_f64(), &(&regular * share));
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let bits = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut samples = Samples::new(1);
            let tape = Tape::new(Cpu::<f32>::new());
            let mut leaf = |shape: &[usize]| tape.leaf(Array::from_f64(&Cpu::new(), &samples.normal(shape)));
            let inputs = [
                leaf(&[3, 16, 20, 21]),
                leaf(&[3, 36, 20, 21]),
                leaf(&[3, 18, 20, 21]),
                leaf(&[80, 16, 3, 3]),
            ];
            let options = Conv2dOptions::new().padding(1);
            let y = deform_conv2d(&inputs[0], &inputs[1], Some(&inputs[2]), &inputs[3], None, options);
            let grad = Array::from_f64(&Cpu::new(), &samples.normal(y.shape()));
            let gradients = tape.backward_with(&[(&y, grad)]);
            let all = inputs.iter().map(|input| gradients.of(input).unwrap()).chain([y.value()]);
            all.flat_map(|array| array.as_slice().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        })
    };
    assert!(bits(1) == bits(4));
}

#[test]
#[should_panic(
    expected = "deform_conv2d: offset must be (N, 2 G taps, output positions) with G dividing C: x is [1, 3, 4, 4]"
)]
fn offsets_for_other_outputs_are_refused() {
    let tape = Tape::new(Cpu::<f64>::new());
    let zeros = |shape: &[usize]| tape.leaf(Array::zeros(&Cpu::new(), shape));
    deform_conv2d(
        &zeros(&[1, 3, 4, 4]),
        &zeros(&[1, 18, 4, 4]),
        None,
        &zeros(&[1, 3, 3, 3]),
        None,
        Conv2dOptions::new(),
    );
}

/// The dense `A_m(q, k, x_q) = mask G(k, q + p_m + offset_m(q))` of every tap, which plays the head
/// `m` of Eq. 1. // (N, G, taps, Ho * Wo, H * W)
///
/// `offset` (N, 2 G taps, Ho, Wo) and `mask` (N, G taps, Ho, Wo) are laid out as in [`deform_conv2d`];
/// `W_m` is `weight[:, :, m]` and the channels of offset group `g` use `A[n, g]`. A sequence is an image
/// of height 1 whose dy are 0.
fn dense_weights(offset: &Array4<f64>, mask: Option<&Array4<f64>>, window: &Window) -> Array5<f64> {
    let (taps, [height, width]) = (window.taps(), window.image);
    let (batch, groups) = (offset.dim().0, offset.dim().1 / (2 * taps));
    let bilinear = |a: usize, b: f64| (1.0 - (a as f64 - b).abs()).max(0.0);
    let position = |axis: usize, q: usize, tap: usize| {
        (q * window.stride[axis]) as f64 + window.origin(axis, tap) as f64
    };
    Array5::from_shape_fn((batch, groups, taps, window.positions(), height * width), |(n, g, m, q, k)| {
        let (qy, qx) = (q / window.output[1], q % window.output[1]);
        let channel = g * taps + m;
        let y = position(0, qy, m / window.kernel[1]) + offset[[n, 2 * channel, qy, qx]];
        let x = position(1, qx, m % window.kernel[1]) + offset[[n, 2 * channel + 1, qy, qx]];
        mask.map_or(1.0, |mask| mask[[n, channel, qy, qx]]) * bilinear(k / width, y) * bilinear(k % width, x)
    })
}
