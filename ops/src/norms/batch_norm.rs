//! Batch normalisation: each channel is normalised over the batch and all positions.
//!
//! `y = (x - mean_c) / sqrt(var_c + eps) * weight_c + bias_c`. In training `mean` and `var` are those
//! of the batch and depend on `x`; in evaluation they are running averages, constants.
//! `x` is (N, C, ..): (N, C), (N, C, L), (N, C, H, W).
//!
//! Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015.

use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply, apply_saving};

use super::planes::{self as kernel, Line};
use super::{check_affine, factor};
use crate::shape;

/// Batch normalisation by the statistics of the batch, which are returned as well.
///
/// # Formula
/// `y = (x - mean_c) / sqrt(var_c + eps) * weight_c + bias_c`, `mean_c` and the biased variance
/// `var_c` over all elements of channel `c`.
///
/// # Shapes
/// `x` and `y`: (N, C, ..), the same; `weight`, `bias`: (C), each may be left out (1 and 0).
///
/// # Gradient
/// With `n` elements per channel, `xhat = (x - mean) / sqrt(var + eps)`:
/// `dbias = sum dy`, `dweight = sum dy xhat`,
/// `dx = weight / sqrt(var + eps) (dy - dbias / n - xhat dweight / n)`.
/// No gradient flows through the returned statistics.
///
/// # Edge cases
/// A constant channel has variance 0 and becomes `bias`.
///
/// # Panics
/// If `x` has fewer than two axes or fewer than two elements per channel (one element says nothing
/// about a spread), or `weight` or `bias` is not (C).
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 2], vec![1.0, 10.0, 3.0, 14.0]));
/// let (y, statistics) = termwise_ops::batch_norm_train(&x, None, None, 0.0);
/// assert_eq!(y.value().as_slice(), [-1.0, -1.0, 1.0, 1.0]);
/// assert_eq!(statistics.mean.as_slice(), [2.0, 12.0]);
/// assert_eq!(statistics.var.as_slice(), [1.0, 4.0]);
/// ```
#[track_caller]
pub fn batch_norm_train<B: BatchNormKernel>(
    x: &Var<B>,
    weight: Option<&Var<B>>,
    bias: Option<&Var<B>>,
    eps: f64,
) -> (Var<B>, BatchStatistics<B>) {
    check("batch_norm_train", x, weight, bias);
    let (n, channels, inner) = shape::split_at_axis(x.shape(), 1);
    let count = n * inner;
    assert!(
        count >= 2 || channels == 0,
        "batch_norm_train: statistics need at least 2 elements per channel, x {:?} has {count}",
        x.shape()
    );
    let op = BatchNorm { eps, running: None };
    let (y, saved) = apply_saving(op, [x, &x.optional(weight), &x.optional(bias)]);
    (y, BatchStatistics { mean: saved.mean.clone(), var: saved.var.clone(), count })
}

/// Batch normalisation by running statistics, which are constants.
///
/// # Formula
/// `y = (x - running_mean_c) / sqrt(running_var_c + eps) * weight_c + bias_c`
///
/// # Shapes
/// `x` and `y`: (N, C, ..), the same; everything else (C); `weight` and `bias` may be left out (1 and 0).
///
/// # Gradient
/// `dx = dy weight / sqrt(running_var + eps)`, `dbias = sum dy`, `dweight = sum dy xhat` with the
/// normalised `xhat`.
///
/// # Panics
/// If `x` has fewer than two axes, or another operand is not (C).
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::inference(Cpu::<f64>::new());
/// let x = tape.constant(Array::host(&[1, 2], vec![3.0, 14.0]));
/// let (mean, var) = (Array::host(&[2], vec![1.0, 12.0]), Array::host(&[2], vec![4.0, 1.0]));
/// let y = termwise_ops::batch_norm_eval(&x, &mean, &var, None, None, 0.0);
/// assert_eq!(y.value().as_slice(), [1.0, 2.0]);
/// ```
#[track_caller]
pub fn batch_norm_eval<B: BatchNormKernel>(
    x: &Var<B>,
    running_mean: &Array<B>,
    running_var: &Array<B>,
    weight: Option<&Var<B>>,
    bias: Option<&Var<B>>,
    eps: f64,
) -> Var<B> {
    check("batch_norm_eval", x, weight, bias);
    let channels = &x.shape()[1..2];
    check_affine("batch_norm_eval", x.shape(), "running_mean", Some(running_mean.shape()), channels);
    check_affine("batch_norm_eval", x.shape(), "running_var", Some(running_var.shape()), channels);
    let op = BatchNorm { eps, running: Some((running_mean.clone(), running_var.clone())) };
    apply(op, [x, &x.optional(weight), &x.optional(bias)])
}

#[track_caller]
fn check<B: Backend>(op: &str, x: &Var<B>, weight: Option<&Var<B>>, bias: Option<&Var<B>>) {
    assert!(x.ndim() >= 2, "{op}: x must be (N, C, ..), its shape is {:?}", x.shape());
    check_affine(op, x.shape(), "weight", weight.map(Var::shape), &x.shape()[1..2]);
    check_affine(op, x.shape(), "bias", bias.map(Var::shape), &x.shape()[1..2]);
}

/// What [`batch_norm_train`] measured on its batch.
#[derive(Clone, Debug)]
pub struct BatchStatistics<B: Backend> {
    /// Mean of each channel: (C).
    pub mean: Array<B>,
    /// Biased variance of each channel, the one that the batch was normalised by: (C).
    pub var: Array<B>,
    /// Number of elements per channel.
    pub count: usize,
}

impl<B: BatchNormKernel> BatchStatistics<B> {
    /// The running mean and variance after this batch: `(1 - momentum) running + momentum batch`.
    ///
    /// The variance is averaged as the unbiased estimate, `var count / (count - 1)`.
    ///
    /// # Panics
    /// If a running statistic does not have the shape of the batch's.
    ///
    /// # Examples
    /// ```
    /// use termwise_autograd::Array;
    /// let array = |value: f64| Array::host(&[1], vec![value]);
    /// let batch = termwise_ops::BatchStatistics { mean: array(3.0), var: array(2.0), count: 2 };
    /// let (mean, var) = batch.update_running(&array(1.0), &array(2.0), 0.5);
    /// assert_eq!((mean.item(), var.item()), (2.0, 3.0));
    /// ```
    #[track_caller]
    pub fn update_running(
        &self,
        running_mean: &Array<B>,
        running_var: &Array<B>,
        momentum: f64,
    ) -> (Array<B>, Array<B>) {
        for (name, running) in [("running_mean", running_mean), ("running_var", running_var)] {
            assert!(
                running.shape() == self.mean.shape(),
                "batch_norm: {name} has shape {:?}, the statistics of the batch {:?}",
                running.shape(),
                self.mean.shape()
            );
        }
        let unbiased = self.count as f64 / (self.count as f64 - 1.0);
        (
            B::batch_norm_update(running_mean, &self.mean, momentum, 1.0),
            B::batch_norm_update(running_var, &self.var, momentum, unbiased),
        )
    }
}

struct BatchNorm<B: Backend> {
    eps: f64,
    /// `None` in training.
    running: Option<(Array<B>, Array<B>)>,
}

struct BatchNormSaved<B: Backend> {
    x: Array<B>,
    weight: Array<B>,
    mean: Array<B>,
    var: Array<B>,
}

impl<B: BatchNormKernel> Op<B, 3> for BatchNorm<B> {
    type Saved = BatchNormSaved<B>;

    fn name(&self) -> &'static str {
        if self.running.is_some() { "batch_norm_eval" } else { "batch_norm_train" }
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        let (mean, var) = self.running.clone().unwrap_or_else(|| B::batch_norm_statistics(x));
        let y = B::batch_norm_forward(x, &mean, &var, weight.present(), bias.present(), self.eps);
        (y, BatchNormSaved { x: x.clone(), weight: weight.clone(), mean, var })
    }

    fn backward(
        &self,
        saved: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        let BatchNormSaved { x, weight, mean, var } = saved;
        let training = self.running.is_none();
        // y = xhat weight + bias  =>  dweight = sum dy xhat, dbias = sum dy
        let affine = (needs[1] || needs[2] || training)
            .then(|| B::batch_norm_backward_affine(x, mean, var, self.eps, grad_output));
        // xhat = (x - mean) / sqrt(var + eps): through x, and in training through mean and var too
        let through_statistics = affine.as_ref().filter(|_| training);
        let grad_x = needs[0].then(|| {
            B::batch_norm_backward(x, mean, var, weight.present(), self.eps, through_statistics, grad_output)
        });
        let (grad_weight, grad_bias) = affine.unzip();
        [grad_x, grad_weight.filter(|_| needs[1]), grad_bias.filter(|_| needs[2])]
    }
}

/// Kernels of [`batch_norm_train`] and [`batch_norm_eval`].
pub trait BatchNormKernel: Backend {
    /// Mean and biased variance of each channel of `x`.
    fn batch_norm_statistics(x: &Array<Self>) -> (Array<Self>, Array<Self>);

    /// Normalised and scaled output.
    fn batch_norm_forward(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        eps: f64,
    ) -> Array<Self>;

    /// Gradients in weight and bias.
    fn batch_norm_backward_affine(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        eps: f64,
        grad_output: &Array<Self>,
    ) -> (Array<Self>, Array<Self>);

    /// Gradient in `x`. `through_statistics` are the gradients in weight and bias where mean and
    /// variance depend on `x`, `None` where they are constants.
    fn batch_norm_backward(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        weight: Option<&Array<Self>>,
        eps: f64,
        through_statistics: Option<&(Array<Self>, Array<Self>)>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;

    /// `(1 - momentum) running + momentum scale batch`.
    fn batch_norm_update(
        running: &Array<Self>,
        batch: &Array<Self>,
        momentum: f64,
        scale: f64,
    ) -> Array<Self>;
}

impl<T: Scalar> BatchNormKernel for Cpu<T> {
    fn batch_norm_statistics(x: &Array<Self>) -> (Array<Self>, Array<Self>) {
        kernel::statistics(x)
    }

    fn batch_norm_forward(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        weight: Option<&Array<Self>>,
        bias: Option<&Array<Self>>,
        eps: f64,
    ) -> Array<Self> {
        let (_, channels, _) = shape::split_at_axis(x.shape(), 1);
        let (mean, inv_std) = (mean.as_slice(), inverse_std(var, eps));
        kernel::planes(x, None, |plane| {
            let c = plane % channels;
            let shift = bias.map_or(T::zero(), |bias| bias.as_slice()[c]);
            // Not x scale + (bias - mean scale), which cancels where the mean is large.
            Line { centre: mean[c], slope: inv_std[c] * factor(weight, c), shift, ..Line::zero() }
        })
    }

    fn batch_norm_backward_affine(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        eps: f64,
        grad_output: &Array<Self>,
    ) -> (Array<Self>, Array<Self>) {
        kernel::sums_against_mean(x, grad_output, mean.as_slice(), &inverse_std(var, eps))
    }

    fn batch_norm_backward(
        x: &Array<Self>,
        mean: &Array<Self>,
        var: &Array<Self>,
        weight: Option<&Array<Self>>,
        eps: f64,
        through_statistics: Option<&(Array<Self>, Array<Self>)>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (n, channels, inner) = shape::split_at_axis(x.shape(), 1);
        let count = T::of((n * inner) as f64);
        let (mean, inv_std) = (mean.as_slice(), inverse_std(var, eps));
        kernel::planes(x, Some(grad_output), |plane| {
            let c = plane % channels;
            let scale = inv_std[c] * factor(weight, c);
            let Some((grad_weight, grad_bias)) = through_statistics else {
                return Line { slope_g: scale, ..Line::zero() };
            };
            // (g - mean(g) - (x - mean) slope) scale
            let mean_g = grad_bias.as_slice()[c] / count;
            let slope = grad_weight.as_slice()[c] / count * inv_std[c];
            Line { centre: mean[c], slope: -slope * scale, shift: -mean_g * scale, slope_g: scale }
        })
    }

    fn batch_norm_update(
        running: &Array<Self>,
        batch: &Array<Self>,
        momentum: f64,
        scale: f64,
    ) -> Array<Self> {
        let (keep, take) = (T::of(1.0 - momentum), T::of(momentum * scale));
        let new = running.as_slice().iter().zip(batch.as_slice()).map(|(&r, &b)| keep * r + take * b);
        Array::host(running.shape(), new.collect())
    }
}

fn inverse_std<T: Scalar>(var: &Array<Cpu<T>>, eps: f64) -> Vec<T> {
    var.as_slice().iter().map(|&var| (var + T::of(eps)).sqrt().recip()).collect()
}
