//! Every kernel on every instruction set against the formula in plain loops, and against columns and a matrix
//! product where loops would take too long.

use proptest::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::simd::available;

use super::*;
use crate::conv::lowering;
use crate::conv::patches::{Patches, scatter_add};
use crate::conv::{Conv2dOptions, Window};

/// The operands of a convolution, of its backward pass too.
struct Operands<T> {
    x: Vec<T>,
    weight: Vec<T>,
    bias: Vec<T>,
    grad_output: Vec<T>,
}

impl<T: Scalar> Operands<T> {
    fn new(geometry: &ConvGeometry) -> Self {
        let mut samples = Samples::new(5);
        let mut normal = |shape: &[usize]| samples.normal(shape).iter().map(|&v| T::of(v)).collect();
        Operands {
            x: normal(&geometry.input_shape()),
            weight: normal(&geometry.weight_shape()),
            bias: normal(&[geometry.out_channels]),
            grad_output: normal(&geometry.output_shape()),
        }
    }
}

/// `y`, `dx`, `dW`, `db`.
type Results = [Vec<f64>; 4];

/// The definition.
fn plain<T: Scalar>(geometry: &ConvGeometry, operands: &Operands<T>) -> Results {
    let (inputs, outputs, window) = (geometry.group_inputs(), geometry.group_outputs(), &geometry.window);
    let widened = |values: &[T]| values.iter().map(|v| v.as_f64()).collect::<Vec<_>>();
    let (x, weight) = (widened(&operands.x), widened(&operands.weight));
    let (bias, grad_output) = (widened(&operands.bias), widened(&operands.grad_output));
    let (mut y, mut grad_x) = (vec![0.0; grad_output.len()], vec![0.0; x.len()]);
    let (mut grad_weight, mut grad_bias) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    for (at, g) in grad_output.iter().enumerate() {
        let (rest, q) = (at / window.positions(), at % window.positions());
        let (n, o) = (rest / geometry.out_channels, rest % geometry.out_channels);
        y[at] += bias[o];
        grad_bias[o] += g;
        for k in 0..inputs * window.taps() {
            let (c, tap) = (k / window.taps(), k % window.taps());
            let row = window.input(0, tap / window.kernel[1], q / window.output[1]);
            let col = window.input(1, tap % window.kernel[1], q % window.output[1]);
            let (Some(row), Some(col)) = (row, col) else { continue };
            let channel = n * geometry.in_channels + o / outputs * inputs + c;
            let from = (channel * window.image[0] + row) * window.image[1] + col;
            let k = o * inputs * window.taps() + k;
            y[at] += weight[k] * x[from];
            grad_x[from] += weight[k] * g;
            grad_weight[k] += g * x[from];
        }
    }
    [y, grad_x, grad_weight, grad_bias]
}

/// Columns and matrix products.
fn lowered(geometry: &ConvGeometry, operands: &Operands<f64>) -> Results {
    let Operands { x, weight, bias, grad_output } = operands;
    let window = geometry.window;
    let patches = Patches { x, in_channels: geometry.in_channels, window };
    let mut grad_x = vec![0.0; x.len()];
    let group = geometry.group_inputs() * window.pixels();
    for (i, grad_x) in grad_x.chunks_mut(group).enumerate() {
        let (n, group) = (i / geometry.groups, i % geometry.groups);
        let mut buffer = Vec::new();
        for rows in lowering::tiles(geometry) {
            let columns =
                lowering::column_gradient(geometry, weight, grad_output, n, group, &rows, &mut buffer);
            scatter_add(&window, columns, &rows, grad_x);
        }
    }
    [
        lowering::forward(geometry, weight, Some(bias), &patches),
        grad_x,
        lowering::weight_gradient(geometry, grad_output, &patches),
        bias_gradient(grad_output, geometry.out_channels, window.positions()).to_vec(),
    ]
}

/// Each kernel's result beside what it should be: all ways to compute it, those that are not taken for this
/// geometry too.
fn check<T: Scalar>(geometry: &ConvGeometry, operands: &Operands<T>, expected: &Results) {
    let Operands { x, weight, bias, grad_output } = operands;
    let [y, grad_x, grad_weight, grad_bias] = expected;
    let tolerance = 400.0 * if T::NAME == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON };
    for isa in available() {
        let close = |what: &str, found: &[T], expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{isa}, {what}: {geometry:?}");
            let scale = expected.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (found.as_f64() - expected).abs() <= tolerance * scale,
                    "{isa}, {}, {what} at {i}: {found} is not {expected}: {geometry:?}",
                    T::NAME
                );
            }
        };
        close("y", &forward(isa, geometry, x, weight, Some(bias)), y);
        close("implicit y", &implicit::forward(isa, geometry, x, weight, Some(bias)), y);
        close("dx", &input_gradient(isa, geometry, weight, grad_output), grad_x);
        let by_channels = weight_gradient::weight_gradient(isa, geometry, x, grad_output);
        close("dW by channels", &by_channels, grad_weight);
        let by_positions = weight_by_positions::weight_gradient(isa, geometry, x, grad_output);
        close("dW by positions", &by_positions, grad_weight);
        close(
            "db",
            &bias_gradient(grad_output, geometry.out_channels, geometry.window.positions()),
            grad_bias,
        );
        if let Some(all) = all_gradients(isa, geometry, x, weight, grad_output) {
            close("dx of all", &all[0], grad_x);
            close("dW of all", &all[1], grad_weight);
            close("db of all", &all[2], grad_bias);
        }
    }
}

fn check_plain(geometry: &ConvGeometry) {
    let operands = Operands::<f64>::new(geometry);
    check(geometry, &operands, &plain(geometry, &operands));
    let operands = Operands::<f32>::new(geometry);
    check(geometry, &operands, &plain(geometry, &operands));
}

/// `x` is (N, C / groups, H, W), `outputs` those of a group.
fn geometry(x: [usize; 4], outputs: usize, kernel: [usize; 2], options: Conv2dOptions) -> ConvGeometry {
    let [n, inputs, height, width] = x;
    let [rows, cols] = kernel;
    let groups = options.groups;
    let weight = [outputs * groups, inputs, rows, cols];
    ConvGeometry::new("test", &[n, inputs * groups, height, width], &weight, None, &options)
}

const NEW: Conv2dOptions = Conv2dOptions::new();

#[test]
fn every_kernel_size_stride_and_padding() {
    for kernel in [[1, 1], [2, 2], [3, 3], [5, 5], [1, 3], [7, 7], [3, 2]] {
        for stride in 1..=3 {
            for padding in 0..=3 {
                let options = NEW.stride(stride).padding((padding, 3 - padding));
                check_plain(&geometry([2, 3, 11, 13], 5, kernel, options));
            }
        }
    }
}

#[test]
fn dilations_groups_and_strides_that_differ_by_axis() {
    check_plain(&geometry([1, 2, 17, 12], 3, [3, 3], NEW.dilation(2).padding(2)));
    check_plain(&geometry([2, 4, 12, 19], 9, [3, 2], NEW.dilation((1, 3)).padding((1, 3)).groups(2)));
    check_plain(&geometry(
        [3, 4, 9, 8],
        3,
        [3, 2],
        NEW.stride((2, 3)).padding((1, 2)).dilation((2, 1)).groups(2),
    ));
    check_plain(&geometry(
        [1, 5, 7, 30],
        17,
        [2, 5],
        NEW.stride((3, 2)).dilation((3, 2)).padding((2, 4)).groups(3),
    ));
    check_plain(&geometry([1, 2, 3, 50], 3, [1, 41], NEW.padding((0, 20))));
    check_plain(&geometry([1, 2, 40, 5], 3, [11, 1], NEW.padding((20, 0)).dilation(4)));
    check_plain(&geometry([1, 2, 2, 45], 2, [2, 13], NEW.padding((1, 37)).dilation((1, 5)).stride(2)));
    // More padding than the kernel reaches, and taps that see nothing but padding.
    check_plain(&geometry([1, 2, 2, 3], 2, [2, 2], NEW.padding((2, 3))));
    check_plain(&geometry([1, 2, 1, 1], 3, [3, 3], NEW.padding(3).stride(2)));
    check_plain(&geometry([1, 1, 1, 1], 1, [5, 5], NEW.padding(4).stride(3).dilation(2)));
}

#[test]
fn channels_and_widths_around_the_size_of_a_tile() {
    for channels in [1, 2, 4, 5, 7, 8, 9, 15, 17, 33] {
        check_plain(&geometry([1, channels, 3, 5], 35 - channels, [3, 3], NEW.padding(1)));
    }
    check_plain(&geometry([1, 5, 4, 6], 40, [3, 3], NEW.padding(1)));
    for width in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 49, 64] {
        check_plain(&geometry([2, 3, 4, width], 9, [3, 3], NEW.padding(1)));
        check_plain(&geometry([1, 2, 1, width], 6, [1, 3], NEW.padding((0, 1)).stride((1, 2))));
    }
}

#[test]
fn depthwise_with_any_multiplier() {
    for (multiplier, groups) in [(1, 1), (1, 5), (2, 3), (3, 2)] {
        for size in [[1, 1], [1, 7], [6, 1], [5, 4], [9, 16], [7, 37]] {
            let [height, width] = size;
            let shape = [2, 1, height, width];
            for padding in 1..=3 {
                check_plain(&geometry(shape, multiplier, [3, 3], NEW.padding(padding).groups(groups)));
            }
            check_plain(&geometry(shape, multiplier, [3, 3], NEW.padding(1).stride(2).groups(groups)));
            check_plain(&geometry(shape, multiplier, [5, 3], NEW.padding(2).dilation((1, 2)).groups(groups)));
        }
        check_plain(&geometry([1, 1, 8, 21], multiplier, [3, 3], NEW.groups(groups)));
    }
}

#[test]
fn nothing_in_and_nothing_out() {
    check_plain(&geometry([0, 3, 5, 4], 4, [3, 3], NEW.padding(1)));
    check_plain(&geometry([0, 1, 5, 4], 1, [3, 3], NEW.padding(1).groups(4)));
    check_plain(&geometry([2, 3, 0, 4], 2, [1, 3], NEW.padding(1)));
}

#[test]
fn images_of_many_blocks_and_tasks_equal_columns_and_products() {
    for (x, outputs, kernel, options) in [
        ([2, 32, 64, 65], 40, [3, 3], NEW.padding(1)),
        ([1, 48, 61, 40], 36, [3, 3], NEW.padding((1, 0)).stride(2)),
        ([3, 17, 50, 43], 21, [5, 3], NEW.padding(2).dilation((1, 2)).groups(2)),
        ([4, 130, 20, 20], 70, [1, 1], NEW),
        ([2, 128, 7, 7], 256, [3, 3], NEW.padding(1)),
        ([2, 1, 96, 130], 1, [3, 3], NEW.padding(1).groups(40)),
        ([2, 4, 40, 40], 4, [3, 3], NEW.padding(1).groups(16)),
    ] {
        let geometry = geometry(x, outputs, kernel, options);
        let operands = Operands::<f64>::new(&geometry);
        check(&geometry, &operands, &lowered(&geometry, &operands));
    }
}

/// Scratch memory is what its last user left there. Numbers that are not finite must not come through.
#[test]
fn what_scratch_memory_held_does_not_matter() {
    for (x, outputs, kernel, options) in [
        ([2, 19, 23, 21], 18, [3, 3], NEW.padding(1)),
        ([1, 24, 40, 30], 20, [3, 3], NEW.padding(1).stride(2)),
        ([1, 1, 43, 37], 2, [3, 3], NEW.padding(1).groups(6)),
        ([2, 4, 9, 50], 3, [1, 41], NEW.padding((0, 20))),
    ] {
        let geometry = geometry(x, outputs, kernel, options);
        let mut operands = Operands::<f32>::new(&geometry);
        let expected = plain(&geometry, &operands);
        let finite =
            std::mem::replace(&mut operands.x, vec![f32::NAN; geometry.input_shape().iter().product()]);
        let grad_output = std::mem::replace(&mut operands.grad_output, vec![f32::NAN; expected[0].len()]);
        for isa in available() {
            let Operands { x, weight, grad_output, .. } = &operands;
            for _ in 0..2 {
                let y = forward(isa, &geometry, x, weight, None);
                assert!(y.iter().all(|y| y.is_nan()), "{isa}");
                input_gradient(isa, &geometry, weight, grad_output);
                weight_gradient::weight_gradient(isa, &geometry, x, grad_output);
                weight_by_positions::weight_gradient(isa, &geometry, x, grad_output);
                all_gradients(isa, &geometry, x, weight, grad_output);
            }
        }
        (operands.x, operands.grad_output) = (finite, grad_output);
        check(&geometry, &operands, &expected);
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for (x, outputs, options) in [
        ([1, 64, 33, 40], 48, NEW.padding(1)),
        ([5, 33, 24, 20], 96, NEW.padding(1).stride(2)),
        ([3, 8, 40, 41], 8, NEW.padding(1).groups(8)),
        ([2, 1, 64, 64], 1, NEW.padding(1).groups(33)),
        ([1, 512, 7, 7], 256, NEW.padding(1)),
    ] {
        let geometry = geometry(x, outputs, [3, 3], options);
        let Operands { x, weight, bias, grad_output } = &Operands::<f32>::new(&geometry);
        for isa in available() {
            let bits = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                let results = pool.install(|| {
                    let mut results = vec![
                        forward(isa, &geometry, x, weight, Some(bias)),
                        input_gradient(isa, &geometry, weight, grad_output),
                        weight_gradient::weight_gradient(isa, &geometry, x, grad_output),
                        weight_by_positions::weight_gradient(isa, &geometry, x, grad_output),
                        bias_gradient(grad_output, geometry.out_channels, geometry.window.positions()),
                    ];
                    results
                        .extend(all_gradients(isa, &geometry, x, weight, grad_output).into_iter().flatten());
                    results
                });
                results.iter().flat_map(|all| all.iter().map(|v| v.to_bits())).collect::<Vec<_>>()
            };
            let one = bits(1);
            assert!(one == bits(2) && one == bits(3), "{isa}: {geometry:?}");
        }
    }
}

/// Any convolution that fits.
fn any_geometry() -> impl Strategy<Value = ConvGeometry> {
    let pair = |range: std::ops::RangeInclusive<usize>| [range.clone(), range];
    let channels = prop_oneof![(1..=20usize, 1..=20usize, 1..=3usize), (Just(1), 1..=2usize, 1..=6usize)];
    let shape = (1..=3usize, channels, [1..=24usize, 1..=40usize]);
    let options = (pair(1..=5), pair(1..=3), pair(0..=4), pair(1..=3));
    (shape, options).prop_filter_map("the kernel does not fit", |(shape, options)| {
        let (n, (inputs, outputs, groups), [height, width]) = shape;
        let (kernel, stride, padding, dilation) = options;
        let fits =
            |axis: usize, extent: usize| extent + 2 * padding[axis] > dilation[axis] * (kernel[axis] - 1);
        let options = Conv2dOptions { stride, padding, dilation, groups };
        (fits(0, height) && fits(1, width))
            .then(|| geometry([n, inputs, height, width], outputs, kernel, options))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_convolution_equals_plain_loops(geometry in any_geometry()) {
        check_plain(&geometry);
    }

    /// Outputs and inputs of an axis are one relation, read in two directions.
    #[test]
    fn a_transposed_axis_reads_where_the_convolution_writes(geometry in any_geometry()) {
        let window: &Window = &geometry.window;
        for axis in 0..2 {
            let transposed = super::axis::Axis::transposed(window, axis);
            let mut found = Vec::new();
            for part in &transposed.parts {
                for (i, m) in part.range.clone().enumerate() {
                    for &(tap, t) in &part.taps {
                        let source = (m + t) as isize - transposed.left;
                        if let Ok(q) = usize::try_from(source) && q < window.output[axis] {
                            found.push((part.first + i * transposed.step, tap, q));
                        }
                    }
                }
            }
            let mut expected = Vec::new();
            for q in 0..window.output[axis] {
                for tap in 0..window.kernel[axis] {
                    expected.extend(window.input(axis, tap, q).map(|at| (at, tap, q)));
                }
            }
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
