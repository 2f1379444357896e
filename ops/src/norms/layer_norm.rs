//! Layer normalisation: each sample is normalised over its last axes.
//!
//! `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and biased variance over the axes of
//! `normalized_shape`, one weight and bias per element of it.
//!
//! Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv 1607.06450.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::check_affine;
use super::statistics::mean_and_variance;
use crate::par;
use crate::sums::sum_pairs;

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
        let affine = (needs[1] || needs[2])
            .then(|| B::layer_norm_backward_affine(x, mean, inv_std, grad_output, &self.normalized_shape));
        // xhat = (x - mean) / sqrt(var + eps), mean and var of x itself
        let grad_x =
            needs[0].then(|| B::layer_norm_backward(x, weight.present(), mean, inv_std, grad_output));
        let (grad_weight, grad_bias) = affine.unzip();
        [grad_x, grad_weight.filter(|_| needs[1]), grad_bias.filter(|_| needs[2])]
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

    /// Gradients in weight and bias, both of shape `normalized_shape`.
    fn layer_norm_backward_affine(
        x: &Array<Self>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
        normalized_shape: &[usize],
    ) -> (Array<Self>, Array<Self>);

    /// Gradient in `x`.
    fn layer_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

impl<T: Scalar> LayerNormKernel for Cpu<T> {
    fn layer_norm_forward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        len: usize,
        eps: f64,
    ) -> (Array<Self>, Array<Self>, Array<Self>) {
        let rows = x.len().checked_div(len).unwrap_or(0);
        let data = x.as_slice();
        let statistics = par::map(rows, 3 * len, |r| {
            let (mean, var) = mean_and_variance(std::iter::once(&data[r * len..][..len]));
            (mean, (var + T::of(eps)).sqrt().recip())
        });
        let mut y = vec![T::zero(); x.len()];
        par::for_each_chunk(&mut y, len, 4 * len, |r, y| {
            let (mean, inv_std) = statistics[r];
            for (y, &x) in y.iter_mut().zip(&data[r * len..]) {
                *y = (x - mean) * inv_std;
            }
            if let Some(weight) = weight {
                y.iter_mut().zip(weight.as_slice()).for_each(|(y, &w)| *y *= w);
            }
            if let Some(bias) = bias {
                y.iter_mut().zip(bias.as_slice()).for_each(|(y, &b)| *y += b);
            }
        });
        let (mean, inv_std) = statistics.into_iter().unzip();
        (Array::host(x.shape(), y), Array::host(&[rows], mean), Array::host(&[rows], inv_std))
    }

    fn layer_norm_backward_affine(
        x: &Array<Self>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
        normalized_shape: &[usize],
    ) -> (Array<Self>, Array<Self>) {
        /// Rows that one task sums up; the tasks' sums are added in order.
        const BLOCK: usize = 64;
        let len: usize = normalized_shape.iter().product();
        let (data, g, mean, inv_std) =
            (x.as_slice(), grad_output.as_slice(), mean.as_slice(), inv_std.as_slice());
        let partial = par::map(mean.len().div_ceil(BLOCK), 4 * BLOCK * len, |block| {
            let (mut weight, mut bias) = (vec![T::zero(); len], vec![T::zero(); len]);
            for r in block * BLOCK..mean.len().min((block + 1) * BLOCK) {
                let row = r * len..(r + 1) * len;
                for (((weight, bias), &x), &g) in
                    weight.iter_mut().zip(&mut bias).zip(&data[row.clone()]).zip(&g[row])
                {
                    *weight += g * (x - mean[r]) * inv_std[r];
                    *bias += g;
                }
            }
            (weight, bias)
        });
        let (mut weight, mut bias) = (vec![T::zero(); len], vec![T::zero(); len]);
        for (block_weight, block_bias) in partial {
            weight.iter_mut().zip(block_weight).for_each(|(sum, w)| *sum += w);
            bias.iter_mut().zip(block_bias).for_each(|(sum, b)| *sum += b);
        }
        (Array::host(normalized_shape, weight), Array::host(normalized_shape, bias))
    }

    fn layer_norm_backward(
        x: &Array<Self>,
        weight: Option<&Array<Self>>,
        mean: &Array<Self>,
        inv_std: &Array<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (mean, inv_std) = (mean.as_slice(), inv_std.as_slice());
        let len = x.len().checked_div(mean.len()).unwrap_or(0);
        let count = T::of(len as f64);
        let data = x.as_slice();
        let mut grad = grad_output.as_slice().to_vec();
        par::for_each_chunk(&mut grad, len, 8 * len, |r, grad| {
            if let Some(weight) = weight {
                grad.iter_mut().zip(weight.as_slice()).for_each(|(g, &w)| *g *= w);
            }
            let (mean, inv_std) = (mean[r], inv_std[r]);
            let x = &data[r * len..][..len];
            let [sum_g, sum_gx] = sum_pairs(x, grad, &|x, g| [g, g * (x - mean)]);
            let (mean_g, slope) = (sum_g / count, sum_gx / count * inv_std * inv_std);
            for (g, &x) in grad.iter_mut().zip(x) {
                *g = (*g - mean_g - (x - mean) * slope) * inv_std;
            }
        });
        Array::host(x.shape(), grad)
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
