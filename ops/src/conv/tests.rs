//! The convolutions against their formula in plain loops, over geometries that reach every path.

use ndarray::{Array1, Array4, ArrayD};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu, Tape, Var};

use super::*;

/// `y`, `dx`, `dW`, `db` straight from the definition.
struct Plain {
    y: Array4<f64>,
    grad_x: Array4<f64>,
    grad_weight: Array4<f64>,
    grad_bias: Array1<f64>,
}

fn plain(
    x: &ArrayD<f64>,
    weight: &ArrayD<f64>,
    bias: &ArrayD<f64>,
    grad: &ArrayD<f64>,
    options: Conv2dOptions,
) -> Plain {
    let x = x.view().into_dimensionality::<ndarray::Ix4>().unwrap();
    let weight = weight.view().into_dimensionality::<ndarray::Ix4>().unwrap();
    let mut result = Plain {
        y: Array4::zeros([grad.shape()[0], grad.shape()[1], grad.shape()[2], grad.shape()[3]]),
        grad_x: Array4::zeros(x.dim()),
        grad_weight: Array4::zeros(weight.dim()),
        grad_bias: Array1::zeros(bias.len()),
    };
    let (outputs, group_inputs, kh, kw) = weight.dim();
    let (_, _, height, width) = x.dim();
    let indices: Vec<_> = result.y.indexed_iter().map(|(index, _)| index).collect();
    for (n, o, oh, ow) in indices {
        let g = grad[[n, o, oh, ow]];
        result.y[[n, o, oh, ow]] += bias[o];
        result.grad_bias[o] += g;
        for c in 0..group_inputs {
            let channel = o / (outputs / options.groups) * group_inputs + c;
            for i in 0..kh {
                for j in 0..kw {
                    let row =
                        (oh * options.stride[0] + i * options.dilation[0]).checked_sub(options.padding[0]);
                    let col =
                        (ow * options.stride[1] + j * options.dilation[1]).checked_sub(options.padding[1]);
                    let (Some(row), Some(col)) = (row, col) else { continue };
                    if row < height && col < width {
                        result.y[[n, o, oh, ow]] += weight[[o, c, i, j]] * x[[n, channel, row, col]];
                        result.grad_x[[n, channel, row, col]] += weight[[o, c, i, j]] * g;
                        result.grad_weight[[o, c, i, j]] += x[[n, channel, row, col]] * g;
                    }
                }
            }
        }
    }
    result
}

fn leaf(tape: &Tape<Cpu<f64>>, values: &ArrayD<f64>) -> Var<Cpu<f64>> {
    tape.leaf(values.clone().into())
}

fn assert_close(what: &str, ours: &ArrayD<f64>, expected: ArrayD<f64>) {
    assert_eq!(ours.shape(), expected.shape(), "{what}");
    let scale = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (index, value) in expected.indexed_iter() {
        assert!(
            (ours[&index] - value).abs() <= 1e-13 * scale,
            "{what} at {index:?}: {} is not {value}",
            ours[&index]
        );
    }
}

fn check(x: [usize; 4], outputs: usize, kernel: [usize; 2], options: Conv2dOptions) {
    let mut samples = Samples::new(7);
    let x = samples.normal(&x);
    let weight = samples.normal(&[outputs, x.shape()[1] / options.groups, kernel[0], kernel[1]]);
    let bias = samples.normal(&[outputs]);
    let tape = Tape::new(Cpu::new());
    let (x_var, weight_var, bias_var) = (leaf(&tape, &x), leaf(&tape, &weight), leaf(&tape, &bias));
    let y = conv2d(&x_var, &weight_var, Some(&bias_var), options);
    let grad = samples.normal(y.shape());
    let expected = plain(&x, &weight, &bias, &grad, options);
    let gradients = tape.backward_with(&[(&y, grad.clone().into())]);
    assert_close("y", &y.value().to_f64(), expected.y.into_dyn());
    assert_close("dx", &gradients.of(&x_var).unwrap().to_f64(), expected.grad_x.into_dyn());
    assert_close("dW", &gradients.of(&weight_var).unwrap().to_f64(), expected.grad_weight.into_dyn());
    assert_close("db", &gradients.of(&bias_var).unwrap().to_f64(), expected.grad_bias.into_dyn());

    // The transpose: <conv(x), g> = <x, conv_transpose(g)> at the sizes that the strides leave over.
    if options.groups == 1 || outputs.is_multiple_of(options.groups) {
        let tape = Tape::inference(Cpu::new());
        let over = std::array::from_fn(|a| {
            let padded = x.shape()[2 + a] + 2 * options.padding[a];
            (padded - options.dilation[a] * (kernel[a] - 1) - 1) % options.stride[a]
        });
        let back = conv_transpose2d(&leaf(&tape, &grad), &leaf(&tape, &weight), None, options, over);
        assert_close("transpose", &back.value().to_f64(), gradients.of(&x_var).unwrap().to_f64());
    }
}

#[test]
fn every_path_equals_plain_loops() {
    let new = Conv2dOptions::new;
    check([2, 3, 7, 5], 4, [3, 3], new().padding(1));
    check([1, 1, 1, 1], 2, [3, 3], new().padding(1));
    check([1, 2, 3, 2], 3, [7, 5], new().padding((3, 2)));
    check([3, 4, 9, 8], 6, [3, 2], new().stride((2, 3)).padding((1, 2)).dilation((2, 1)).groups(2));
    check([2, 5, 4, 6], 3, [1, 1], new());
    check([2, 6, 4, 6], 4, [1, 1], new().groups(2));
    check([2, 5, 5, 6], 3, [1, 1], new().stride(2));
    check([2, 5, 3, 2], 3, [1, 1], new().padding(1));
    check([2, 4, 7, 6], 4, [3, 3], new().padding(1).groups(4));
    check([2, 3, 7, 9], 6, [3, 5], new().padding((1, 0)).stride((1, 2)).dilation((2, 1)).groups(3));
    check([1, 2, 2, 3], 2, [3, 3], new().padding(3).stride(2).groups(2));
}

#[test]
fn an_image_of_many_tiles_equals_plain_loops() {
    let options = Conv2dOptions::new().padding(1);
    let geometry = ConvGeometry::new("test", &[2, 32, 16, 64], &[3, 32, 3, 3], None, &options);
    assert_eq!(lowering::tiles(&geometry).count(), 3);
    check([2, 32, 16, 64], 3, [3, 3], options);
}

/// Bits of the output and of all gradients, on a pool of `threads`.
fn bits(threads: usize, options: Conv2dOptions) -> Vec<u32> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
        let mut samples = Samples::new(3);
        let tape = Tape::new(Cpu::<f32>::new());
        let mut leaf = |shape: &[usize]| tape.leaf(Array::from_f64(&Cpu::new(), &samples.normal(shape)));
        let channels = 32 / options.groups;
        let inputs = [leaf(&[5, 32, 24, 20]), leaf(&[96, channels, 3, 3]), leaf(&[96])];
        let y = conv2d(&inputs[0], &inputs[1], Some(&inputs[2]), options);
        let grad = Array::from_f64(&Cpu::new(), &samples.normal(y.shape()));
        let gradients = tape.backward_with(&[(&y, grad)]);
        let all = inputs.iter().map(|input| gradients.of(input).unwrap()).chain([y.value()]);
        all.flat_map(|array| array.as_slice().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
    })
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for groups in [1, 4, 32] {
        let options = Conv2dOptions::new().padding(1).groups(groups);
        assert!(bits(1, options) == bits(4, options), "groups {groups}");
    }
}

#[test]
fn moving_the_image_moves_the_output() {
    let mut samples = Samples::new(1);
    let weight = samples.normal(&[2, 1, 3, 3]);
    let mut x = ArrayD::zeros(vec![1, 1, 9, 9]);
    let mut moved = x.clone();
    for ((i, j), v) in samples.normal(&[3, 3]).into_dimensionality::<ndarray::Ix2>().unwrap().indexed_iter() {
        x[[0, 0, 2 + i, 2 + j]] = *v;
        moved[[0, 0, 3 + i, 4 + j]] = *v;
    }
    let tape = Tape::inference(Cpu::new());
    let run = |x: &ArrayD<f64>| {
        conv2d(&leaf(&tape, x), &leaf(&tape, &weight), None, Conv2dOptions::new().padding(1)).value().to_f64()
    };
    let (y, moved) = (run(&x), run(&moved));
    assert_eq!(y.slice(ndarray::s![.., .., ..8, ..7]), moved.slice(ndarray::s![.., .., 1.., 2..]));
}

#[test]
#[should_panic(
    expected = "conv2d: channels and groups differ: x is [1, 3, 4, 4] so C = 3, weight is [2, 2, 3, 3]"
)]
fn channels_that_differ_are_refused() {
    let tape = Tape::new(Cpu::<f32>::new());
    let zeros = |shape: &[usize]| tape.leaf(Array::zeros(&Cpu::new(), shape));
    conv2d(&zeros(&[1, 3, 4, 4]), &zeros(&[2, 2, 3, 3]), None, Conv2dOptions::new());
}

#[test]
#[should_panic(expected = "conv_transpose2d: bias must be (4,), one number per output channel; it is [2]")]
fn a_bias_of_the_wrong_length_is_refused() {
    let tape = Tape::new(Cpu::<f32>::new());
    let zeros = |shape: &[usize]| tape.leaf(Array::zeros(&Cpu::new(), shape));
    let options = Conv2dOptions::new();
    conv_transpose2d(&zeros(&[1, 2, 4, 4]), &zeros(&[2, 4, 3, 3]), Some(&zeros(&[2])), options, 0);
}
