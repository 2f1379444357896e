//! Compares a fast computation on a tape with its definition in plain loops.

use ndarray::{Array2, Array3, Array4, ArrayD};
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::{Array, Cpu, Tape, Var};
use termwise_ops::attention::definition::{Dual, Number};

/// An input under its name.
pub(crate) type Input = (&'static str, ArrayD<f64>);

/// Requires that `fast` equals `definition` in value and in the gradient with respect to every element
/// of every input, under a random cotangent.
///
/// The definition's derivatives are exact (dual numbers): one evaluation per element, so inputs are
/// small.
pub(crate) fn assert_equal(
    what: &str,
    inputs: &[Input],
    fast: impl Fn(&[Var<Cpu<f64>>]) -> Var<Cpu<f64>>,
    definition: impl Fn(&[ArrayD<Dual>]) -> ArrayD<Dual>,
) {
    let tape = Tape::new(Cpu::new());
    let leaves: Vec<_> = inputs.iter().map(|(_, x)| tape.leaf(x.clone().into())).collect();
    let y = fast(&leaves);
    let cotangent = Samples::new(99).normal(y.shape());
    let fast_value = y.value().to_ndarray();
    let gradients = tape.backward_with(&[(&y, cotangent.clone().into())]);

    let plain: Vec<ArrayD<Dual>> = inputs.iter().map(|(_, x)| x.mapv(Dual::from)).collect();
    let value = definition(&plain);
    assert_eq!(value.shape(), fast_value.shape(), "{what}: shape");
    close(&format!("{what}: value"), &fast_value, &value.mapv(|v| v.value));

    for (i, (name, x)) in inputs.iter().enumerate() {
        let exact = ArrayD::from_shape_fn(x.raw_dim(), |at| {
            let mut seeded = plain.clone();
            seeded[i][at].derivative = 1.0;
            let tangent = definition(&seeded);
            tangent.iter().zip(&cotangent).map(|(t, c)| t.derivative * c).sum::<f64>()
        });
        let found = gradients.of(&leaves[i]).map_or_else(|| ArrayD::zeros(x.raw_dim()), Array::to_ndarray);
        close(&format!("{what}: gradient of {name}"), &found, &exact);
    }
}

/// `|a - b| <= 1e-12 + 1e-10 max |b|` for each element: rounding, and nothing else.
pub(crate) fn close(what: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>) {
    assert_eq!(found.shape(), expected.shape(), "{what}: shapes differ");
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for ((at, &a), &b) in found.indexed_iter().zip(expected) {
        assert!((a - b).abs() <= 1e-12 + 1e-10 * largest, "{what} at {at:?}: found {a}, expected {b}");
    }
}

/// Fixed-rank views of dynamic arrays, by copy.
pub(crate) fn d2<N: Number>(x: &ArrayD<N>) -> Array2<N> {
    x.clone().into_dimensionality().expect("two axes")
}

/// See [`d2`].
pub(crate) fn d3<N: Number>(x: &ArrayD<N>) -> Array3<N> {
    x.clone().into_dimensionality().expect("three axes")
}

/// See [`d2`].
pub(crate) fn d4<N: Number>(x: &ArrayD<N>) -> Array4<N> {
    x.clone().into_dimensionality().expect("four axes")
}

/// One image (1, C, H, W) as tokens (H W, C).
pub(crate) fn tokens<N: Number>(x: &ArrayD<N>) -> Array2<N> {
    let x = d4(x);
    let (_, c, h, w) = x.dim();
    Array2::from_shape_fn((h * w, c), |(i, c)| x[[0, c, i / w, i % w]])
}

/// Tokens (H W, C) as one image (1, C, H, W).
pub(crate) fn image<N: Number>(tokens: &Array2<N>, h: usize, w: usize) -> ArrayD<N> {
    Array4::from_shape_fn((1, tokens.ncols(), h, w), |(_, c, y, x)| tokens[[y * w + x, c]]).into_dyn()
}

/// A leaf-less evaluation: the value of `f` on constants.
pub(crate) fn value(inputs: &[&ArrayD<f64>], f: impl Fn(&[Var<Cpu<f64>>]) -> Var<Cpu<f64>>) -> ArrayD<f64> {
    let tape = Tape::inference(Cpu::new());
    let vars: Vec<_> = inputs.iter().map(|x| tape.constant((*x).clone().into())).collect();
    f(&vars).value().to_ndarray()
}
