use termwise_autograd::{Module, Param, Parameters, Tape, Var};
use termwise_ops::Kernels;
use termwise_ops::conv::{Conv2dOptions, conv2d};

use super::scale_param;
use crate::Init;

/// Regular convolution; see [`conv2d`].
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::Conv2d};
/// let init = &mut Init::new(Cpu::<f64>::new(), 0);
/// let x = Tape::new(Cpu::new()).constant(Array::full(&Cpu::new(), &[1, 1, 3, 3], 1.0));
/// let ones = |conv: &Conv2d<Cpu<f64>>| conv.parameters()[0].1.set(Array::full(&Cpu::new(), &[1, 1, 3, 3], 1.0));
/// let conv = Conv2d::new([1, 1], 3, 1, init);
/// ones(&conv);
/// let y = conv.forward(&x); // how many pixels each window has inside of the image
/// assert_eq!(y.value().as_slice(), [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
/// let halved = Conv2d::new([1, 1], 3, 2, init);
/// ones(&halved);
/// assert_eq!(halved.scaled(0.5).forward(&x).value().as_slice(), [2.0; 4]);
/// let neutral = Conv2d::new([1, 1], 3, 1, init).with_bias(init).zeroed(init);
/// assert_eq!(neutral.forward(&x).value().as_slice(), [0.0; 9]);
/// ```
pub struct Conv2d<B: Kernels> {
    weight: Param<B>,
    bias: Option<Param<B>>,
    options: Conv2dOptions,
}

impl<B: Kernels> Conv2d<B> {
    /// A square kernel of odd size, padded to keep the size of the image (divided by `stride`), with
    /// weights initialised for a ReLU that follows. No bias: a normalisation follows.
    ///
    /// The output has `H / stride` rows and `W / stride` columns, rounded up.
    pub fn new(channels: [usize; 2], kernel: usize, stride: usize, init: &mut Init<B>) -> Self {
        let [input, output] = channels;
        Conv2d {
            weight: init.kaiming(&[output, input, kernel, kernel]),
            bias: None,
            options: Conv2dOptions::default().stride(stride).padding(kernel / 2),
        }
    }

    /// The same layer with a bias that starts at 0.
    pub fn with_bias(self, init: &Init<B>) -> Self {
        let channels = self.weight.shape()[0];
        Conv2d { bias: Some(init.constant(&[channels], 0.0)), ..self }
    }

    /// The same layer, its weights starting at 0: for predictors that start neutral.
    pub fn zeroed(self, init: &Init<B>) -> Self {
        let shape = self.weight.shape();
        Conv2d { weight: init.constant(&shape, 0.0), ..self }
    }

    /// The same layer, its weights starting `factor` times as large: for predictors that start almost neutral.
    pub fn scaled(self, factor: f64) -> Self {
        scale_param(&self.weight, factor);
        self
    }

    /// Applies the layer: (N, C, H, W) to (N, O, H', W').
    ///
    /// # Panics
    /// If `x` has another number of channels than the layer, or the stride is 0.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        let (weight, bias) = self.vars(x.tape());
        conv2d(x, &weight, bias.as_ref(), self.options)
    }

    /// Weight and bias as leaves on `tape`, for operations that convolve themselves.
    pub(super) fn vars(&self, tape: &Tape<B>) -> (Var<B>, Option<Var<B>>) {
        (self.weight.var(tape), self.bias.as_ref().map(|bias| bias.var(tape)))
    }
}

impl<B: Kernels> Module<B> for Conv2d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("weight", &self.weight);
        self.bias.iter().for_each(|bias| parameters.param("bias", bias));
    }
}
