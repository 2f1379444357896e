//! Deformable convolution of sequences: taps move along the one axis there is.
//!
//! `A_m(q, k, x_q) = max(0, 1 - |k - (q + p_m + o_m(q))|)`, otherwise as
//! [`deform_conv2d`](super::deform_conv2d). With kernel 3 this is the deformable unit for text.

use termwise_autograd::{Var, apply};

use super::deformable_conv::{DeformConv, DeformConvKernel, DeformGeometry};
use crate::conv::{Conv1dOptions, ConvGeometry};

/// One-dimensional deformable convolution, v1 without a mask and v2 with one.
///
/// # Formula
/// `y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] mask[n, g, m, q] x[n, c, q * stride - padding + m * dilation + offset[n, g, m, q]]`
///
/// `x` between two steps is interpolated linearly; a neighbour outside the sequence counts as zero.
///
/// # Shapes
/// `x` (N, C, T), `offset` and `mask` (N, G K, To), `weight` (O, C / groups, K), `bias` (O,); `y`
/// (N, O, To) with To as in [`conv1d`](crate::conv1d). Channel `g K + m` belongs to tap `m` of offset
/// group `g`, which serves the channels `g C / G .. (g + 1) C / G`.
///
/// # Gradient, edge cases
/// As [`deform_conv2d`](super::deform_conv2d): the right-hand derivative at whole numbers.
///
/// # Panics
/// If the shapes do not fit each other; the message names all of them.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv1dOptions, deform_conv1d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 3], vec![1.0, 2.0, 4.0]));
/// let offset = tape.leaf(Array::host(&[1, 1, 3], vec![0.25, -1.0, 0.5]));
/// let weight = tape.leaf(Array::host(&[1, 1, 1], vec![1.0]));
/// let y = deform_conv1d(&x, &offset, None, &weight, None, Conv1dOptions::new());
/// assert_eq!(y.value().as_slice(), [1.25, 1.0, 2.0]);
/// ```
#[track_caller]
pub fn deform_conv1d<B: DeformConvKernel>(
    x: &Var<B>,
    offset: &Var<B>,
    mask: Option<&Var<B>>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    options: Conv1dOptions,
) -> Var<B> {
    let name = "deform_conv1d";
    let (&[n, c, t], &[o, group_channels, k]) = (x.shape(), weight.shape()) else {
        panic!(
            "{name}: x must be (N, C, T) and weight (O, C / groups, K); x is {:?}, weight is {:?}",
            x.shape(),
            weight.shape()
        );
    };
    let (images, kernels, bias_shape) = ([n, c, 1, t], [o, group_channels, 1, k], bias.map(Var::shape));
    let conv = ConvGeometry::new(name, &images, &kernels, bias_shape, &options.of_rows());
    let geometry = DeformGeometry::new(name, conv, 1, offset.shape(), mask.map(Var::shape));
    let output_shape = vec![n, o, conv.window.output[1]];
    let op = DeformConv { name, geometry, output_shape };
    apply(op, [x, offset, &x.optional(mask), weight, &x.optional(bias)])
}
