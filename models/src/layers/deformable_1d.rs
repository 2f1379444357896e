use ndarray::{Array2, ArrayD, IxDyn};
use termwise_autograd::{Array, Module, Param, Parameters, Var};
use termwise_ops::{Conv1dOptions, Kernels, add_scalar, cat, deform_conv1d, permute, relu, sub};

use super::Linear;
use super::dynamic_1d::zeroed;
use crate::Init;

/// Taps.
const KERNEL: usize = 3;

/// The deformable unit for sentences: a deformable convolution with a kernel of 3 whose offsets are linear in the
/// content of the query, as in the paper.
///
/// Centred, tap m of query q looks at `q + m - 1 + o_m(q)`. Causal, at
///
/// ```text
/// q - relu(2 - m - o_m(q))        m = 0, 1, 2
/// ```
///
/// which is `q - 2 + m + o_m(q)` as long as that does not lie ahead of q, and q itself otherwise: no step depends on
/// a later one, and where a tap is held back its offset gets no gradient either.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, layers::DeformConv1d};
/// let unit = DeformConv1d::new(1, true, &mut Init::new(Cpu::<f64>::new(), 0));
/// let set = |i: usize, values: [f64; 3]| {
///     let param = unit.parameters()[i].1;
///     param.set(Array::host(&param.shape(), values.to_vec()));
/// };
/// set(0, [1.0, 0.0, 0.0]); // the first tap alone
/// set(2, [0.0, 0.0, 0.0]); // offsets that do not depend on the content ...
/// for (offset, expected) in [(0.0, [0.0, 0.0, 1.0]), (1.5, [0.5, 1.5, 3.0]), (9.0, [1.0, 2.0, 4.0])] {
///     set(3, [offset, 0.0, 0.0]); // ... but are this: two steps back, half a step, and held back at the query
///     let tape = Tape::new(Cpu::new());
///     let x = tape.constant(Array::host(&[1, 3, 1], vec![1.0, 2.0, 4.0]));
///     assert_eq!(unit.forward(&x, None).value().as_slice(), expected);
///     let mut history = None; // one by one they are the same
///     for (x, expected) in [1.0, 2.0, 4.0].into_iter().zip(expected) {
///         let y = unit.step(&tape.constant(Array::host(&[1, 1, 1], vec![x])), &mut history);
///         assert_eq!(y.value().item(), expected);
///     }
/// }
/// ```
pub struct DeformConv1d<B: Kernels> {
    weight: Param<B>,
    bias: Param<B>,
    predictor: Linear<B>,
    causal: bool,
}

impl<B: Kernels> DeformConv1d<B> {
    /// For `channels` in and out. Centred offsets start at zero; causal ones near it, on both sides, as the last tap
    /// starts where it may be held back.
    pub fn new(channels: usize, causal: bool, init: &mut Init<B>) -> Self {
        let std = if causal { 0.1 / (channels as f64).sqrt() } else { 0.0 };
        DeformConv1d {
            weight: init.xavier(&[channels, channels, KERNEL]),
            bias: init.constant(&[channels], 0.0),
            predictor: Linear::with_weight(init.normal(&[KERNEL, channels], std), init),
            causal,
        }
    }

    /// Applies the unit: (N, T, C) to the same shape. `padding` (N, T) is true at what is behind the end of a
    /// sentence, which counts as zero.
    #[track_caller]
    pub fn forward(&self, x: &Var<B>, padding: Option<&Array2<bool>>) -> Var<B> {
        let x = padding.map_or_else(|| x.clone(), |padding| zeroed(x, padding));
        let options = Conv1dOptions::new().padding(1);
        permute(&self.convolve(&permute(&x, &[0, 2, 1]), &self.offsets(&x), options), &[0, 2, 1])
    }

    /// The next step (N, 1, C) of sentences of which `history` holds what came before: offsets have no bound, so
    /// that is all of it.
    ///
    /// # Panics
    /// If the unit is not causal.
    #[track_caller]
    pub fn step(&self, x: &Var<B>, history: &mut Option<Array<B>>) -> Var<B> {
        assert!(self.causal, "DeformConv1d: a centred unit needs steps that are not there yet");
        let seen = match history {
            Some(history) => cat(&[&x.tape().constant(history.clone()), x], 1),
            None => x.clone(),
        };
        *history = Some(seen.value().clone());
        let steps = seen.shape()[1];
        // With a stride beyond the sequence there is one output, at the first step; offsets take it to the last.
        let options = Conv1dOptions::new().padding(1).stride(steps + 1);
        let offsets = add_scalar(&self.offsets(x), (steps - 1) as f64);
        permute(&self.convolve(&permute(&seen, &[0, 2, 1]), &offsets, options), &[0, 2, 1])
    }

    fn convolve(&self, x: &Var<B>, offsets: &Var<B>, options: Conv1dOptions) -> Var<B> {
        let (weight, bias) = (self.weight.var(x.tape()), self.bias.var(x.tape()));
        deform_conv1d(x, offsets, None, &weight, Some(&bias), options)
    }

    /// What is added to `q + m - 1` for the queries `x` (N, T, C). // (N, 3, T)
    fn offsets(&self, x: &Var<B>) -> Var<B> {
        let predicted = permute(&self.predictor.forward(x), &[0, 2, 1]);
        if !self.causal {
            return predicted;
        }
        let per_tap = |first: f64| {
            let values: Vec<f64> = (0..KERNEL).map(|m| first - m as f64).collect();
            let values = ArrayD::from_shape_vec(IxDyn(&[1, KERNEL, 1]), values).expect("one number per tap");
            x.tape().constant(Array::from_f64(x.tape().backend(), &values))
        };
        // q + m - 1 + (1 - m) - relu(2 - m - o) = q - relu(2 - m - o)
        sub(&per_tap(1.0), &relu(&sub(&per_tap(2.0), &predicted)))
    }
}

impl<B: Kernels> Module<B> for DeformConv1d<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("weight", &self.weight);
        parameters.param("bias", &self.bias);
        parameters.module("offset", &self.predictor);
    }
}
