//! Dynamic convolution, the mechanism of Eq. 1 whose weights are a kernel predicted from the query.
//!
//! `A(q, k, x_q)_c = K_{j, h(c)} if k = q + p_j, else 0`, `K_{., h} = softmax_j(d_{j, h}^T x_q)`
//!
//! There is one head of attention in the sense of Eq. 1, but its weights differ per channel: the
//! channels fall into H contiguous groups (which the field calls heads, too) that share a predicted
//! kernel of K taps. `W'` is the identity and `W` the linear layer that follows.
//!
//! A tap outside the sequence keeps its share of the softmax and multiplies a zero. That holds for
//! kernels longer than the sequence as well, in whatever direction they look: the softmax is taken
//! over all K taps, then those outside drop out. (One public implementation cuts a causal kernel
//! with K > T to T taps and takes the softmax before the cut in one code path, after it in the other.)
//!
//! Source: Wu et al., "Pay Less Attention with Lightweight and Dynamic Convolutions", ICLR 2019.

use termwise_autograd::Var;

use super::dynamic_conv_per_step::{PerStepConvKernel, per_step_conv_after};
use super::dynamic_conv_step_softmax::{SoftmaxConvKernel, TapRange, softmax_conv_after};
use crate::activations::SoftmaxKernel;
use crate::tensor::TensorKernels;
use crate::{add, linear, reshape, split};

/// Settings of a dynamic convolution.
///
/// ```
/// use termwise_ops::DynamicConvOptions;
/// assert_eq!(DynamicConvOptions::new(4, 7).padding_l, 3);
/// assert_eq!(DynamicConvOptions::new(4, 7).causal().padding_l, 6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicConvOptions {
    /// Runs of channels with a kernel of their own.
    pub num_heads: usize,
    /// Taps.
    pub kernel_size: usize,
    /// How many steps back the first tap looks.
    pub padding_l: usize,
    /// Whether the taps of a kernel are normalised by a softmax.
    pub weight_softmax: bool,
    /// Whether the softmax runs over the taps within the sequence alone, so that none of its mass is
    /// lost. Implies a softmax.
    pub renorm_padding: bool,
    /// Whether the linear layer makes the convolved input too: its first C outputs.
    pub in_proj: bool,
}

impl DynamicConvOptions {
    /// Centred (`padding_l = kernel_size / 2`), with a softmax over all taps.
    pub const fn new(num_heads: usize, kernel_size: usize) -> Self {
        DynamicConvOptions {
            num_heads,
            kernel_size,
            padding_l: kernel_size / 2,
            weight_softmax: true,
            renorm_padding: false,
            in_proj: false,
        }
    }

    /// Looking at this step and those before it alone.
    pub const fn causal(self) -> Self {
        DynamicConvOptions { padding_l: self.kernel_size.saturating_sub(1), ..self }
    }

    /// With the first tap `padding_l` steps back.
    pub const fn padding_l(self, padding_l: usize) -> Self {
        DynamicConvOptions { padding_l, ..self }
    }

    /// With or without the softmax.
    pub const fn weight_softmax(self, weight_softmax: bool) -> Self {
        DynamicConvOptions { weight_softmax, ..self }
    }

    /// With or without normalising over the taps within the sequence alone.
    pub const fn renorm_padding(self, renorm_padding: bool) -> Self {
        DynamicConvOptions { renorm_padding, ..self }
    }

    /// With or without making the convolved input in the same linear layer.
    pub const fn in_proj(self, in_proj: bool) -> Self {
        DynamicConvOptions { in_proj, ..self }
    }
}

/// What a backend must offer for dynamic and lightweight convolution.
pub trait DynamicConvKernels: PerStepConvKernel + SoftmaxConvKernel + SoftmaxKernel + TensorKernels {}

impl<B> DynamicConvKernels for B where B: PerStepConvKernel + SoftmaxConvKernel + SoftmaxKernel + TensorKernels
{}

/// Dynamic convolution of sequences.
///
/// # Formula
/// `y[t, b, c] = conv_bias[c] + sum_k w[t, b, h(c), k] x[t + k - padding_l, b, c]`, `h(c) = c / (C / H)`,
/// `w[t, b, h, k] = softmax_k(bias[h K + k] + sum_i weight_linear[h K + k, i] query[t, b, i])`
///
/// # Shapes
/// `x` (T, B, C), `query` (T, B, Q), by default `x`, `weight_linear` (H K, Q), `bias` (H K,),
/// `conv_bias` (C,); `y` (T, B, C). With `options.in_proj` the linear layer has C + H K outputs, of which
/// the first C take the place of `x` in the sum.
///
/// # Gradient
/// Composed of [`linear`] and of the softmax and the sum, which are one operation.
///
/// # Edge cases
/// A tap outside the sequence contributes nothing but keeps its share of the softmax, unless
/// `options.renorm_padding`; where that leaves no tap the output is `conv_bias`. See the module about kernels longer
/// than the sequence.
///
/// # Panics
/// If the shapes do not fit, H does not divide C, or a query is given with `in_proj`, which
/// predicts the kernel from `x`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{DynamicConvOptions, dynamic_conv};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[3, 1, 1], vec![1.0, 2.0, 4.0]));
/// // Both taps are predicted to be zero, whatever x: their softmax is one half each.
/// let weight_linear = tape.leaf(Array::host(&[2, 1], vec![0.0, 0.0]));
/// let options = DynamicConvOptions::new(1, 2).causal();
/// let y = dynamic_conv(&x, None, &weight_linear, None, None, options);
/// assert_eq!(y.value().as_slice(), [0.5, 1.5, 3.0]);
/// ```
///
/// # Source
/// Wu et al., ICLR 2019; semantics of fairseq's `DynamicConv1dTBC` but for K > T.
#[track_caller]
pub fn dynamic_conv<B: DynamicConvKernels>(
    x: &Var<B>,
    query: Option<&Var<B>>,
    weight_linear: &Var<B>,
    bias: Option<&Var<B>>,
    conv_bias: Option<&Var<B>>,
    options: DynamicConvOptions,
) -> Var<B> {
    let (input, logits) = predict(x, query, weight_linear, bias, &options);
    convolve(&input, &logits, conv_bias, 0, &options)
}

/// The convolved input (T, B, C) and the predicted kernel before its softmax (T, B, H, K).
#[track_caller]
pub(super) fn predict<B: DynamicConvKernels>(
    x: &Var<B>,
    query: Option<&Var<B>>,
    weight_linear: &Var<B>,
    bias: Option<&Var<B>>,
    options: &DynamicConvOptions,
) -> (Var<B>, Var<B>) {
    let &DynamicConvOptions { num_heads, kernel_size, in_proj, .. } = options;
    let &[steps, batch, channels] = x.shape() else {
        panic!("dynamic_conv: x must be (T, B, C), it is {:?}", x.shape());
    };
    let outputs = num_heads * kernel_size + if in_proj { channels } else { 0 };
    assert!(
        num_heads > 0 && kernel_size > 0 && channels.is_multiple_of(num_heads),
        "dynamic_conv: heads must divide the channels and the kernel have a tap: x is {:?}, {num_heads} heads, \
         {kernel_size} taps",
        x.shape()
    );
    assert!(
        weight_linear.ndim() == 2 && weight_linear.shape()[0] == outputs,
        "dynamic_conv: weight_linear must be ({outputs}, Q) for {num_heads} heads of {kernel_size} taps{}; it is {:?}, \
         x is {:?}",
        if in_proj { " after the channels of x" } else { "" },
        weight_linear.shape(),
        x.shape()
    );
    assert!(
        !in_proj || query.is_none(),
        "dynamic_conv: in_proj predicts the kernel from x; query must be left out"
    );
    let query = query.unwrap_or(x);
    assert!(
        query.ndim() == 3 && query.shape()[..2] == [steps, batch],
        "dynamic_conv: query must be (T, B, Q) as x is (T, B, C); query is {:?}, x is {:?}",
        query.shape(),
        x.shape()
    );
    let predicted = linear(query, weight_linear, bias);
    let kernel_shape = [steps, batch, num_heads, kernel_size];
    if in_proj {
        let parts = split(&predicted, &[channels, num_heads * kernel_size], -1);
        (parts[0].clone(), reshape(&parts[1], &kernel_shape))
    } else {
        (x.clone(), reshape(&predicted, &kernel_shape))
    }
}

/// Normalises the predicted kernel and applies it; the outputs start at step `before` of `input`.
#[track_caller]
pub(super) fn convolve<B: DynamicConvKernels>(
    input: &Var<B>,
    logits: &Var<B>,
    conv_bias: Option<&Var<B>>,
    before: usize,
    options: &DynamicConvOptions,
) -> Var<B> {
    let (name, padding_l) = ("dynamic_conv", options.padding_l);
    let y = if options.renorm_padding {
        softmax_conv_after(name, input, logits, before, padding_l, TapRange::Inside)
    } else if options.weight_softmax {
        softmax_conv_after(name, input, logits, before, padding_l, TapRange::All)
    } else {
        per_step_conv_after(name, input, logits, before, padding_l)
    };
    with_bias("dynamic_conv", y, conv_bias)
}

/// `y + bias` for `y` (T, B, C).
#[track_caller]
pub(super) fn with_bias<B: DynamicConvKernels>(op: &str, y: Var<B>, bias: Option<&Var<B>>) -> Var<B> {
    let Some(bias) = bias else { return y };
    assert!(
        bias.shape() == &y.shape()[2..],
        "{op}: the bias must have one number per channel: it is {:?}, x is {:?}",
        bias.shape(),
        y.shape()
    );
    add(&y, bias)
}
