//! A function at a point: its value along a line, and its analytic gradient.

use ndarray::{ArrayD, IxDyn};

use crate::{Array, Cpu, Fault, Scalar, Tape, Var};

/// The function under check.
pub(super) type Function<'a, T> = &'a dyn Fn(&[Var<Cpu<T>>]) -> Var<Cpu<T>>;

/// One differentiated input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Row-major.
    pub(super) values: Vec<f64>,
}

impl Input {
    /// Root mean square of the values; 1 where they are all zero, so that it can scale a step.
    pub(super) fn scale(&self) -> f64 {
        let rms = root_mean_square(self.values.iter().copied());
        if rms > 0.0 && rms.is_finite() { rms } else { 1.0 }
    }
}

/// The gradient with respect to one input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gradient {
    pub(super) values: Vec<f64>,
    /// False where the sweep brought none.
    pub(super) connected: bool,
}

/// Where the finite difference moves.
#[derive(Clone, Copy)]
pub(super) enum Line<'a> {
    /// One element of one input.
    Element { input: usize, element: usize },
    /// All elements of one input, in this ratio.
    Direction { input: usize, along: &'a [f64] },
}

#[derive(Clone)]
pub(super) struct Problem<'a> {
    pub(super) op: &'a str,
    pub(super) inputs: Vec<Input>,
    pub(super) function: Function<'a, f64>,
    pub(super) output_shape: Vec<usize>,
    /// Output at the inputs.
    pub(super) base: Vec<f64>,
    /// A deliberate mistake in the analytic side.
    pub(super) fault: Option<Fault>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(op: &'a str, inputs: &[(&str, ArrayD<f64>)], function: Function<'a, f64>) -> Self {
        let inputs: Vec<Input> = inputs
            .iter()
            .map(|(name, value)| Input {
                name: (*name).to_string(),
                shape: value.shape().to_vec(),
                values: value.iter().copied().collect(),
            })
            .collect();
        let mut problem =
            Problem { op, inputs, function, output_shape: Vec::new(), base: Vec::new(), fault: None };
        let output = problem.forward(&problem.values());
        problem.output_shape = output.shape().to_vec();
        problem.base = output.into_iter().collect();
        problem
    }

    pub(super) fn with_fault(&self, fault: Fault) -> Self {
        Problem { fault: Some(fault), ..self.clone() }
    }

    pub(super) fn outputs(&self) -> usize {
        self.base.len()
    }

    pub(super) fn elements(&self) -> usize {
        self.inputs.iter().map(|input| input.values.len()).sum()
    }

    fn values(&self) -> Vec<Vec<f64>> {
        self.inputs.iter().map(|input| input.values.clone()).collect()
    }

    fn forward(&self, values: &[Vec<f64>]) -> ArrayD<f64> {
        let tape = Tape::inference(Cpu::new());
        let vars: Vec<_> = self
            .inputs
            .iter()
            .zip(values)
            .map(|(input, values)| tape.constant(Array::host(&input.shape, values.clone())))
            .collect();
        (self.function)(&vars).value().to_f64()
    }

    /// The output where the inputs have moved by `t` along `line`.
    pub(super) fn moved(&self, line: Line<'_>, t: f64) -> Vec<f64> {
        let mut values = self.values();
        match line {
            Line::Element { input, element } => values[input][element] += t,
            Line::Direction { input, along } => {
                values[input].iter_mut().zip(along).for_each(|(value, along)| *value += t * along);
            }
        }
        let output = self.forward(&values);
        assert!(
            output.shape() == self.output_shape,
            "gradcheck: {} has an output of shape {:?}, and of shape {:?} after a small step in an input",
            self.op,
            self.output_shape,
            output.shape()
        );
        output.into_iter().collect()
    }

    /// A tape of this problem: with its fault, if it has one.
    pub(super) fn tape(&self) -> Tape<Cpu<f64>> {
        let tape = Tape::new(Cpu::new());
        match self.fault {
            Some(fault) => tape.tampered(fault),
            None => tape,
        }
    }

    /// The inputs as leaves of `tape`.
    pub(super) fn leaves(&self, tape: &Tape<Cpu<f64>>) -> Vec<Var<Cpu<f64>>> {
        self.inputs.iter().map(|input| tape.leaf(Array::host(&input.shape, input.values.clone()))).collect()
    }

    /// Gradient of `<cotangent, output>` with respect to each input, by the reverse sweep.
    pub(super) fn gradient(&self, cotangent: &[f64]) -> Vec<Gradient> {
        let tape = self.tape();
        let leaves = self.leaves(&tape);
        let output = (self.function)(&leaves);
        let gradients = tape.backward_with(&[(&output, Array::host(output.shape(), cotangent.to_vec()))]);
        leaves.iter().map(|leaf| gradient_of(gradients.of(leaf), leaf)).collect()
    }

    /// The gradients of each of `cotangents` by input and cotangent, each run on a tape of its own.
    pub(super) fn gradients(&self, cotangents: &[Vec<f64>]) -> Vec<Vec<Gradient>> {
        let mut by_input: Vec<Vec<Gradient>> = vec![Vec::new(); self.inputs.len()];
        for cotangent in cotangents {
            for (column, gradient) in by_input.iter_mut().zip(self.gradient(cotangent)) {
                column.push(gradient);
            }
        }
        by_input
    }
}

/// The swept gradient of a leaf in `f64`, zeros where there is none.
pub(super) fn gradient_of<T: Scalar>(gradient: Option<&Array<Cpu<T>>>, leaf: &Var<Cpu<T>>) -> Gradient {
    match gradient {
        Some(gradient) => Gradient {
            values: gradient.as_slice().iter().map(|value| value.as_f64()).collect(),
            connected: true,
        },
        None => Gradient { values: vec![0.0; leaf.value().len()], connected: false },
    }
}

pub(super) fn root_mean_square(values: impl Iterator<Item = f64>) -> f64 {
    // Divided by the maximum first: squares of numbers below 1e-162 would vanish.
    let values: Vec<f64> = values.map(f64::abs).collect();
    let max = values.iter().copied().fold(0.0, f64::max);
    if max == 0.0 || !max.is_finite() {
        return max;
    }
    max * (values.iter().map(|v| (v / max).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// The n-d index of an element in row-major order.
pub(super) fn unravel(mut element: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (index, &extent) in index.iter_mut().zip(shape).rev() {
        (*index, element) = (element % extent, element / extent);
    }
    index
}

/// `values` in row-major order under `shape` with two axes swapped, in row-major order.
pub(super) fn swap_axes(values: &[f64], shape: &[usize], a: usize, b: usize) -> Vec<f64> {
    let mut array = ndarray::ArrayViewD::from_shape(IxDyn(shape), values).expect("one value per element");
    array.swap_axes(a, b);
    array.iter().copied().collect()
}

/// A shape as it is written in reports: `(3, 4)`, and `()` for a scalar.
pub(super) fn shape_text(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", extents.join(", "))
}
