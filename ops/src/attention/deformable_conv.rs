//! Deformable convolution, the mechanism of Eq. 1 that reads the query's content and the relative
//! position.
//!
//! `A_m(q, k, x_q) = G(k, q + p_m + o_m(q))`, `G(a, b) = prod_n max(0, 1 - |a_n - b_n|)`
//!
//! so tap `m` of the kernel reads the input at `q + p_m` moved by an offset `o_m(q)`, between pixels
//! by bilinear interpolation. `W'` is the identity and `W_m` is slice `m` of the kernel. The paper
//! predicts the offset linearly from the query, `o_m(q) = w_m^T x_q`, which is a 1x1 convolution of
//! `x`; the usual layer predicts it with a K x K convolution. Both are
//! [`deform_conv2d_pack`](super::deform_conv2d_pack). The second version (v2) also multiplies `A_m`
//! by a predicted mask.
//!
//! Source: Dai et al., "Deformable Convolutional Networks", ICCV 2017; Zhu et al., "Deformable
//! ConvNets v2", CVPR 2019.

use termwise_autograd::simd;
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use super::conv_cpu::{deformable, deformable_backward};
use crate::conv::{Conv2dKernel, Conv2dOptions, ConvGeometry};

/// Deformable convolution, v1 without a mask and v2 with one.
///
/// # Formula
/// `y[n, o, q] = b[o] + sum_{c, m} W[o, c, m] mask[n, g, m, q] x[n, c, q * stride - padding + m * dilation + offset[n, g, m, q]]`
///
/// where `x` between pixels is `x[c, p] = sum_k G(k, p) x[c, k]` over the pixels `k` of the image: each
/// of the four neighbours that lies outside counts as zero on its own.
///
/// # Shapes
/// `x` (N, C, H, W), `offset` (N, 2 G kh kw, Ho, Wo), `mask` (N, G kh kw, Ho, Wo), `weight`
/// (O, C / groups, kh, kw), `bias` (O,); `y` (N, O, Ho, Wo) with Ho, Wo as in
/// [`conv2d`](crate::conv2d). The number of offset groups G follows from `offset`; group `g` serves
/// the channels `g C / G .. (g + 1) C / G`. Channel `2 (g kh kw + m)` of `offset` is dy of tap `m`, the
/// next is dx. The mask is used as it is, without a sigmoid.
///
/// # Gradient
/// In every operand. In the offset, `x` between pixels is piecewise linear with a kink at each whole
/// number; the derivative there is the right-hand one, as of `floor`.
///
/// # Saved for backward
/// The operands; samples are taken anew.
///
/// # Edge cases
/// Zero offsets give the regular convolution. Samples a whole pixel or more outside are 0. A NaN in
/// the offset gives NaN.
///
/// # Panics
/// If the shapes do not fit each other; the message names all of them.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Conv2dOptions, deform_conv2d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 3], vec![1.0, 2.0, 4.0]));
/// let weight = tape.leaf(Array::host(&[1, 1, 1, 1], vec![1.0]));
/// // dy, then dx, of each of the three outputs.
/// let offset = tape.leaf(Array::host(&[1, 2, 1, 3], vec![0.0, 0.0, 0.5, 0.25, -1.0, 0.5]));
/// let y = deform_conv2d(&x, &offset, None, &weight, None, Conv2dOptions::new());
/// assert_eq!(y.value().as_slice(), [1.25, 1.0, 1.0]);
/// ```
///
/// # Source
/// Semantics of torchvision's `deform_conv2d`.
#[track_caller]
pub fn deform_conv2d<B: DeformConvKernel>(
    x: &Var<B>,
    offset: &Var<B>,
    mask: Option<&Var<B>>,
    weight: &Var<B>,
    bias: Option<&Var<B>>,
    options: Conv2dOptions,
) -> Var<B> {
    let name = "deform_conv2d";
    let conv = ConvGeometry::new(name, x.shape(), weight.shape(), bias.map(Var::shape), &options);
    let geometry = DeformGeometry::new(name, conv, 2, offset.shape(), mask.map(Var::shape));
    let output_shape = conv.output_shape().to_vec();
    let op = DeformConv { name, geometry, output_shape };
    apply(op, [x, offset, &x.optional(mask), weight, &x.optional(bias)])
}

/// Sizes of a deformable convolution.
#[derive(Clone, Copy, Debug)]
pub struct DeformGeometry {
    /// Sizes of the convolution without offsets. Sequences are images of height 1.
    pub conv: ConvGeometry,
    /// Axes along which samples move: 2 (dy, dx) or, for sequences, 1 (dx).
    pub axes: usize,
    /// Channel groups with an offset of their own.
    pub offset_groups: usize,
}

impl DeformGeometry {
    /// Checks the shapes of `offset` (N, axes G taps, ..) and `mask` (N, G taps, ..), `..` being those of
    /// the output, and finds G.
    #[track_caller]
    pub(super) fn new(
        op: &str,
        conv: ConvGeometry,
        axes: usize,
        offset: &[usize],
        mask: Option<&[usize]>,
    ) -> Self {
        let taps = conv.window.taps();
        // The spatial axes of the output: both, or the width alone for sequences.
        let positions = &conv.window.output[2 - axes..];
        let offset_groups = offset.get(1).map_or(0, |channels| channels / (axes * taps));
        let expected = |per_tap: usize| [&[conv.batch, per_tap * offset_groups * taps], positions].concat();
        assert!(
            offset_groups > 0 && offset == expected(axes) && conv.in_channels.is_multiple_of(offset_groups),
            "{op}: offset must be (N, {axes} G taps, output positions) with G dividing C: x is {:?}, weight is {:?}, \
             the output has {positions:?} positions, offset is {offset:?}",
            conv.input_shape(),
            conv.weight_shape(),
        );
        if let Some(mask) = mask {
            assert!(
                mask == expected(1),
                "{op}: mask must be {:?}, one number per offset group, tap and output; it is {mask:?}, offset is {offset:?}",
                expected(1)
            );
        }
        DeformGeometry { conv, axes, offset_groups }
    }

    /// Input channels that share an offset.
    pub fn offset_group_inputs(&self) -> usize {
        self.conv.in_channels / self.offset_groups
    }
}

/// The operation in two dimensions and in one.
pub(super) struct DeformConv {
    pub name: &'static str,
    pub geometry: DeformGeometry,
    pub output_shape: Vec<usize>,
}

impl<B: DeformConvKernel> Op<B, 5> for DeformConv {
    type Saved = [Array<B>; 4];

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, [x, offset, mask, weight, bias]: [&Array<B>; 5]) -> (Array<B>, Self::Saved) {
        let sampled = Sampled { x, offset, mask: mask.present() };
        let y = B::deform_conv_forward(&self.geometry, sampled, weight, bias.present());
        (y.reshape(&self.output_shape), [x.clone(), offset.clone(), mask.clone(), weight.clone()])
    }

    fn backward(
        &self,
        [x, offset, mask, weight]: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 5],
    ) -> [Option<Array<B>>; 5] {
        // y = W columns + b, columns = mask * sample(x, offset)
        //  =>  dcolumns = W^T dy, and from it the gradients of all that is sampled; dW = dy columns^T, db = sum dy
        let sampled = Sampled { x, offset, mask: mask.present() };
        let [need_x, need_offset, need_mask, need_weight, need_bias] = needs;
        let [x, offset, mask, weight] = B::deform_conv_backward(
            &self.geometry,
            sampled,
            weight,
            grad_output,
            [need_x, need_offset, need_mask, need_weight],
        );
        [x, offset, mask, weight, need_bias.then(|| B::conv2d_backward_bias(grad_output))]
    }
}

/// What columns are sampled from.
pub struct Sampled<A> {
    /// The input. // (N, C, H, W)
    pub x: A,
    /// Where samples move. // (N, axes G taps, Ho, Wo)
    pub offset: A,
    /// What samples are multiplied with. // (N, G taps, Ho, Wo)
    pub mask: Option<A>,
}

impl<A: Copy> Copy for Sampled<A> {}

impl<A: Copy> Clone for Sampled<A> {
    fn clone(&self) -> Self {
        *self
    }
}

/// Kernels of [`deform_conv2d`] and its one-dimensional form.
pub trait DeformConvKernel: Conv2dKernel {
    /// The convolution. // (N, O, Ho, Wo)
    fn deform_conv_forward(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self>;

    /// Gradients in input, offset, mask and weight, those that are needed.
    fn deform_conv_backward(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 4],
    ) -> [Option<Array<Self>>; 4];
}

impl<T: Scalar> DeformConvKernel for Cpu<T> {
    fn deform_conv_forward(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        bias: Option<&Array<Self>>,
    ) -> Array<Self> {
        let (weight, bias) = (weight.as_slice(), bias.map(Array::as_slice));
        let y = deformable::forward(simd::isa(), geometry, sampled.slices(), weight, bias);
        Array::from_buffer(&geometry.conv.output_shape(), y)
    }

    fn deform_conv_backward(
        geometry: &DeformGeometry,
        sampled: Sampled<&Array<Self>>,
        weight: &Array<Self>,
        grad_output: &Array<Self>,
        needs: [bool; 4],
    ) -> [Option<Array<Self>>; 4] {
        let (filters, cotangent) = (weight.as_slice(), grad_output.as_slice());
        let [x, offset, mask, weight_gradient] =
            deformable_backward::backward(simd::isa(), geometry, sampled.slices(), filters, cotangent, needs);
        let shaped = |like: &Array<Self>, grad: Option<_>| Some(Array::from_buffer(like.shape(), grad?));
        [
            shaped(sampled.x, x),
            shaped(sampled.offset, offset),
            sampled.mask.and_then(|like| shaped(like, mask)),
            shaped(weight, weight_gradient),
        ]
    }
}

impl<'a, T: Scalar> Sampled<&'a Array<Cpu<T>>> {
    fn slices(self) -> Sampled<&'a [T]> {
        let mask = self.mask.map(Array::as_slice);
        Sampled { x: self.x.as_slice(), offset: self.offset.as_slice(), mask }
    }
}
