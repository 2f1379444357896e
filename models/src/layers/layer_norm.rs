use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::{Kernels, layer_norm};

use crate::Init;

/// Layer normalisation of the last axis, with a weight and a bias for each channel; see [`layer_norm`].
///
/// `y = weight (x - mean) / sqrt(variance + 1e-5) + bias`, mean and variance over the C numbers of each row.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::LayerNorm};
/// let norm = LayerNorm::new(2, &Init::new(Cpu::<f64>::new(), 0));
/// let near = |expected: [f64; 4]| {
///     let tape = Tape::new(Cpu::new()); // a new one, as a tape sees the parameters as they were when first used
///     let y = norm.forward(&tape.constant(Array::host(&[2, 2], vec![1.0, 3.0, 50.0, 30.0])));
///     y.value().as_slice().iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-4)
/// };
/// assert!(near([-1.0, 1.0, 1.0, -1.0]));
/// norm.parameters()[0].1.set(Array::host(&[2], vec![10.0, 20.0])); // the weight
/// norm.parameters()[1].1.set(Array::host(&[2], vec![0.0, 5.0])); // the bias
/// assert!(near([-10.0, 25.0, 10.0, -15.0]));
/// ```
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
    ///
    /// # Panics
    /// If the last axis of `x` has not as many channels as the layer.
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
