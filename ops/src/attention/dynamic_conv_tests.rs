//! Dynamic and lightweight convolution against the definition, each other and incremental decoding.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayView5, Axis, Ix3, Ix4, Ix5, s};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu, Tape, Var};

use super::{
    BlockConv, ConvBlock1d, DynamicConvOptions, DynamicConvState, conv_block_1d, dynamic_conv,
    dynamic_conv_2d, lightweight_conv, per_step_conv,
};
use crate::conv::{Conv2dOptions, Window};
use crate::softmax;

type Leaf = Var<Cpu<f64>>;

fn assert_close(what: &str, ours: &ArrayD<f64>, expected: &ArrayD<f64>) {
    assert_eq!(ours.shape(), expected.shape(), "{what}");
    for (index, value) in expected.indexed_iter() {
        let error = (ours[&index] - value).abs();
        assert!(error <= 1e-13 * (1.0 + value.abs()), "{what} at {index:?}: {} is not {value}", ours[&index]);
    }
}

/// Constants on a tape that records nothing.
struct Bench {
    tape: Tape<Cpu<f64>>,
    samples: Samples,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Bench { tape: Tape::inference(Cpu::new()), samples: Samples::new(seed) }
    }

    fn normal(&mut self, shape: &[usize]) -> Leaf {
        self.tape.constant(self.samples.normal(shape).into())
    }

    fn given(&self, values: ArrayD<f64>) -> Leaf {
        self.tape.constant(values.into())
    }
}

/// Steps `start..end` of a sequence.
fn steps(x: &Leaf, start: usize, end: usize) -> Leaf {
    crate::narrow(x, 0, start, end - start)
}

fn bits(x: &Leaf) -> Vec<u64> {
    x.value().as_slice().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn sequences_equal_the_definition() {
    for (shape, heads, taps, padding_l) in [
        ([6, 2, 6], 3, 3, 1),
        ([1, 1, 2], 1, 3, 1),
        ([3, 2, 4], 2, 7, 6),
        ([4, 1, 4], 4, 2, 0),
        ([5, 2, 2], 1, 3, 4),
    ] {
        let mut bench = Bench::new(1);
        let (x, logits) = (bench.normal(&shape), bench.normal(&[shape[0], shape[1], heads, taps]));
        let weights = softmax(&logits, -1);
        let y = per_step_conv(&x, &weights, padding_l).value().to_f64();
        let weights = weights.value().to_f64().into_dimensionality::<Ix4>().unwrap();
        let dense = dense_steps(weights.view(), padding_l);
        let x = x.value().to_f64();
        let expected = ArrayD::from_shape_fn(shape.to_vec(), |index| {
            let (q, b, c) = (index[0], index[1], index[2]);
            (0..shape[0]).map(|k| dense[[b, c / (shape[2] / heads), q, k]] * x[[k, b, c]]).sum()
        });
        assert_close("y", &y, &expected);
    }
}

#[test]
fn images_equal_the_definition() {
    let new = Conv2dOptions::new;
    for (shape, groups, kernel, options) in [
        ([2, 6, 4, 5], 3, [3, 3], new().padding(1)),
        ([1, 2, 1, 1], 1, [3, 3], new().padding(1)),
        ([1, 2, 2, 3], 2, [5, 3], new().padding((2, 1))),
        ([1, 4, 7, 6], 2, [3, 3], new().padding((2, 1)).stride((2, 3)).dilation((2, 1))),
        ([1, 2, 5, 5], 1, [3, 3], new()),
    ] {
        let mut bench = Bench::new(2);
        let (x, d) = (bench.normal(&shape), bench.normal(&[groups, kernel[0] * kernel[1], shape[1]]));
        let (y, weights) = dynamic_conv_2d(&x, &d, kernel, None, options);
        let window = Window::new("test", [shape[2], shape[3]], kernel, &options);
        let (x, d) = (x.value().to_f64(), d.value().to_f64());
        // The kernels by their formula, then Eq. 1 with the dense weights.
        let weights = weights.value().to_f64();
        let logit = |n: usize, g: usize, j: usize, qy: usize, qx: usize| -> f64 {
            let [sy, sx] = options.stride;
            (0..shape[1]).map(|c| d[[g, j, c]] * x[[n, c, qy * sy, qx * sx]]).sum::<f64>().exp()
        };
        let expected = ArrayD::from_shape_fn(weights.raw_dim(), |index| {
            let (n, g, j, qy, qx) = (index[0], index[1], index[2], index[3], index[4]);
            logit(n, g, j, qy, qx) / (0..window.taps()).map(|j| logit(n, g, j, qy, qx)).sum::<f64>()
        });
        assert_close("kernels", &weights, &expected);
        let dense = dense_positions(weights.view().into_dimensionality::<Ix5>().unwrap(), &window);
        let expected = Array4::from_shape_fn(
            (shape[0], shape[1], window.output[0], window.output[1]),
            |(n, c, qy, qx)| {
                let a =
                    dense.slice(s![n, c / (shape[1] / groups), qy * window.output[1] + qx, ..]).to_owned();
                (0..window.pixels()).map(|k| a[k] * x[[n, c, k / shape[3], k % shape[3]]]).sum()
            },
        );
        assert_close("y", &y.value().to_f64(), &expected.into_dyn());
    }
}

#[test]
fn one_step_at_a_time_gives_the_bits_of_the_whole_sequence() {
    for (taps, padding_l) in [(3, 2), (5, 4), (9, 8), (2, 4), (1, 0)] {
        for softmax in [true, false] {
            let mut bench = Bench::new(3);
            let (x, weight, bias) =
                (bench.normal(&[7, 2, 6]), bench.normal(&[3, 1, taps]), bench.normal(&[6]));
            let full = lightweight_conv(&x, &weight, Some(&bias), padding_l, softmax);
            let mut state = DynamicConvState::new();
            for t in 0..7 {
                let y =
                    state.lightweight_conv(&steps(&x, t, t + 1), &weight, Some(&bias), padding_l, softmax);
                assert_eq!(bits(&y), bits(&steps(&full, t, t + 1)), "step {t}, {taps} taps");
            }
        }
    }
}

#[test]
fn predicted_kernels_in_pieces_of_any_length_equal_the_whole_sequence() {
    let base = DynamicConvOptions::new(2, 4).causal();
    let wide = DynamicConvOptions::new(2, 20).causal();
    for options in [
        base,
        wide,
        base.renorm_padding(true),
        wide.renorm_padding(true),
        base.weight_softmax(false),
        base.in_proj(true),
    ] {
        let mut bench = Bench::new(4);
        let outputs = 2 * options.kernel_size + if options.in_proj { 6 } else { 0 };
        let x = bench.normal(&[9, 2, 6]);
        let (weight, bias, conv_bias) =
            (bench.normal(&[outputs, 6]), bench.normal(&[outputs]), bench.normal(&[6]));
        let full = dynamic_conv(&x, None, &weight, Some(&bias), Some(&conv_bias), options);
        let mut state = DynamicConvState::new();
        let mut at = 0;
        for len in [1, 1, 3, 0, 1, 2, 1] {
            let piece = steps(&x, at, at + len);
            let y = state.dynamic_conv(&piece, None, &weight, Some(&bias), Some(&conv_bias), options);
            assert_close("piece", &y.value().to_f64(), &steps(&full, at, at + len).value().to_f64());
            at += len;
        }
        assert_eq!(at, 9);
    }
}

#[test]
fn reordered_beams_go_on_from_what_they_continue() {
    let mut bench = Bench::new(5);
    let (x, weight) = (bench.normal(&[3, 3, 4]), bench.normal(&[2, 1, 3]));
    let mut state = DynamicConvState::new();
    state.lightweight_conv(&steps(&x, 0, 2), &weight, None, 2, true);
    state.reorder(&[2, 0]);
    let last = crate::narrow(&steps(&x, 2, 3), 1, 0, 2);
    let y = state.lightweight_conv(&last, &weight, None, 2, true);
    let mut beams = x.value().to_f64().select(Axis(1), &[2, 0]);
    beams.slice_mut(s![2, .., ..]).assign(&last.value().to_f64().index_axis(Axis(0), 0));
    let full = lightweight_conv(&bench.given(beams), &weight, None, 2, true);
    assert_eq!(bits(&y), bits(&steps(&full, 2, 3)));
}

#[test]
#[should_panic(
    expected = "the convolution must be causal, padding_l >= kernel_size - 1: padding_l is 1, kernel_size 3"
)]
fn a_convolution_that_looks_ahead_cannot_be_fed_step_by_step() {
    let mut bench = Bench::new(6);
    let (x, weight) = (bench.normal(&[1, 1, 2]), bench.normal(&[1, 1, 3]));
    DynamicConvState::new().lightweight_conv(&x, &weight, None, 1, true);
}

/// A known public implementation cuts a causal kernel of K taps to the T steps there are, and takes the softmax
/// over the T taps left in one of its code paths but over all K in the other, so that training and
/// decoding can differ. Here it is K, in whatever direction the kernel looks.
#[test]
fn a_kernel_longer_than_the_sequence_keeps_its_softmax_over_all_taps() {
    let bench = Bench::new(0);
    let ones = bench.given(ArrayD::from_elem(vec![2, 1, 1], 1.0));
    let logits = [0.3, -0.2, 0.1, 0.9, 0.5];
    let weight = bench.given(ArrayD::from_shape_vec(vec![1, 1, 5], logits.to_vec()).unwrap());
    let mass = |taps: std::ops::Range<usize>| -> f64 { logits[taps].iter().map(|v| v.exp()).sum() };
    // With x = 1 an output is the softmax mass of the taps within the sequence.
    for (padding_l, inside) in [(4, [4..5, 3..5]), (2, [2..4, 1..3]), (0, [0..2, 0..1])] {
        let y = lightweight_conv(&ones, &weight, None, padding_l, true);
        for (y, taps) in y.value().as_slice().iter().zip(inside) {
            assert!((y - mass(taps) / mass(0..5)).abs() < 1e-15, "padding_l {padding_l}");
        }
    }
    // The other reading, softmax over the two taps left: visibly another number.
    let causal = lightweight_conv(&ones, &weight, None, 4, true);
    assert!((causal.value().as_slice()[1] - mass(3..5) / mass(3..5)).abs() > 0.4);
    // And the predicted kernel reads it the same way.
    let zero = bench.given(ArrayD::zeros(vec![5, 1]));
    let bias = bench.given(ArrayD::from_shape_vec(vec![5], logits.to_vec()).unwrap());
    let options = DynamicConvOptions::new(1, 5).causal();
    let predicted = dynamic_conv(&ones, None, &zero, Some(&bias), None, options);
    assert_close("predicted", &predicted.value().to_f64(), &causal.value().to_f64());
}

#[test]
fn renormalised_weights_add_up_to_one_at_the_borders() {
    let mut bench = Bench::new(7);
    let ones = bench.given(ArrayD::from_elem(vec![4, 2, 2], 1.0));
    let (weight, query) = (bench.normal(&[10, 3]), bench.normal(&[4, 2, 3]));
    let options = DynamicConvOptions::new(2, 5);
    let y = dynamic_conv(&ones, Some(&query), &weight, None, None, options.renorm_padding(true));
    assert!(y.value().as_slice().iter().all(|v| (v - 1.0).abs() < 1e-14));
    let lossy = dynamic_conv(&ones, Some(&query), &weight, None, None, options);
    assert!(lossy.value().as_slice().iter().all(|v| *v < 0.999));
}

#[test]
fn causal_outputs_do_not_see_the_future_and_sequences_do_not_see_each_other() {
    let mut bench = Bench::new(8);
    let (x, weight) = (bench.normal(&[6, 2, 4]), bench.normal(&[6, 4]));
    let options = DynamicConvOptions::new(2, 3).causal();
    let run = |x: &Leaf| dynamic_conv(x, None, &weight, None, None, options).value().to_f64();
    let mut changed = x.value().to_f64();
    changed.slice_mut(s![3.., 1, ..]).fill(50.0);
    let (before, after) = (run(&x), run(&bench.given(changed)));
    assert_eq!(before.slice(s![.., 0, ..]), after.slice(s![.., 0, ..]));
    assert_eq!(before.slice(s![..3, 1, ..]), after.slice(s![..3, 1, ..]));
    assert_ne!(before.slice(s![3, 1, ..]), after.slice(s![3, 1, ..]));
}

#[test]
fn moving_the_image_moves_the_output() {
    let mut bench = Bench::new(9);
    let d = bench.normal(&[1, 9, 2]);
    let patch = bench.samples.normal(&[2, 3, 3]).into_dimensionality::<Ix3>().unwrap();
    let run = |row: usize, col: usize| {
        let mut x = ArrayD::zeros(vec![1, 2, 9, 9]);
        x.slice_mut(s![0, .., row..row + 3, col..col + 3]).assign(&patch);
        let x = bench.given(x);
        dynamic_conv_2d(&x, &d, 3, None, Conv2dOptions::new().padding(1)).0.value().to_f64()
    };
    assert_eq!(run(2, 2).slice(s![.., .., ..8, ..7]), run(3, 4).slice(s![.., .., 1.., 2..]));
}

#[test]
fn padding_adds_nothing_whatever_it_holds() {
    let mut bench = Bench::new(10);
    let x = bench.normal(&[5, 2, 4]);
    let (w1, b1, w2) = (bench.normal(&[8, 4]), bench.normal(&[8]), bench.normal(&[3, 4]));
    let kernel = bench.normal(&[6, 4]);
    let mut mask = ArrayD::from_elem(vec![2, 5], false);
    mask.slice_mut(s![1, 3..]).fill(true);
    let run = |x: &Leaf| {
        let options = DynamicConvOptions::new(2, 3);
        let block = ConvBlock1d {
            linear1_weight: &w1,
            linear1_bias: Some(&b1),
            glu: true,
            conv: BlockConv::Dynamic { weight_linear: &kernel, bias: None, conv_bias: None, options },
            linear2_weight: &w2,
            linear2_bias: None,
        };
        conv_block_1d(x, Some(&mask), &block).value().to_f64()
    };
    let mut changed = x.value().to_f64();
    changed.slice_mut(s![3.., 1, ..]).fill(f64::NAN);
    assert_eq!(run(&x), run(&bench.given(changed)));
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let bits = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut samples = Samples::new(1);
            let tape = Tape::new(Cpu::<f32>::new());
            let mut leaf = |shape: &[usize]| tape.leaf(Array::from_f64(&Cpu::new(), &samples.normal(shape)));
            let (x, weight, light) = (leaf(&[40, 8, 64]), leaf(&[28, 64]), leaf(&[4, 1, 7]));
            let (image, d) = (leaf(&[2, 32, 24, 24]), leaf(&[4, 9, 32]));
            let outputs = [
                dynamic_conv(&x, None, &weight, None, None, DynamicConvOptions::new(4, 7)),
                lightweight_conv(&x, &light, None, 3, true),
                dynamic_conv_2d(&image, &d, 3, None, Conv2dOptions::new().padding(1)).0,
            ];
            let cotangents =
                outputs.each_ref().map(|y| Array::from_f64(&Cpu::new(), &samples.normal(y.shape())));
            let pairs: Vec<_> = outputs.iter().zip(cotangents).collect();
            let gradients = tape.backward_with(&pairs);
            let all = [&x, &weight, &light, &image, &d].map(|v| gradients.of(v).unwrap().clone());
            let all = all.iter().chain(outputs.iter().map(Var::value));
            all.flat_map(|array| array.as_slice().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        })
    };
    assert!(bits(1) == bits(4));
}

/// The dense `A(q, k)` of a kernel given for every step (after its softmax). // (B, H, T, T)
///
/// `weights` (T, B, H, K); the channels of head `h` use `A[b, h]`. Several taps never meet on one key, so
/// each row holds the kernel's taps within the sequence and zeros.
fn dense_steps(weights: ArrayView4<f64>, padding_l: usize) -> Array4<f64> {
    let (steps, batch, heads, taps) = weights.dim();
    Array4::from_shape_fn((batch, heads, steps, steps), |(b, h, q, k)| {
        // k = q + tap - padding_l
        match (k + padding_l).checked_sub(q) {
            Some(tap) if tap < taps => weights[[q, b, h, tap]],
            _ => 0.0,
        }
    })
}

/// The dense `A(q, k)` of kernels given for every position (after their softmax). // (N, G, Ho * Wo, H * W)
///
/// `weights` (N, G, taps, Ho, Wo); the channels of group `g` use `A[n, g]`.
fn dense_positions(weights: ArrayView5<f64>, window: &Window) -> Array4<f64> {
    let (batch, groups, taps, rows, cols) = weights.dim();
    let mut dense = Array4::zeros((batch, groups, rows * cols, window.pixels()));
    for ((n, g, tap, y, x), &weight) in weights.indexed_iter() {
        debug_assert!(tap < taps);
        let row = window.input(0, tap / window.kernel[1], y);
        let col = window.input(1, tap % window.kernel[1], x);
        if let (Some(row), Some(col)) = (row, col) {
            dense[[n, g, y * cols + x, row * window.image[1] + col]] = weight;
        }
    }
    dense
}
