use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::Kernels;
use termwise_ops::attention::deform_conv2d_pack;
use termwise_ops::conv::Conv2dOptions;

use super::Conv2d;
use crate::Init;

/// What predicts the offsets of a deformable convolution from its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetPredictor {
    /// A 1x1 convolution: offsets are linear in the content of the query alone, as in the paper's
    /// formulation of deformable convolution as attention.
    Pointwise,
    /// A convolution of the same kernel size, as in the usual layer.
    Neighbourhood,
}

/// Deformable convolution with a square kernel, version 1 or 2 (modulated).
///
/// The predictor starts at zero: no offsets, and masks of one half in version 2.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{DeformConv2d, OffsetPredictor}};
/// let init = &mut Init::new(Cpu::<f64>::new(), 0);
/// let run = |layer: &DeformConv2d<_>| {
///     let x = Tape::new(Cpu::new()).constant(Array::host(&[1, 1, 1, 3], vec![1.0, 2.0, 4.0]));
///     layer.forward(&x).value().as_slice().to_vec()
/// };
/// let set = |layer: &DeformConv2d<_>, name, values: Vec<f64>| {
///     let parameters = layer.parameters();
///     let (_, param) = parameters.iter().find(|(own, _)| own == name).unwrap();
///     param.set(Array::host(&param.shape(), values));
/// };
/// let layer = DeformConv2d::new([1, 1], 1, 1, init); // one tap
/// set(&layer, "weight", vec![1.0]);
/// assert_eq!(run(&layer), [1.0, 2.0, 4.0]); // no offsets yet
/// set(&layer, "offset.bias", vec![0.0, 0.5]); // (dy, dx): half a pixel to the right, zeros outside
/// assert_eq!(run(&layer), [1.5, 3.0, 2.0]);
/// let modulated = DeformConv2d::with_predictor([1, 1], 1, 1, OffsetPredictor::Pointwise, true, init);
/// set(&modulated, "weight", vec![1.0]);
/// assert_eq!(run(&modulated), [0.5, 1.0, 2.0]); // masks of one half
/// ```
pub struct DeformConv2d<B: Kernels> {
    weight: Param<B>,
    predictor: Conv2d<B>,
    modulated: bool,
    options: Conv2dOptions,
}

impl<B: Kernels> DeformConv2d<B> {
    /// The usual layer: version 1, offsets predicted from the neighbourhood.
    pub fn new(channels: [usize; 2], kernel: usize, stride: usize, init: &mut Init<B>) -> Self {
        Self::with_predictor(channels, kernel, stride, OffsetPredictor::Neighbourhood, false, init)
    }

    /// Any predictor, version 1 or 2.
    pub fn with_predictor(
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        predictor: OffsetPredictor,
        modulated: bool,
        init: &mut Init<B>,
    ) -> Self {
        let size = if predictor == OffsetPredictor::Pointwise { 1 } else { kernel };
        let planes = kernel * kernel * if modulated { 3 } else { 2 };
        DeformConv2d {
            weight: init.kaiming(&[output, input, kernel, kernel]),
            predictor: Conv2d::new([input, planes], size, stride, init).with_bias(init).zeroed(init),
            modulated,
            options: Conv2dOptions::default().stride(stride).padding(kernel / 2),
        }
    }

    /// Applies the layer: (N, C, H, W) to (N, O, H', W').
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        let (offset_weight, offset_bias) = self.predictor.vars(x.tape());
        let weight = self.weight.var(x.tape());
        let (bias, modulated) = (offset_bias.as_ref(), self.modulated);
        deform_conv2d_pack(x, &weight, None, &offset_weight, bias, modulated, self.options)
    }
}

impl<B: Kernels> Module<B> for DeformConv2d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("weight", &self.weight);
        parameters.module("offset", &self.predictor);
    }
}
