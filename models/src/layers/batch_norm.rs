use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::Kernels;
use termwise_ops::norms::{batch_norm_eval, batch_norm_train};

use super::Mode;
use crate::Init;

/// Batch normalisation over (N, H, W) for each channel, with running statistics for evaluation.
///
/// In training, `y = weight (x - mean) / sqrt(variance + 1e-5) + bias` with the mean and the (biased) variance of the
/// batch, and `running <- 0.9 running + 0.1 batch`, the variance unbiased; in evaluation the running statistics take
/// their place. They start at mean 0 and variance 1.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::{BatchNorm2d, Mode}};
/// let norm = BatchNorm2d::new(1, &Init::new(Cpu::<f64>::new(), 0));
/// let x = Tape::new(Cpu::new()).constant(Array::host(&[2, 1, 1, 1], vec![1.0, 3.0]));
/// let near = |y: &[f64], expected: [f64; 2]| y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-4);
/// assert!(near(norm.forward(&x, Mode::Eval).value().as_slice(), [1.0, 3.0])); // mean 0, variance 1
/// assert!(near(norm.forward(&x, Mode::Train).value().as_slice(), [-1.0, 1.0])); // mean 2, variance 1
/// let [mean, var] = [2, 3].map(|i| norm.parameters()[i].1.value().item());
/// assert!((mean - 0.2).abs() < 1e-12); // 0.9 0 + 0.1 2
/// assert!((var - 1.1).abs() < 1e-12); // 0.9 1 + 0.1 2: unbiased, the variance is 2
/// ```
pub struct BatchNorm2d<B: Kernels> {
    weight: Param<B>,
    bias: Param<B>,
    running_mean: Param<B>,
    running_var: Param<B>,
    momentum: f64,
    eps: f64,
}

impl<B: Kernels> BatchNorm2d<B> {
    /// For `channels`, momentum 0.1, eps 1e-5.
    pub fn new(channels: usize, init: &Init<B>) -> Self {
        BatchNorm2d {
            weight: init.constant(&[channels], 1.0),
            bias: init.constant(&[channels], 0.0),
            running_mean: init.buffer(&[channels], 0.0),
            running_var: init.buffer(&[channels], 1.0),
            momentum: 0.1,
            eps: 1e-5,
        }
    }

    /// The same layer with its scale starting at 0: the last one of a residual branch, which then
    /// starts as the identity (Goyal et al. 2017).
    pub fn zeroed(self, init: &Init<B>) -> Self {
        BatchNorm2d { weight: init.constant(&self.weight.shape(), 0.0), ..self }
    }

    /// Normalises (N, C, H, W); in training the running statistics move along.
    ///
    /// # Panics
    /// If `x` has another number of channels than the layer, or in training fewer than two elements for each.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>, mode: Mode) -> Var<B> {
        let (weight, bias) = (self.weight.var(x.tape()), self.bias.var(x.tape()));
        let (mean, var) = (self.running_mean.value(), self.running_var.value());
        match mode {
            Mode::Train => {
                let (y, statistics) = batch_norm_train(x, Some(&weight), Some(&bias), self.eps);
                let (mean, var) = statistics.update_running(&mean, &var, self.momentum);
                self.running_mean.set(mean);
                self.running_var.set(var);
                y
            }
            Mode::Eval => batch_norm_eval(x, &mean, &var, Some(&weight), Some(&bias), self.eps),
        }
    }
}

impl<B: Kernels> Module<B> for BatchNorm2d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("weight", &self.weight);
        parameters.param("bias", &self.bias);
        parameters.param("running_mean", &self.running_mean);
        parameters.param("running_var", &self.running_var);
    }
}
