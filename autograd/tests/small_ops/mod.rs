//! Small operations, right and wrong, that the tests of the checker are about.
#![allow(dead_code, reason = "each test file uses some of them")]

use ndarray::{Array1, ArrayD, Axis, Ix1, Ix2, IxDyn, Zip, arr1};
use termwise_autograd::{Array, Cpu, Op, Var, apply};

pub type V = Var<Cpu<f64>>;

/// An op from two closures: forward on the inputs, backward on the inputs and grad_output.
pub struct Custom<F, G> {
    name: &'static str,
    forward: F,
    backward: G,
}

impl<F, G, const N: usize> Op<Cpu<f64>, N> for Custom<F, G>
where
    F: Fn(&[ArrayD<f64>; N]) -> ArrayD<f64> + 'static,
    G: Fn(&[ArrayD<f64>; N], &ArrayD<f64>) -> [ArrayD<f64>; N] + 'static,
{
    type Saved = [ArrayD<f64>; N];

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, inputs: [&Array<Cpu<f64>>; N]) -> (Array<Cpu<f64>>, Self::Saved) {
        let inputs = inputs.map(Array::to_ndarray);
        ((self.forward)(&inputs).into(), inputs)
    }

    fn backward(
        &self,
        inputs: &Self::Saved,
        grad_output: &Array<Cpu<f64>>,
        _: [bool; N],
    ) -> [Option<Array<Cpu<f64>>>; N] {
        (self.backward)(inputs, &grad_output.to_ndarray()).map(|gradient| Some(gradient.into()))
    }
}

/// Applies an op made of two closures.
pub fn custom<const N: usize>(
    name: &'static str,
    inputs: [&V; N],
    forward: impl Fn(&[ArrayD<f64>; N]) -> ArrayD<f64> + 'static,
    backward: impl Fn(&[ArrayD<f64>; N], &ArrayD<f64>) -> [ArrayD<f64>; N] + 'static,
) -> V {
    apply(Custom { name, forward, backward }, inputs)
}

/// Applies an elementwise op from its value and a derivative that may be wrong.
pub fn map(name: &'static str, x: &V, value: fn(f64) -> f64, derivative: fn(f64) -> f64) -> V {
    custom(name, [x], move |[x]| x.mapv(value), move |[x], g| [x.mapv(derivative) * g])
}

/// The right square.
pub fn square(x: &V) -> V {
    map("square", x, |x| x * x, |x| 2.0 * x)
}

/// `exp`, with `spoil` applied to its right gradient.
pub fn exp_spoiled(x: &V, spoil: impl Fn(ArrayD<f64>) -> ArrayD<f64> + 'static) -> V {
    custom("exp", [x], |[x]| x.mapv(f64::exp), move |[x], g| [spoil(x.mapv(f64::exp) * g)])
}

/// `relu` with a free choice of the derivative at 0.
pub fn relu(x: &V, at_zero: f64) -> V {
    let derivative = move |x: f64| if x > 0.0 { 1.0 } else { if x == 0.0 { at_zero } else { 0.0 } };
    custom("relu", [x], |[x]| x.mapv(|x| x.max(0.0)), move |[x], g| [x.mapv(derivative) * g])
}

/// `y = x + bias`, `x` (N, C), `bias` (C); the gradient of `bias` is made by `reduce`.
pub fn add_bias(x: &V, bias: &V, reduce: fn(&ArrayD<f64>) -> ArrayD<f64>) -> V {
    custom("add_bias", [x, bias], |[x, bias]| x + bias, move |_, g| [g.clone(), reduce(g)])
}

/// The right reduction for [`add_bias`].
pub fn sum_rows(g: &ArrayD<f64>) -> ArrayD<f64> {
    g.sum_axis(Axis(0))
}

/// `y = a b`, `a` (N, K), `b` (K, M), with `spoil` applied to the gradient of `b`.
pub fn matmul(a: &V, b: &V, spoil: impl Fn(ArrayD<f64>) -> ArrayD<f64> + 'static) -> V {
    let matrix = |x: &ArrayD<f64>| x.clone().into_dimensionality::<Ix2>().unwrap();
    custom(
        "matmul",
        [a, b],
        move |[a, b]| matrix(a).dot(&matrix(b)).into_dyn(),
        move |[a, b], g| {
            let g = matrix(g);
            [g.dot(&matrix(b).t()).into_dyn(), spoil(matrix(a).t().dot(&g).into_dyn())]
        },
    )
}

/// Softmax over the last axis of `(N, C)`, with `spoil` applied to its right gradient.
pub fn softmax(x: &V, spoil: impl Fn(ArrayD<f64>) -> ArrayD<f64> + 'static) -> V {
    fn value(x: &ArrayD<f64>) -> ArrayD<f64> {
        let mut y = x.clone();
        for mut row in y.lanes_mut(Axis(1)) {
            let max = row.fold(f64::NEG_INFINITY, |m, &v| m.max(v));
            row.mapv_inplace(|v| (v - max).exp());
            let sum = row.sum();
            row /= sum;
        }
        y
    }
    custom(
        "softmax",
        [x],
        |[x]| value(x),
        move |[x], g| {
            let y = value(x);
            let dot = (&y * g).sum_axis(Axis(1)).insert_axis(Axis(1));
            [spoil(&y * &(g - &dot))]
        },
    )
}

/// Linear interpolation of `signal` (L) at `position` (P), zero outside; right derivative at integers.
pub fn sample(signal: &V, position: &V) -> V {
    fn at(signal: &Array1<f64>, index: f64) -> f64 {
        if index >= 0.0 && index < signal.len() as f64 { signal[index as usize] } else { 0.0 }
    }
    fn vector(x: &ArrayD<f64>) -> Array1<f64> {
        x.clone().into_dimensionality::<Ix1>().unwrap()
    }
    custom(
        "sample",
        [signal, position],
        |[signal, position]| {
            let signal = vector(signal);
            position.mapv(|p| {
                let (low, t) = (p.floor(), p - p.floor());
                (1.0 - t) * at(&signal, low) + t * at(&signal, low + 1.0)
            })
        },
        |[signal, position], g| {
            let signal = vector(signal);
            let mut grad_signal = Array1::zeros(signal.len());
            let mut grad_position = Array1::zeros(position.len());
            Zip::indexed(&vector(position)).and(&vector(g)).for_each(|i, &p, &g| {
                let (low, t) = (p.floor(), p - p.floor());
                for (index, weight) in [(low, 1.0 - t), (low + 1.0, t)] {
                    if index >= 0.0 && index < signal.len() as f64 {
                        grad_signal[index as usize] += weight * g;
                    }
                }
                grad_position[i] = (at(&signal, low + 1.0) - at(&signal, low)) * g;
            });
            [grad_signal.into_dyn(), grad_position.into_dyn()]
        },
    )
}

/// Values that have no pattern: a fixed sequence in (-1, 1).
pub fn values(shape: &[usize]) -> ArrayD<f64> {
    let mut state = 0.37_f64;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        state = 1.0 - 1.99 * state * state; // a chaotic map
        state
    })
}

/// A vector as an input.
pub fn vector(values: &[f64]) -> ArrayD<f64> {
    arr1(values).into_dyn()
}
