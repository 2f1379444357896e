//! Dynamic convolution of images.
//!
//! `A(q, k, x_q)_c = K_{j, g(c)} if k = q + p_j, else 0`, `K_{., g} = softmax_j(d_{j, g}^T x_q)`, `g(c) = c / (C / G)`
//!
//! See [`dynamic_conv`](fn@super::dynamic_conv) for sequences.

use termwise_autograd::Var;

use super::dynamic_conv_per_position::{PerPositionConvKernel, PositionGeometry, per_position_conv2d};
use super::dynamic_conv_predicted::{PredictedConvKernel, predicted_conv2d};
use crate::activations::SoftmaxKernel;
use crate::conv::{Conv2dKernel, Conv2dOptions, IntoPair, Window, conv2d};
use crate::tensor::TensorKernels;
use crate::{narrow, reshape, softmax};

/// What a backend must offer for [`dynamic_conv_2d`].
pub trait DynamicConv2dKernels:
    PerPositionConvKernel + PredictedConvKernel + Conv2dKernel + SoftmaxKernel + TensorKernels
{
}

impl<B> DynamicConv2dKernels for B where
    B: PerPositionConvKernel + PredictedConvKernel + Conv2dKernel + SoftmaxKernel + TensorKernels
{
}

/// Dynamic convolution of images; returns the output and the predicted kernels.
///
/// # Formula
/// `K[n, g, j, q] = softmax_j(sum_c d[g, j, c] x[n, c, q * stride])`,
/// `y[n, c, q] = sum_j K[n, g(c), j, q] x[n, c, q * stride - padding + p_j * dilation]`, `g(c) = c / (C / G)`,
/// then the 1x1 convolution `pointwise` if there is one
///
/// # Shapes
/// `x` (N, C, H, W), `d` (G, kh kw, C) with G dividing C, `pointwise` (O, C, 1, 1); `y` (N, C or O, Ho, Wo)
/// with Ho, Wo as in [`conv2d`], kernels (N, G, kh kw, Ho, Wo). The taps are row-major.
///
/// # Gradient
/// Composed of [`conv2d`], [`softmax`] and [`per_position_conv2d`].
///
/// # Edge cases
/// A tap in the padding contributes nothing but keeps its share of the softmax.
///
/// # Panics
/// If the shapes do not fit, `options.groups` is not 1 (the groups are those of `d`), or the padding is so wide
/// that there are outputs without a query `x[q * stride]`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, dynamic_conv_2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 3], vec![3.0, 6.0, 12.0]));
/// let d = tape.leaf(Array::zeros(&Cpu::new(), &[1, 3, 1]));
/// let (y, kernel) = dynamic_conv_2d(&x, &d, (1, 3), None, Conv2dOptions::new().padding((0, 1)));
/// assert_eq!(kernel.shape(), [1, 1, 3, 1, 3]);
/// for (y, mean) in y.value().as_slice().iter().zip([3.0, 7.0, 6.0]) {
///     assert!((y - mean).abs() < 1e-14);
/// }
/// ```
///
/// # Source
/// Zhu et al., ICCV 2019, section 3, after Wu et al., ICLR 2019.
#[track_caller]
pub fn dynamic_conv_2d<B: DynamicConv2dKernels>(
    x: &Var<B>,
    d: &Var<B>,
    kernel: impl IntoPair,
    pointwise: Option<&Var<B>>,
    options: Conv2dOptions,
) -> (Var<B>, Var<B>) {
    let kernel = kernel.into_pair();
    let PositionGeometry { batch, channels, groups, window } = geometry(x, d, kernel, &options);
    let (taps, [rows, cols]) = (window.taps(), window.output);
    // d . x_q for every query at once: a 1x1 convolution.
    let d = reshape(d, &[groups * taps, channels, 1, 1]);
    let logits = conv2d(x, &d, None, Conv2dOptions::new().stride(options.stride));
    let logits = crop(&crop(&logits, 2, rows), 3, cols);
    let weights = softmax(&reshape(&logits, &[batch, groups, taps, rows, cols]), 2);
    let y = per_position_conv2d(x, &weights, kernel, options);
    (projected(y, pointwise), weights)
}

/// The output of [`dynamic_conv_2d`] without the kernels, which are then never stored: they are made for a few
/// outputs at a time, used and forgotten, and in the reverse sweep made again.
///
/// Shapes, gradient, edge cases and panics as there.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, dynamic_conv_2d_output};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 3], vec![3.0, 6.0, 12.0]));
/// let d = tape.leaf(Array::zeros(&Cpu::new(), &[1, 3, 1]));
/// let y = dynamic_conv_2d_output(&x, &d, (1, 3), None, Conv2dOptions::new().padding((0, 1)));
/// for (y, mean) in y.value().as_slice().iter().zip([3.0, 7.0, 6.0]) {
///     assert!((y - mean).abs() < 1e-14);
/// }
/// ```
#[track_caller]
pub fn dynamic_conv_2d_output<B: DynamicConv2dKernels>(
    x: &Var<B>,
    d: &Var<B>,
    kernel: impl IntoPair,
    pointwise: Option<&Var<B>>,
    options: Conv2dOptions,
) -> Var<B> {
    let geometry = geometry(x, d, kernel.into_pair(), &options);
    projected(predicted_conv2d(x, d, geometry), pointwise)
}

/// The sizes, checked.
#[track_caller]
fn geometry<B: DynamicConv2dKernels>(
    x: &Var<B>,
    d: &Var<B>,
    kernel: [usize; 2],
    options: &Conv2dOptions,
) -> PositionGeometry {
    let (&[batch, channels, height, width], &[groups, taps, d_channels]) = (x.shape(), d.shape()) else {
        panic!(
            "dynamic_conv_2d: x must be (N, C, H, W) and d (G, taps, C); x is {:?}, d is {:?}",
            x.shape(),
            d.shape()
        );
    };
    assert!(
        d_channels == channels
            && taps == kernel[0] * kernel[1]
            && groups > 0
            && channels.is_multiple_of(groups),
        "dynamic_conv_2d: d must be (G, taps, C) with G dividing C: x is {:?}, d is {:?}, the kernel is {kernel:?}",
        x.shape(),
        d.shape()
    );
    assert!(
        options.groups == 1,
        "dynamic_conv_2d: the groups are those of d, {groups}; options.groups must stay 1, it is {}",
        options.groups
    );
    let window = Window::new("dynamic_conv_2d", [height, width], kernel, options);
    let queries = [0, 1].map(|axis| x.shape()[2 + axis].div_ceil(options.stride[axis]));
    assert!(
        window.output[0] <= queries[0] && window.output[1] <= queries[1],
        "dynamic_conv_2d: the padding makes ({}, {}) outputs, but there are only ({}, {}) queries: x is {:?}, the \
         kernel is {kernel:?}, {options:?}",
        window.output[0],
        window.output[1],
        queries[0],
        queries[1],
        x.shape()
    );
    PositionGeometry { batch, channels, groups, window }
}

#[track_caller]
fn projected<B: DynamicConv2dKernels>(y: Var<B>, pointwise: Option<&Var<B>>) -> Var<B> {
    match pointwise {
        Some(pointwise) => conv2d(&y, pointwise, None, Conv2dOptions::new()),
        None => y,
    }
}

/// The first `len` entries along `axis`.
fn crop<B: TensorKernels>(x: &Var<B>, axis: isize, len: usize) -> Var<B> {
    if x.shape()[axis as usize] == len { x.clone() } else { narrow(x, axis, 0, len) }
}
