//! The law that the run in `f32` stays near the run in `f64`.

use ndarray::ArrayD;

use super::Samples;
use super::examine::random;
use super::options::Check;
use super::problem::{Function, gradient_of};
use super::report::{Law, LawReport};
use crate::{Array, Cpu, Scalar, Tape};

/// How many random roundings of the inputs measure what rounding may do.
const ROUNDINGS: usize = 3;
/// How many times as much as rounding the inputs a run may do; it rounds at every step.
const MULTIPLE: f64 = 16.0;

/// What a tensor may be off by in any case: two units in the last place of 1, through which a
/// logarithm or a softmax passes however small its result.
const FLOOR: f64 = 2.0 * f32::EPSILON as f64;

/// Compares output and gradients of both runs at the same inputs, which are rounded to `f32` first.
///
/// The bound on each tensor is `f32_bound` of its largest magnitude, plus 2.4e-7, plus 16 times the
/// most that a change of the inputs by about one unit in the last place of `f32` does to the `f64`
/// run. An ill-conditioned function is so given the room that it needs and no more.
pub(super) fn single_against_double(
    options: &Check,
    inputs: &[(&str, ArrayD<f64>)],
    double: Function<'_, f64>,
    single: Function<'_, f32>,
) -> LawReport {
    let mut samples = Samples::new(options.seed ^ 0xF32);
    let rounded = |values: &[f64]| values.iter().map(|&v| f64::from(v as f32)).collect::<Vec<_>>();
    let shapes: Vec<&[usize]> = inputs.iter().map(|(_, value)| value.shape()).collect();
    let values: Vec<Vec<f64>> =
        inputs.iter().map(|(_, value)| rounded(&value.iter().copied().collect::<Vec<_>>())).collect();
    let outputs = run(double, &shapes, &values, None).len_of_output();
    let cotangent = rounded(&random(&mut samples, outputs));

    let reference = run(double, &shapes, &values, Some(&cotangent));
    let found = run(single, &shapes, &values, Some(&cotangent));
    let mut sensitivity = vec![0.0_f64; reference.tensors.len()];
    for _ in 0..ROUNDINGS {
        let mut jitter = |values: &[f64]| -> Vec<f64> {
            let shifts = random(&mut samples, values.len());
            values.iter().zip(shifts).map(|(v, shift)| v * (1.0 + f64::from(f32::EPSILON) * shift)).collect()
        };
        let moved: Vec<Vec<f64>> = values.iter().map(|values| jitter(values)).collect();
        let cotangent = jitter(&cotangent);
        let moved = run(double, &shapes, &moved, Some(&cotangent));
        for (sensitivity, (a, b)) in sensitivity.iter_mut().zip(moved.tensors.iter().zip(&reference.tensors))
        {
            *sensitivity = sensitivity.max(largest_difference(a, b));
        }
    }

    let names = std::iter::once("the output".to_string())
        .chain(inputs.iter().map(|(name, _)| format!("the gradient of input {name}")));
    let output_size = largest(&reference.tensors[0]);
    let mut broken = None;
    let mut nearest = 0.0_f64;
    for (position, name) in names.enumerate() {
        let (expected, found) = (&reference.tensors[position], &found.tensors[position]);
        // A gradient that cancels to zero in f64 is rounding in f32, of the size that the output
        // changes by when the input does.
        let cancelled = match position {
            0 => 0.0,
            input => 64.0 * f64::from(f32::EPSILON) * output_size / largest(&values[input - 1]).max(1e-30),
        };
        let bound =
            options.f32_bound * largest(expected) + MULTIPLE * sensitivity[position] + cancelled + FLOOR;
        let difference = largest_difference(expected, found);
        nearest = nearest.max(difference / bound);
        // Not `>`: a NaN is far away.
        let near = difference <= bound;
        if !near && broken.is_none() {
            broken = Some(format!("{name} in f32 is {difference:.2e} from f64, the bound is {bound:.2e}"));
        }
    }
    LawReport {
        law: Law::F32,
        holds: broken.is_none(),
        detail: broken
            .unwrap_or_else(|| format!("the f32 run is within {nearest:.2} of its bound from the f64 run")),
    }
}

/// The output, and the gradient of each input.
struct Tensors {
    tensors: Vec<Vec<f64>>,
}

impl Tensors {
    fn len_of_output(&self) -> usize {
        self.tensors[0].len()
    }
}

fn run<T: Scalar>(
    function: Function<'_, T>,
    shapes: &[&[usize]],
    values: &[Vec<f64>],
    cotangent: Option<&[f64]>,
) -> Tensors {
    let tape = Tape::new(Cpu::<T>::new());
    let array =
        |shape: &[usize], values: &[f64]| Array::host(shape, values.iter().map(|&v| T::of(v)).collect());
    let leaves: Vec<_> =
        shapes.iter().zip(values).map(|(shape, values)| tape.leaf(array(shape, values))).collect();
    let output = function(&leaves);
    let mut tensors = vec![output.value().as_slice().iter().map(|v| v.as_f64()).collect::<Vec<_>>()];
    if let Some(cotangent) = cotangent {
        let swept = tape.backward_with(&[(&output, array(output.shape(), cotangent))]);
        tensors.extend(leaves.iter().map(|leaf| gradient_of(swept.of(leaf), leaf).values));
    }
    Tensors { tensors }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).fold(0.0, f64::max)
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let differences = a.iter().zip(b).map(|(a, b)| {
        let same = a.to_bits() == b.to_bits();
        if same { 0.0 } else { (a - b).abs() }
    });
    differences.map(|d| if d.is_nan() { f64::INFINITY } else { d }).fold(0.0, f64::max)
}
