use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::attention::dynamic_conv_2d_output;
use termwise_ops::conv::Conv2dOptions;
use termwise_ops::{Kernels, add, glu, mul};

use super::Conv2d;
use crate::Init;

/// Dynamic convolution in the place of an attention module on images:
/// `y = gamma * pointwise(dynamic(GLU(linear(x)))) + x`, with `gamma` starting at 0.
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
