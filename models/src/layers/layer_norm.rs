use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::{Kernels, layer_norm};

use crate::Init;

/// Layer normalisation of the last axis, with a weight and a bias for each channel; see [`layer_norm`].
pub struct LayerNorm<B: Kernels> {
    weight: Param<B>,
    bias: Param<B>,
}

/// Added to the variance.
const EPS: f64 = 1e-5;

impl<B: Kernels> LayerNorm<B> {
    /// For `channels`: weights one, biases zero.
    pub fn new(channels: usize, init: &Init<B>) -> Self {
        LayerNorm { weight: init.constant(&[channels], 1.0), bias: init.constant(&[channels], 0.0) }
    }

    /// Applies the layer: (.., C) to the same shape.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        let (weight, bias) = (self.weight.var(x.tape()), self.bias.var(x.tape()));
        layer_norm(x, weight.shape(), Some(&weight), Some(&bias), EPS)
    }
}

impl<B: Kernels> Module<B> for LayerNorm<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("weight", &self.weight);
        parameters.param("bias", &self.bias);
    }
}
