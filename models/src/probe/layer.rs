//! The network of one probe: embed, one mechanism alone, read out.

use termwise_autograd::{Module, Param, Parameters, Var};
use termwise_datasets::probe::{PROBE_CHANNELS, PROBE_VALUES};
use termwise_ops::Kernels;
use termwise_ops::attention::{Scale, TransformerSettings, dynamic_conv_2d_output};
use termwise_ops::conv::Conv2dOptions;

use super::ProbeMechanism;
use crate::Init;
use crate::layers::{Conv2d, DeformConv2d, OffsetPredictor, TransformerAttention};

/// Channels of the embedded tokens.
const CHANNELS: usize = 32;
/// Heads of Transformer attention and groups of dynamic convolution.
const HEADS: usize = 4;

enum Mechanism<B: Kernels> {
    Transformer(TransformerAttention<B>),
    Regular(Conv2d<B>),
    Deformable(DeformConv2d<B>),
    Dynamic { predictor: Param<B>, pointwise: Conv2d<B> },
}

/// Embedding, one mechanism without residual or normalisation, linear readout.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::{Init, probe::ProbeLayer};
/// let layer = ProbeLayer::new("0010".parse().unwrap(), &mut Init::new(Cpu::<f32>::new(), 0));
/// assert_eq!(layer.attention().unwrap().settings().terms.to_string(), "0010");
/// // E3 alone gives every query the same, whatever the tokens are.
/// let tokens = (0..45 * 64).map(|i| (i % 7) as f32 / 7.0).collect();
/// let tokens = Tape::inference(Cpu::new()).constant(Array::host(&[1, 45, 8, 8], tokens));
/// let logits = layer.forward(&tokens);
/// for value in logits.value().as_slice().chunks(64) {
///     assert!(value.iter().all(|logit| (logit - value[0]).abs() < 1e-5)); // at all 8 x 8 places
/// }
/// ```
pub struct ProbeLayer<B: Kernels> {
    embed: Conv2d<B>,
    mechanism: Mechanism<B>,
    readout: Conv2d<B>,
}

impl<B: Kernels> ProbeLayer<B> {
    /// A layer with fresh parameters.
    pub fn new(mechanism: ProbeMechanism, init: &mut Init<B>) -> Self {
        let embed = Conv2d::new([PROBE_CHANNELS, CHANNELS], 1, 1, init);
        let square = [CHANNELS, CHANNELS];
        let mechanism = match mechanism {
            ProbeMechanism::Transformer(terms) => {
                // Scaled energies train faster; the scale changes nothing about what can be expressed.
                let scale = Scale::InverseSqrtHeadDim;
                let settings =
                    TransformerSettings { scale, ..TransformerSettings::mmcv(terms, HEADS, CHANNELS) };
                Mechanism::Transformer(TransformerAttention::new(CHANNELS, settings, true, init))
            }
            ProbeMechanism::Regular => Mechanism::Regular(Conv2d::new(square, 3, 1, init)),
            ProbeMechanism::Deformable => {
                // Offsets from the query alone, as in the paper's formulation of it as attention.
                let predictor = OffsetPredictor::Pointwise;
                Mechanism::Deformable(DeformConv2d::with_predictor(square, 3, 1, predictor, false, init))
            }
            ProbeMechanism::Dynamic => Mechanism::Dynamic {
                predictor: init.xavier(&[HEADS, 9, CHANNELS]),
                pointwise: Conv2d::new(square, 1, 1, init),
            },
        };
        let readout = Conv2d::new([CHANNELS, PROBE_VALUES], 1, 1, init).with_bias(init);
        ProbeLayer { embed, mechanism, readout }
    }

    /// Its Transformer attention, where that is its mechanism.
    pub fn attention(&self) -> Option<&TransformerAttention<B>> {
        match &self.mechanism {
            Mechanism::Transformer(attention) => Some(attention),
            Mechanism::Regular(_) | Mechanism::Deformable(_) | Mechanism::Dynamic { .. } => None,
        }
    }

    /// What the mechanism is given: tokens (N, 45, 8, 8) to (N, 32, 8, 8).
    pub fn embed(&self, tokens: &Var<B>) -> Var<B> {
        self.embed.forward(tokens)
    }

    /// Tokens (N, 45, 8, 8) to logits (N, 8, 8, 8), classes first.
    pub fn forward(&self, tokens: &Var<B>) -> Var<B> {
        let x = self.embed.forward(tokens);
        let y = match &self.mechanism {
            Mechanism::Transformer(attention) => attention.forward_2d(&x),
            Mechanism::Regular(conv) => conv.forward(&x),
            Mechanism::Deformable(conv) => conv.forward(&x),
            Mechanism::Dynamic { predictor, pointwise } => {
                let predictor = predictor.var(x.tape());
                let options = Conv2dOptions::default().padding(1);
                pointwise.forward(&dynamic_conv_2d_output(&x, &predictor, 3, None, options))
            }
        };
        self.readout.forward(&y)
    }
}

impl<B: Kernels> Module<B> for ProbeLayer<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("embed", &self.embed);
        match &self.mechanism {
            Mechanism::Transformer(attention) => parameters.module("attention", attention),
            Mechanism::Regular(conv) => parameters.module("conv", conv),
            Mechanism::Deformable(conv) => parameters.module("conv", conv),
            Mechanism::Dynamic { predictor, pointwise } => {
                parameters.param("predictor", predictor);
                parameters.module("pointwise", pointwise);
            }
        }
        parameters.module("readout", &self.readout);
    }
}
