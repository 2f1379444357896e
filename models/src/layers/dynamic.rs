use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::attention::dynamic_conv_2d_output;
use termwise_ops::conv::Conv2dOptions;
use termwise_ops::{Kernels, add, glu, mul};

use super::Conv2d;
use crate::Init;

/// Dynamic convolution in the place of an attention module on images:
/// `y = gamma * pointwise(dynamic(GLU(linear(x)))) + x`, with `gamma` starting at 0.
///
/// GLU splits the `2 C` channels of `linear(x)` into `a` and `b` and gives `a sigmoid(b)`; `dynamic` is
/// [`dynamic_conv_2d`](fn@termwise_ops::dynamic_conv_2d).
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::DynamicAttention2d};
/// let layer = DynamicAttention2d::new(1, 1, 3, &mut Init::new(Cpu::<f64>::new(), 0));
/// let run = || {
///     let x = Tape::new(Cpu::new()).constant(Array::host(&[1, 1, 1, 3], vec![3.0, 6.0, 9.0]));
///     layer.forward(&x).value().as_slice().to_vec()
/// };
/// assert_eq!(run(), [3.0, 6.0, 9.0]); // gamma is 0
/// let set = |i: usize, values: &[f64]| {
///     let param = layer.parameters()[i].1;
///     param.set(Array::host(&param.shape(), values.to_vec()));
/// };
/// set(0, &[1.0, 0.0]); // a = x and b = 0: the gate lets half of x through
/// set(2, &[0.0; 9]); // a predicted kernel of nine equal taps
/// set(3, &[1.0]); // pointwise
/// set(5, &[18.0]); // gamma
/// // 18 / 9 / 2 = 1: the sum of the neighbours, and x besides.
/// for (y, expected) in run().into_iter().zip([9.0 + 3.0, 18.0 + 6.0, 15.0 + 9.0]) {
///     assert!((y - expected).abs() < 1e-12);
/// }
/// ```
pub struct DynamicAttention2d<B: Kernels> {
    expand: Conv2d<B>,
    predictor: Param<B>,
    pointwise: Conv2d<B>,
    gamma: Param<B>,
    kernel: usize,
}

impl<B: Kernels> DynamicAttention2d<B> {
    /// For `channels` in and out, `groups` of channels that share a predicted kernel of `kernel` squared.
    pub fn new(channels: usize, groups: usize, kernel: usize, init: &mut Init<B>) -> Self {
        DynamicAttention2d {
            expand: Conv2d::new([channels, 2 * channels], 1, 1, init).with_bias(init),
            predictor: init.xavier(&[groups, kernel * kernel, channels]),
            pointwise: Conv2d::new([channels, channels], 1, 1, init).with_bias(init),
            gamma: init.constant(&[1], 0.0),
            kernel,
        }
    }

    /// Applies the module: (N, C, H, W) to the same shape.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        let gated = glu(&self.expand.forward(x), 1);
        let predictor = self.predictor.var(x.tape());
        let options = Conv2dOptions::default().padding(self.kernel / 2);
        let o = dynamic_conv_2d_output(&gated, &predictor, self.kernel, None, options);
        add(&mul(&self.pointwise.forward(&o), &self.gamma.var(x.tape())), x)
    }
}

impl<B: Kernels> Module<B> for DynamicAttention2d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("expand", &self.expand);
        parameters.param("predictor", &self.predictor);
        parameters.module("pointwise", &self.pointwise);
        parameters.param("gamma", &self.gamma);
    }
}
