use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_ops::{Kernels, tensor::linear};

use super::scale_param;
use crate::Init;

/// `y = x W^T + b` on the last axis; see [`linear`].
///
/// ```
/// use termwise_autograd::{Array, Cpu, Param, Tape};
/// use termwise_models::{Init, layers::Linear};
/// let init = Init::new(Cpu::<f32>::new(), 0);
/// let layer = Linear::with_weight(Param::new(Array::host(&[1, 2], vec![10.0, 1.0])), &init);
/// let tape = Tape::new(Cpu::new());
/// let x = tape.constant(Array::host(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]));
/// assert_eq!(layer.forward(&x).value().as_slice(), [12.0, 34.0]);
/// ```
pub struct Linear<B: Kernels> {
    weight: Param<B>,
    bias: Option<Param<B>>,
}

impl<B: Kernels> Linear<B> {
    /// Xavier-initialised weights, a zero bias.
    pub fn new(in_features: usize, out_features: usize, bias: bool, init: &mut Init<B>) -> Self {
        Linear {
            weight: init.xavier(&[out_features, in_features]),
            bias: bias.then(|| init.constant(&[out_features], 0.0)),
        }
    }

    /// The same layer, its weights starting `factor` times as large: for predictors that start almost neutral.
    pub fn scaled(self, factor: f64) -> Self {
        scale_param(&self.weight, factor);
        self
    }

    /// With the given weight (out, in) and a zero bias.
    pub fn with_weight(weight: Param<B>, init: &Init<B>) -> Self {
        let bias = Some(init.constant(&weight.shape()[..1], 0.0));
        Linear { weight, bias }
    }

    /// Applies the layer: (.., in) to (.., out).
    ///
    /// # Panics
    /// If the last axis of `x` is not as long as the layer has inputs.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>) -> Var<B> {
        let bias = self.bias.as_ref().map(|bias| bias.var(x.tape()));
        linear(x, &self.weight.var(x.tape()), bias.as_ref())
    }
}

impl<B: Kernels> Module<B> for Linear<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("weight", &self.weight);
        if let Some(bias) = &self.bias {
            parameters.param("bias", bias);
        }
    }
}
