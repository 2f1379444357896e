//! Layer normalisation: each sample is normalised over its last axes.
//!
//! `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and biased variance over the axes of
//! `normalized_shape`, one weight and bias per element of it.
//!
//! Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv 1607.06450.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::{check_affine, layer_norm_kernel as kernel};

/// Layer normalisation over the last axes, which are `normalized_shape`.
///
/// # Formula
/// `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and biased variance over the axes of
/// `normalized_shape`.
///
/// # Shapes
/// `x` and `y`: (.., normalized_shape), the same; `weight`, `bias`: `normalized_shape`, each may be
/// left out (1 and 0).
///
/// # Gradient
/// With `xhat = (x - mean) / sqrt(var + eps)` and `g = dy weight`:
/// `dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps)`, `dweight = sum dy xhat` and
/// `dbias = sum dy` over the leading axes.
///
/// # Edge cases
/// A constant sample has variance 0 and becomes `bias`.
///
/// # Panics
/// If `normalized_shape` is empty or not the end of the shape of `x`, or is not the shape of `weight`
/// or `bias`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 2], vec![1.0, 3.0, 20.0, 10.0]));
/// let bias = tape.leaf(Array::host(&[2], vec![0.0, 5.0]));
/// let y = termwise_ops::layer_norm(&x, &[2], None, Some(&bias), 0.0);
/// assert_eq!(y.value().as_slice(), [-1.0, 6.0, 1.0, 4.0]);
/// ```
#[track_caller]
pub fn layer_norm<B: LayerNormKernel>(
    x: &Var<B>,
    normalized_shape: &[usize],
    weight: Option<&Var<B>>,
    bias: Option<&Var<B>>,
    eps: f64,
) -> Var<B> {
    assert!(
        !normalized_shape.is_empty() && x.shape().ends_with(normalized_shape),
        "layer_norm: x must end in the axes of normalized_shape {normalized_shape:?}, its shape is {:?}",
        x.shape()
    );
    check_affine("layer_norm", x.shape(), "weight", weight.map(Var::shape), normalized_shape);
    check_affine("layer_norm", x.shape(), "bias", bias.map(Var::shape), normalized_shape);
    let op = LayerNorm { normalized_shape: normalized_shape.to_vec(), eps };
    apply(op, [x, &x.optional(weight), &x.optional(bias)])
}

struct LayerNorm {
    normalized_shape: Vec<usize>,
    eps: f64,
}

struct LayerNormSaved<B: Backend> {
    x: Array<B>,
    weight: Array<B>,
    /// (rows)
    mean: Array<B>,
    /// `1 / sqrt(var + eps)`: (rows)
    inv_std: Array<B>,
}

impl<B: LayerNormKernel> Op<B, 3> for LayerNorm {
    type Saved = LayerNormSaved<B>;

    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        let len = self.normalized_shape.iter().product();
        let (y, mean, inv_std) = B::layer_norm_forward(x, weight.present(), bias.present(), len, self.eps);
        (y, LayerNormSaved { x: x.clone(), weight: weight.clone(), mean, inv_std })
    }

    fn backward(
        &self,
        saved: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        let LayerNormSaved { x, weight, mean, inv_std } = saved;
        // y = xhat weight + bias  =>  dweight = sum dy xhat, dbias = sum dy
        // xhat = (x - mean) / sqrt(var + eps), mean and var of x itself
        let shape = &self.normalized_shape;
        B::layer_norm_backward(x, weight.present(), mean, inv_std, grad_output, shape, needs)
    }
}

/// Kernels of [`layer_norm`]. All see `x` as rows of the elements that are normalised together.
pub trait LayerNormKernel: Backend {
    /// Output, and the mean and `1 / sqrt(var + eps)` of each row of `len` elements.
    fn layer_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        len: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>);

    /// The gradients in `x`, weight and bias (both of shape `normalized_shape`) that are needed.
    fn layer_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
        normalized_shape: &[usize],
        needs: [bool; 3],
    ) -> [Option<Array<Self>>; 3];
}

impl<T: Scalar> LayerNormKernel for Cpu<T> {
    fn layer_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        len: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>) {
        kernel::forward(x, weight, bias, len, eps)
    }

    fn layer_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
        normalized_shape: &[usize],
        needs: [bool; 3],
    ) -> [Option<Array<Self>>; 3] {
        let statistics = [mean.as_slice(), inv_std.as_slice()];
        let g = grad_output.as_slice();
        kernel::backward(x, weight, statistics, g, normalized_shape, needs)
    }
}

/// Test cases of [`layer_norm`].
pub fn cases<B: LayerNormKernel>() -> Vec<Case<B>> {
    let case = |axes: usize, affine: bool, offset: f64, shape: &[usize]| {
        let label = format!("over {axes} axes, affine {affine}, mean about {offset}");
        Case::new("layer_norm", label, shape, move |shape, samples| {
            let normalized = shape[shape.len().checked_sub(axes)?..].to_vec();
            let x = ("x", samples.normal(shape) + offset);
            if !affine {
                return Built::new([x], move |v| layer_norm(&v[0], &normalized, None, None, 1e-3));
            }
            let weight = ("weight", samples.normal(&normalized));
            let bias = ("bias", samples.normal(&normalized));
            Built::new([x, weight, bias], move |v| {
                layer_norm(&v[0], &normalized, Some(&v[1]), Some(&v[2]), 1e-3)
            })
        })
    };
    vec![
        case(1, true, 0.0, &[1, 1]),
        case(1, true, 0.0, &[3, 7]),
        case(1, false, 0.0, &[2, 3, 5]),
        case(2, true, 0.0, &[2, 2, 3, 4]),
        case(2, false, 100.0, &[3, 6]),
        case(1, true, 0.0, &[70, 2]),
        case(1, true, 0.0, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn the_answer_does_not_depend_on_shift_and_scale_of_the_input() {
        let tape = Tape::new(Cpu::<f32>::new());
        let row: Vec<f32> = (0..64).map(|i| ((i * 29) % 64) as f32).collect();
        let far = row.iter().map(|v| 4.0 * v + 1e6).collect();
        let plain = layer_norm(&tape.leaf(Array::host(&[1, 64], row)), &[64], None, None, 0.0);
        let far = layer_norm(&tape.leaf(Array::host(&[1, 64], far)), &[64], None, None, 0.0);
        for (a, b) in plain.value().as_slice().iter().zip(far.value().as_slice()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert!(plain.value().as_slice()[1] < 0.0 && plain.value().as_slice()[2] > 1.0);
    }

    #[test]
    #[should_panic(expected = "x must end in the axes of normalized_shape [3], its shape is [3, 2]")]
    fn another_last_axis_is_refused() {
        let tape = Tape::new(Cpu::<f32>::new());
        layer_norm(&tape.leaf(Array::host(&[3, 2], vec![0.0; 6])), &[3], None, None, 1e-5);
    }
}
