//! Lightweight convolution: a depthwise convolution whose kernel the channels of a head share and a
//! softmax normalises.
//!
//! `A(q, k)_c = K_{h(c), j} if k = q + p_j, else 0`: dynamic convolution with a kernel that is learned
//! rather than predicted, so that only the relative position counts.
//!
//! Source: Wu et al., "Pay Less Attention with Lightweight and Dynamic Convolutions", ICLR 2019.

use termwise_autograd::Var;

use super::dynamic_conv::{DynamicConvKernels, with_bias};
use super::dynamic_conv_per_step::per_step_conv_after;
use crate::softmax;

/// Lightweight convolution of sequences.
///
/// # Formula
/// `y[t, b, c] = bias[c] + sum_k w[h(c), k] x[t + k - padding_l, b, c]`, `h(c) = c / (C / H)`, with
/// `w = softmax_k(weight)` or, without `weight_softmax`, `w = weight`
///
/// # Shapes
/// `x` (T, B, C), `weight` (H, 1, K) with H dividing C, `bias` (C,); `y` (T, B, C). `padding_l` is how many
/// steps back the first tap looks: `K / 2` is centred, `K - 1` causal.
///
/// # Gradient
/// Composed of [`softmax`] and [`per_step_conv`](super::per_step_conv), whose kernels this shares.
///
/// # Edge cases
/// A tap outside the sequence contributes nothing but keeps its share of the softmax, also where the
/// kernel is longer than the sequence.
///
/// # Panics
/// If the shapes do not fit.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[3, 1, 1], vec![1.0, 2.0, 4.0]));
/// let weight = tape.leaf(Array::host(&[1, 1, 2], vec![5.0, 5.0]));
/// let y = termwise_ops::lightweight_conv(&x, &weight, None, 1, true);
/// assert_eq!(y.value().as_slice(), [0.5, 1.5, 3.0]);
/// ```
///
/// # Source
/// Wu et al., ICLR 2019; semantics of fairseq's `LightweightConv1dTBC`.
#[track_caller]
pub fn lightweight_conv<B: DynamicConvKernels>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    padding_l: usize,
    weight_softmax: bool,
) -> Var<B> {
    lightweight_conv_after(x, weight, bias, 0, padding_l, weight_softmax)
}

/// [`lightweight_conv`] whose outputs start at step `before` of `x`.
#[track_caller]
pub(super) fn lightweight_conv_after<B: DynamicConvKernels>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    before: usize,
    padding_l: usize,
    weight_softmax: bool,
) -> Var<B> {
    let weight = if weight_softmax { softmax(weight, -1) } else { weight.clone() };
    let y = per_step_conv_after("lightweight_conv", x, &weight, before, padding_l);
    with_bias("lightweight_conv", y, bias)
}
