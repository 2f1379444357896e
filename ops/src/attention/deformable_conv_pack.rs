//! Deformable convolution together with the convolution that predicts its offsets and mask.

use termwise_autograd::Var;

use super::deformable_conv::{DeformConvKernel, deform_conv2d};
use super::deformable_conv_1d::deform_conv1d;
use crate::conv::{Conv1dOptions, Conv2dOptions, conv1d, conv2d};
use crate::tensor::TensorKernels;
use crate::{sigmoid, split};

/// Deformable convolution with predicted offsets: [`deform_conv2d`] of `x` with what a convolution of
/// `x` predicts.
///
/// # Formula
/// `p = conv2d(x, offset_weight, offset_bias)`, `y = deform_conv2d(x, p[:, :2/3], sigmoid(p[:, 2/3:]), weight, bias)`
/// if `modulated` (v2), `deform_conv2d(x, p, weight, bias)` if not (v1)
///
/// # Shapes
/// `x` (N, C, H, W), `weight` (O, C / groups, kh, kw), `offset_weight` (3 G kh kw or, in v1, 2 G kh kw, C, ph, pw),
/// biases (O,) and (3 G kh kw or 2 G kh kw,); `y` (N, O, Ho, Wo). The number G of offset groups follows from
/// `offset_weight`.
///
/// A predictor with the kernel size of `weight` (the usual one) has its stride, padding and dilation. One of another
/// odd size (1x1 is the paper's `w_m^T x_q`) has the same stride and is centred on `q * stride`, with
/// padding `(ph - 1) / 2` and dilation 1. It sees all channels, whatever `options.groups`.
///
/// # Gradient
/// Composed; it flows to `x` on both ways. With all of `offset_weight` and `offset_bias` zero, as one
/// starts, `y` is the regular convolution (in v2 half of it).
///
/// # Panics
/// If the shapes do not fit, or the predictor has other outputs than the convolution.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, deform_conv2d_pack};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let host = |shape: &[usize], values| tape.leaf(Array::host(shape, values));
/// let x = host(&[1, 1, 1, 3], vec![1.0, 2.0, 4.0]);
/// let weight = host(&[1, 1, 1, 1], vec![1.0]);
/// // dy = 0, dx = x_q / 4
/// let offset_weight = host(&[2, 1, 1, 1], vec![0.0, 0.25]);
/// let y = deform_conv2d_pack(&x, &weight, None, &offset_weight, None, false, Conv2dOptions::new());
/// assert_eq!(y.value().as_slice(), [1.25, 3.0, 0.0]);
/// ```
///
/// # Source
/// Dai et al., ICCV 2017; Zhu et al., CVPR 2019; semantics of mmcv's `DeformConv2dPack` and
/// `ModulatedDeformConv2dPack`.
#[track_caller]
pub fn deform_conv2d_pack<B: DeformConvKernel + TensorKernels>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    offset_weight: &Var<B>,
    offset_bias: Option<&Var<B>>,
    modulated: bool,
    options: Conv2dOptions,
) -> Var<B> {
    let (&[_, _, kh, kw], &[_, _, ph, pw]) = (weight.shape(), offset_weight.shape()) else {
        panic!(
            "deform_conv2d_pack: weight and offset_weight must be (O, C, kh, kw); weight is {:?}, offset_weight is {:?}",
            weight.shape(),
            offset_weight.shape()
        );
    };
    let predictor = if [ph, pw] == [kh, kw] {
        options.groups(1)
    } else {
        centred("deform_conv2d_pack", &[ph, pw], weight.shape(), offset_weight.shape());
        Conv2dOptions::new().stride(options.stride).padding([(ph - 1) / 2, (pw - 1) / 2])
    };
    let predicted = conv2d(x, offset_weight, offset_bias, predictor);
    let (offset, mask) = offset_and_mask("deform_conv2d_pack", &predicted, 2, modulated);
    deform_conv2d(x, &offset, mask.as_ref(), weight, bias, options)
}

/// [`deform_conv2d_pack`] of sequences: [`deform_conv1d`] with predicted offsets.
///
/// # Shapes
/// `x` (N, C, T), `weight` (O, C / groups, K), `offset_weight` (2 G K or, in v1, G K, C, P), biases (O,) and
/// (2 G K or G K,); `y` (N, O, To). In v2 the first half of what is predicted are the offsets.
///
/// # Panics
/// If the shapes do not fit, or the predictor has other outputs than the convolution.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv1dOptions, deform_conv1d_pack};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let host = |shape: &[usize], values| tape.leaf(Array::host(shape, values));
/// let x = host(&[1, 1, 3], vec![1.0, 2.0, 4.0]);
/// let (weight, offset_weight) = (host(&[1, 1, 1], vec![1.0]), host(&[1, 1, 1], vec![0.25]));
/// let y = deform_conv1d_pack(&x, &weight, None, &offset_weight, None, false, Conv1dOptions::new());
/// assert_eq!(y.value().as_slice(), [1.25, 3.0, 0.0]);
/// ```
#[track_caller]
pub fn deform_conv1d_pack<B: DeformConvKernel + TensorKernels>(
    x: &Var<B>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    offset_weight: &Var<B>,
    offset_bias: Option<&Var<B>>,
    modulated: bool,
    options: Conv1dOptions,
) -> Var<B> {
    let (&[_, _, k], &[_, _, p]) = (weight.shape(), offset_weight.shape()) else {
        panic!(
            "deform_conv1d_pack: weight and offset_weight must be (O, C, K); weight is {:?}, offset_weight is {:?}",
            weight.shape(),
            offset_weight.shape()
        );
    };
    let predictor = if p == k {
        options.groups(1)
    } else {
        centred("deform_conv1d_pack", &[p], weight.shape(), offset_weight.shape());
        Conv1dOptions::new().stride(options.stride).padding((p - 1) / 2)
    };
    let predicted = conv1d(x, offset_weight, offset_bias, predictor);
    let (offset, mask) = offset_and_mask("deform_conv1d_pack", &predicted, 1, modulated);
    deform_conv1d(x, &offset, mask.as_ref(), weight, bias, options)
}

/// Panics unless a predictor's kernel has a centre.
#[track_caller]
fn centred(op: &str, kernel: &[usize], weight: &[usize], offset_weight: &[usize]) {
    assert!(
        kernel.iter().all(|k| k % 2 == 1),
        "{op}: a predictor of another size than the kernel must be odd: weight is {weight:?}, offset_weight is \
         {offset_weight:?}"
    );
}

/// Splits what was predicted: `axes` offsets per tap, then in v2 one mask entry per tap.
#[track_caller]
fn offset_and_mask<B: TensorKernels>(
    op: &str,
    predicted: &Var<B>,
    axes: usize,
    modulated: bool,
) -> (Var<B>, Option<Var<B>>) {
    if !modulated {
        return (predicted.clone(), None);
    }
    let channels = predicted.shape()[1];
    assert!(
        channels.is_multiple_of(axes + 1),
        "{op}: a modulated predictor has {} channels per tap, offset_weight makes {channels}",
        axes + 1
    );
    let taps = channels / (axes + 1);
    let parts = split(predicted, &[axes * taps, taps], 1);
    (parts[0].clone(), Some(sigmoid(&parts[1])))
}
