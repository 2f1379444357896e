//! Regular convolution, the mechanism of Eq. 1 that reads the relative position alone.
//!
//! Each tap of the kernel is a head `m` with an offset `p_m` of its own, and
//!
//! `A_m(q, k) = 1 if k = q + p_m, else 0`
//!
//! so head `m` looks at exactly one key, whatever is there. With `W'` the identity and `W_m` slice `m`
//! of the kernel, Eq. 1 reads `y_q = sum_m W_m x_{q + p_m}`: the convolution. A key outside the image
//! is no key: its tap contributes nothing, which is zero padding.

use termwise_autograd::Var;

use crate::conv::{Conv2dKernel, Conv2dOptions, conv2d};

/// Regular convolution as a spatial attention mechanism.
///
/// # Formula
/// `y_q = sum_m W_m sum_k A_m(q, k) x_k`, `A_m(q, k) = 1 if k = q + p_m else 0`
///
/// # Shapes, gradient, panics
/// Those of [`conv2d`], which computes it: `x` (N, C, H, W), `weight` (O, C / groups, kh, kw) with
/// `W_m = weight[:, :, m]`, `y` (N, O, Ho, Wo).
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, regular_conv};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 3], vec![1.0, 2.0, 3.0]));
/// let weight = tape.leaf(Array::host(&[1, 1, 1, 3], vec![0.0, 0.0, 1.0]));
/// // The only tap that is not zero looks one to the right.
/// let y = regular_conv(&x, &weight, None, Conv2dOptions::new().padding((0, 1)));
/// assert_eq!(y.value().as_slice(), [2.0, 3.0, 0.0]);
/// ```
#[track_caller]
pub fn regular_conv<B: Conv2dKernel>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    options: Conv2dOptions,
) -> Var<B> {
    conv2d(x, weight, bias, options)
}
