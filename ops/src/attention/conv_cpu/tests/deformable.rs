//! Deformable convolution against plain loops.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, available};

use super::super::deformable::forward;
use super::super::deformable_backward::backward;
use super::deformable_reference::reference;
use super::{Numbers, assert_close, assert_same_bits_on_any_number_of_threads, widened};
use crate::attention::deformable_conv::{DeformGeometry, Sampled};
use crate::conv::{Conv2dOptions, ConvGeometry};

/// Operands of one convolution.
struct Problem<T> {
    geometry: DeformGeometry,
    x: Vec<T>,
    offset: Vec<T>,
    mask: Option<Vec<T>>,
    weight: Vec<T>,
    bias: Option<Vec<T>>,
    grad_output: Vec<T>,
}

impl<T: Scalar> Problem<T> {
    /// `shape` is that of x, `outputs` the channels of y, `reach` bounds the offsets.
    fn new(
        shape: [usize; 4],
        outputs: usize,
        kernel: [usize; 2],
        options: Conv2dOptions,
        (axes, offset_groups, reach): (usize, usize, i64),
        modulated: bool,
    ) -> Self {
        let mut numbers = Numbers::new(7);
        let weight_shape = [outputs, shape[1] / options.groups, kernel[0], kernel[1]];
        let conv = ConvGeometry::new("test", &shape, &weight_shape, None, &options);
        let slots = shape[0] * offset_groups * conv.window.taps() * conv.window.positions();
        Problem {
            geometry: DeformGeometry { conv, axes, offset_groups },
            x: numbers.normal(shape.iter().product()),
            offset: numbers.sixteenths(axes * slots, reach),
            mask: modulated.then(|| numbers.normal(slots)),
            weight: numbers.normal(weight_shape.iter().product()),
            bias: modulated.then(|| numbers.normal(outputs)),
            grad_output: numbers.normal(shape[0] * outputs * conv.window.positions()),
        }
    }

    fn sampled(&self) -> Sampled<&[T]> {
        Sampled { x: &self.x, offset: &self.offset, mask: self.mask.as_deref() }
    }

    fn backward(&self, isa: Isa, needs: [bool; 4]) -> [Option<Buffer<T>>; 4] {
        backward(isa, &self.geometry, self.sampled(), &self.weight, &self.grad_output, needs)
    }

    #[track_caller]
    fn check(&self, name: &str) {
        let (x, offset, weight) = (widened(&self.x), widened(&self.offset), widened(&self.weight));
        let [mask, bias] = [&self.mask, &self.bias].map(|values| values.as_deref().map(widened));
        let sampled = Sampled { x: &x[..], offset: &offset, mask: mask.as_deref() };
        let grad_output = widened(&self.grad_output);
        let [y, gradients @ ..] = reference(&self.geometry, sampled, &weight, bias.as_deref(), &grad_output);
        for isa in available() {
            let found = forward(isa, &self.geometry, self.sampled(), &self.weight, self.bias.as_deref());
            assert_close(&format!("{name}, {isa}: y"), &found, &y);
            let found = self.backward(isa, [true; 4]);
            for ((what, found), expected) in
                ["dx", "doffset", "dmask", "dW"].iter().zip(&found).zip(&gradients)
            {
                assert_close(&format!("{name}, {isa}: {what}"), found.as_deref().unwrap_or(&[]), expected);
            }
        }
    }
}

fn check<T: Scalar>() {
    let new = Conv2dOptions::new;
    for modulated in [false, true] {
        let check = |name: &str, shape, outputs, kernel, options, offsets| {
            Problem::<T>::new(shape, outputs, kernel, options, offsets, modulated)
                .check(&format!("{name}, mask {modulated}"));
        };
        check("one of everything", [1, 1, 1, 1], 1, [1, 1], new(), (2, 1, 2));
        check("3x3", [2, 5, 6, 7], 3, [3, 3], new().padding(1), (2, 1, 2));
        check("whole vectors", [1, 32, 9, 8], 20, [3, 3], new().padding(1), (2, 1, 1));
        check("several blocks", [1, 3, 21, 13], 17, [3, 2], new().padding((2, 1)), (2, 1, 3));
        check("offset groups", [1, 24, 5, 6], 4, [2, 3], new().padding(1), (2, 3, 2));
        check("groups", [1, 12, 7, 5], 10, [3, 3], new().groups(2), (2, 1, 2));
        check("groups across offset groups", [2, 12, 5, 5], 4, [2, 1], new().groups(2), (2, 3, 1));
        check("depthwise", [1, 6, 6, 6], 6, [3, 3], new().groups(6).padding(1), (2, 2, 1));
        let wide = new().stride((2, 3)).dilation((3, 1)).padding((3, 2));
        check("stride, dilation", [1, 4, 12, 11], 5, [3, 3], wide, (2, 2, 4));
        check("far outside", [1, 2, 4, 3], 2, [3, 3], new().padding(1), (2, 1, 40));
        check("kernel larger than the image", [1, 2, 2, 3], 2, [5, 4], new().padding(2), (2, 1, 1));
        check("no image", [1, 2, 0, 0], 2, [3, 3], new().padding(2), (2, 1, 2));
        check("empty batch", [0, 2, 4, 4], 3, [3, 3], new(), (2, 1, 1));
        check("many samples", [9, 3, 3, 4], 2, [2, 2], new().padding(1), (2, 1, 1));
        let line = new().padding((0, 2)).dilation((1, 2));
        check("line", [2, 20, 1, 37], 6, [1, 3], line, (1, 2, 3));
        check("one step", [1, 3, 1, 1], 2, [1, 1], new(), (1, 1, 1));
    }
}

#[test]
fn deformable_convolution_equals_plain_loops_in_f32() {
    check::<f32>();
}

#[test]
fn deformable_convolution_equals_plain_loops_in_f64() {
    check::<f64>();
}

#[test]
fn what_is_not_needed_is_left_out_and_changes_nothing() {
    let options = Conv2dOptions::new().padding(1).groups(2);
    let problem = Problem::<f32>::new([2, 8, 11, 10], 6, [3, 3], options, (2, 2, 2), true);
    let all = problem.backward(simd::isa(), [true; 4]);
    for bits in 0..16 {
        let needs = std::array::from_fn(|i| bits >> i & 1 == 1);
        let found = problem.backward(simd::isa(), needs);
        for i in 0..4 {
            assert_eq!(found[i].is_some(), needs[i], "{needs:?}");
            if let (Some(found), Some(expected)) = (&found[i], &all[i]) {
                // The same sums in the same order, whatever else is computed.
                assert!(found[..] == expected[..], "{needs:?}: gradient {i}");
            }
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for batch in [1, 3] {
        let options = Conv2dOptions::new().padding(1);
        let problem = Problem::<f32>::new([batch, 16, 33, 29], 24, [3, 3], options, (2, 2, 3), true);
        assert_same_bits_on_any_number_of_threads(|| {
            let y = forward(simd::isa(), &problem.geometry, problem.sampled(), &problem.weight, None);
            let gradients = problem.backward(simd::isa(), [true; 4]);
            std::iter::once(y).chain(gradients.into_iter().flatten()).collect()
        });
    }
}

#[test]
fn corners_outside_add_nothing_even_where_the_image_is_infinite() {
    let mut problem = Problem::<f64>::new([1, 1, 2, 2], 1, [1, 1], Conv2dOptions::new(), (2, 1, 0), false);
    problem.x = vec![f64::INFINITY, 1.0, 2.0, 3.0];
    // All outputs look at the last pixel and what lies beyond it.
    problem.offset = vec![1.5, 1.5, 0.5, 0.5, 1.5, 0.5, 1.5, 0.5];
    let y = forward(simd::isa(), &problem.geometry, problem.sampled(), &[1.0], None);
    assert_eq!(y[..], [0.75; 4]);
}
