//! The convolution block of the sequence models: a gated projection, dynamic or lightweight
//! convolution, a projection back.

use ndarray::{ArrayD, Axis};
use termwise_autograd::Var;

use super::dynamic_conv::{DynamicConvKernels, DynamicConvOptions, dynamic_conv};
use super::lightweight_conv::lightweight_conv;
use crate::activations::GluKernel;
use crate::{glu, linear, masked_fill};

/// The convolution inside a [`conv_block_1d`]; see [`dynamic_conv`] and [`lightweight_conv`].
pub enum BlockConv<'a, B: DynamicConvKernels> {
    /// A predicted kernel.
    Dynamic {
        /// Predicts the kernel. // (H K, D)
        weight_linear: &'a Var<B>,
        /// Bias of that. // (H K,)
        bias: Option<&'a Var<B>>,
        /// Bias of the convolution. // (D,)
        conv_bias: Option<&'a Var<B>>,
        /// Its settings.
        options: DynamicConvOptions,
    },
    /// A learned kernel.
    Lightweight {
        /// The kernel. // (H, 1, K)
        weight: &'a Var<B>,
        /// Bias of the convolution. // (D,)
        bias: Option<&'a Var<B>>,
        /// How many steps back the first tap looks.
        padding_l: usize,
        /// Whether a softmax normalises the kernel.
        weight_softmax: bool,
    },
}

/// Parameters of a [`conv_block_1d`].
pub struct ConvBlock1d<'a, B: DynamicConvKernels> {
    /// Weight of the projection in front. // (2 D with glu, else D; C)
    pub linear1_weight: &'a Var<B>,
    /// Its bias.
    pub linear1_bias: Option<&'a Var<B>>,
    /// Whether half of the projection gates the other half.
    pub glu: bool,
    /// The convolution, on D channels.
    pub conv: BlockConv<'a, B>,
    /// Weight of the projection back. // (O, D)
    pub linear2_weight: &'a Var<B>,
    /// Its bias. // (O,)
    pub linear2_bias: Option<&'a Var<B>>,
}

/// Projection, gate, convolution, projection: what stands in self-attention's place in a sequence
/// model of dynamic convolutions.
///
/// # Formula
/// `h = linear1(x)`, with `glu` then `h = a sigmoid(b)` of its halves `a`, `b`; `h` is set to zero where
/// `padding_mask`; `y = linear2(conv(h))`
///
/// # Shapes
/// `x` (T, B, C), `padding_mask` (B, T), true at padding; `y` (T, B, O).
///
/// # Gradient
/// Composed.
///
/// # Edge cases
/// The zeros come after projection and gate, so that padding adds nothing to its neighbours even where
/// `linear1` has a bias. The outputs at padding are not zeroed.
///
/// # Panics
/// If the shapes do not fit.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{BlockConv, ConvBlock1d, conv_block_1d};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let host = |shape: &[usize], values| tape.leaf(Array::host(shape, values));
/// let (x, one) = (host(&[3, 1, 1], vec![1.0, 2.0, 4.0]), host(&[1, 1], vec![1.0]));
/// let kernel = host(&[1, 1, 3], vec![1.0, 1.0, 1.0]);
/// let block = ConvBlock1d {
///     linear1_weight: &one,
///     linear1_bias: None,
///     glu: false,
///     conv: BlockConv::Lightweight { weight: &kernel, bias: None, padding_l: 1, weight_softmax: false },
///     linear2_weight: &one,
///     linear2_bias: None,
/// };
/// let padding = ndarray::arr2(&[[false, false, true]]).into_dyn();
/// let y = conv_block_1d(&x, Some(&padding), &block);
/// assert_eq!(y.value().as_slice(), [3.0, 3.0, 2.0]);
/// ```
///
/// # Source
/// Wu et al., ICLR 2019, Figure 3; semantics of fairseq's `LightConvEncoderLayer`.
#[track_caller]
pub fn conv_block_1d<B: DynamicConvKernels + GluKernel>(
    x: &Var<B>,
    padding_mask: Option<&ArrayD<bool>>,
    block: &ConvBlock1d<B>,
) -> Var<B> {
    assert!(x.ndim() == 3, "conv_block_1d: x must be (T, B, C), it is {:?}", x.shape());
    let mut h = linear(x, block.linear1_weight, block.linear1_bias);
    if block.glu {
        h = glu(&h, -1);
    }
    if let Some(mask) = padding_mask {
        assert!(
            mask.shape() == [x.shape()[1], x.shape()[0]],
            "conv_block_1d: padding_mask must be (B, T): it is {:?}, x is {:?}",
            mask.shape(),
            x.shape()
        );
        h = masked_fill(&h, &mask.t().insert_axis(Axis(2)).to_owned(), 0.0); // mask: (T, B, 1)
    }
    let h = match &block.conv {
        BlockConv::Dynamic { weight_linear, bias, conv_bias, options } => {
            dynamic_conv(&h, None, weight_linear, *bias, *conv_bias, *options)
        }
        BlockConv::Lightweight { weight, bias, padding_l, weight_softmax } => {
            lightweight_conv(&h, weight, *bias, *padding_l, *weight_softmax)
        }
    };
    linear(&h, block.linear2_weight, block.linear2_bias)
}
