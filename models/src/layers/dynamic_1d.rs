use ndarray::Array2;
use termwise_autograd::{Array, Module, Param, Parameters, Var};
use termwise_ops::{DynamicConvOptions, DynamicConvState, Kernels, dynamic_conv, glu, mul, permute};

use super::Linear;
use crate::Init;

/// Dynamic convolution in the place of self-attention in a sentence:
/// `y = linear(dynamic(GLU(linear(x))))`, the kernel of each step predicted from the gated input.
///
/// Source: Wu et al., ICLR 2019.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::DynamicAttention1d};
/// use termwise_ops::DynamicConvState;
/// let layer = DynamicAttention1d::new(1, 1, 3, true, &mut Init::new(Cpu::<f64>::new(), 0));
/// let set = |i: usize, values: &[f64]| {
///     let param = layer.parameters()[i].1;
///     param.set(Array::host(&param.shape(), values.to_vec()));
/// };
/// set(0, &[1.0, 0.0]); // the gate lets half of x through
/// set(2, &[0.0; 3]); // a predicted kernel of three equal taps
/// set(3, &[6.0]); // output: 6 / 3 / 2 = 1
/// let tape = Tape::new(Cpu::new());
/// let x = tape.constant(Array::host(&[1, 4, 1], vec![1.0, 2.0, 4.0, 8.0]));
/// let sums = [1.0, 3.0, 7.0, 14.0]; // of this step and the two before it
/// let y = layer.forward(&x, None);
/// assert!(y.value().as_slice().iter().zip(sums).all(|(y, sum)| (y - sum).abs() < 1e-12));
/// let mut state = DynamicConvState::new();
/// for (x, sum) in [1.0, 2.0, 4.0, 8.0].into_iter().zip(sums) {
///     let y = layer.step(&tape.constant(Array::host(&[1, 1, 1], vec![x])), &mut state);
///     assert!((y.value().item() - sum).abs() < 1e-12);
/// }
/// ```
pub struct DynamicAttention1d<B: Kernels> {
    expand: Linear<B>,
    predictor: Param<B>,
    output: Linear<B>,
    options: DynamicConvOptions,
}

impl<B: Kernels> DynamicAttention1d<B> {
    /// For `channels` in and out, in `groups` that share a predicted kernel of `kernel` taps; `causal` looks at
    /// this step and those before it, otherwise the kernel is centred.
    pub fn new(channels: usize, groups: usize, kernel: usize, causal: bool, init: &mut Init<B>) -> Self {
        let options = DynamicConvOptions::new(groups, kernel);
        DynamicAttention1d {
            expand: Linear::new(channels, 2 * channels, true, init),
            predictor: init.xavier(&[groups * kernel, channels]),
            output: Linear::new(channels, channels, true, init),
            options: if causal { options.causal() } else { options },
        }
    }

    /// Applies the module: (N, T, C) to the same shape. `padding` (N, T) is true at what is behind the end of a
    /// sentence, which counts as zero.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>, padding: Option<&Array2<bool>>) -> Var<B> {
        let mut gated = glu(&self.expand.forward(x), -1);
        if let Some(padding) = padding {
            gated = zeroed(&gated, padding);
        }
        let gated = permute(&gated, &[1, 0, 2]); // (T, N, C)
        let o = dynamic_conv(&gated, None, &self.predictor.var(x.tape()), None, None, self.options);
        self.output.forward(&permute(&o, &[1, 0, 2]))
    }

    /// The next step (N, 1, C) of sentences of which `state` holds what came before. Causal modules only.
    ///
    /// # Panics
    /// If the module is not causal.
    #[track_caller]
    pub fn step(&self, x: &Var<B>, state: &mut DynamicConvState<B>) -> Var<B> {
        let gated = permute(&glu(&self.expand.forward(x), -1), &[1, 0, 2]); // (1, N, C)
        let o = state.dynamic_conv(&gated, None, &self.predictor.var(x.tape()), None, None, self.options);
        self.output.forward(&permute(&o, &[1, 0, 2]))
    }
}

/// `x` (N, T, C) with zeros where `padding` (N, T) is true.
pub(super) fn zeroed<B: Kernels>(x: &Var<B>, padding: &Array2<bool>) -> Var<B> {
    let keep = padding.mapv(|hidden| if hidden { 0.0 } else { 1.0 }).insert_axis(ndarray::Axis(2));
    mul(x, &x.tape().constant(Array::from_f64(x.tape().backend(), &keep)))
}

impl<B: Kernels> Module<B> for DynamicAttention1d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("expand", &self.expand);
        parameters.param("predictor", &self.predictor);
        parameters.module("output", &self.output);
    }
}
