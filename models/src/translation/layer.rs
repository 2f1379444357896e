//! A layer of the encoder or the decoder.

use ndarray::Array2;
use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::attention::{Range, TransformerSettings};
use termwise_ops::{Kernels, add, relu};

use super::TranslatorConfig;
use crate::Init;
use crate::layers::{
    DeformConv1d, Dropout, DynamicAttention1d, LayerNorm, Linear, Memory, SelfAttention, SelfAttentionBlock,
    SelfAttentionState, TransformerAttention,
};

/// Two linear layers with a ReLU between them.
struct FeedForward<B: Kernels> {
    expand: Linear<B>,
    reduce: Linear<B>,
}

impl<B: Kernels> FeedForward<B> {
    fn forward(&self, x: &Var<B>, dropout: &Dropout) -> Var<B> {
        self.reduce.forward(&dropout.apply(&relu(&self.expand.forward(x))))
    }
}

impl<B: Kernels> Module<B> for FeedForward<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("expand", &self.expand);
        parameters.module("reduce", &self.reduce);
    }
}

/// Attention of the decoder to the source. Without a query term all queries get the same, whatever they are, and so
/// need no normalisation.
struct CrossAttention<B: Kernels> {
    norm: Option<LayerNorm<B>>,
    attention: TransformerAttention<B>,
}

impl<B: Kernels> CrossAttention<B> {
    fn queries(&self, x: &Var<B>) -> Var<B> {
        self.norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(x))
    }
}

/// Who is shown the Transformer attentions of a layer: the attention, what its queries come from, and what its keys come
/// from where that is something else.
pub(super) type See<'s, 'a, B> = &'s mut dyn FnMut(&'a TransformerAttention<B>, &Var<B>, Option<&Var<B>>);

/// A layer: self-attention, in the decoder attention to the source, a feed-forward network. Each is normalised
/// before and added to its input ("pre-norm"): at small scale that trains at a high rate from the first steps on,
/// where normalising after the sum needs a long warm-up (Xiong et al., ICML 2020).
pub(super) struct Layer<B: Kernels> {
    own: SelfAttentionBlock<B>,
    cross: Option<CrossAttention<B>>,
    feed_forward: (LayerNorm<B>, FeedForward<B>),
}

impl<B: Kernels> Layer<B> {
    /// Layer `index` of the decoder or of the encoder.
    pub fn new(config: &TranslatorConfig, decoder: bool, index: usize, init: &mut Init<B>) -> Self {
        let (channels, heads) = (config.channels, config.num_heads);
        let kernel = config.kernel_size(index);
        let reach = if decoder { kernel - 1 } else { kernel / 2 };
        let dynamic =
            config.attention.module.is_dynamic().then(|| {
                SelfAttention::Dynamic(DynamicAttention1d::new(channels, heads, kernel, decoder, init))
            });
        let transformer = config.attention.module.terms().map(|terms| {
            let settings = TransformerSettings {
                causal: decoder,
                range: config.limit_range.then_some(Range::Symmetric(reach)),
                ..TransformerSettings::transformer_xl(terms, heads, channels)
            };
            SelfAttention::Transformer(TransformerAttention::new(channels, settings, false, init))
        });
        let deformable = config.attention.deformable.then(|| DeformConv1d::new(channels, decoder, init));
        let cross = decoder.then(|| {
            let terms = config.cross.terms();
            let settings = TransformerSettings {
                causal: false,
                ..TransformerSettings::transformer_xl(terms, heads, channels)
            };
            let norm = terms.uses_query().then(|| LayerNorm::new(channels, init));
            CrossAttention { norm, attention: TransformerAttention::new(channels, settings, false, init) }
        });
        let feed_forward = FeedForward {
            expand: Linear::new(channels, config.feed_forward, true, init),
            reduce: Linear::new(config.feed_forward, channels, true, init),
        };
        let norm = || LayerNorm::new(channels, init);
        Layer {
            own: SelfAttentionBlock {
                deformable: deformable.map(|unit| (norm(), unit)),
                attention: [dynamic, transformer].into_iter().flatten().map(|part| (norm(), part)).collect(),
            },
            cross,
            feed_forward: (norm(), feed_forward),
        }
    }

    /// A layer of the encoder: (N, S, C) to the same shape. `see` is shown each Transformer attention and what it is
    /// given.
    pub fn encode<'a>(
        &'a self,
        x: &Var<B>,
        padding: Option<&Array2<bool>>,
        dropout: &Dropout,
        see: See<'_, 'a, B>,
    ) -> Var<B> {
        self.feed(&self.own.watched(x, padding, dropout, &mut |own, x| see(own, x, None)), dropout)
    }

    /// A layer of the decoder: (N, T, C) to the same shape, with the source `memory` (N, S, C). What is behind the
    /// end of a target is ahead of all that counts, so no step sees it. `see` as in [`encode`](Self::encode).
    pub fn decode<'a>(
        &'a self,
        x: &Var<B>,
        memory: &Var<B>,
        padding: Option<&Array2<bool>>,
        dropout: &Dropout,
        see: See<'_, 'a, B>,
    ) -> Var<B> {
        let x = self.own.watched(x, None, dropout, &mut |own, x| see(own, x, None));
        let cross = self.cross.as_ref().expect("a layer of the decoder");
        let queries = cross.queries(&x);
        see(&cross.attention, &queries, Some(memory));
        let seen = cross.attention.forward_cross(&queries, memory, padding);
        self.feed(&add(&x, &dropout.apply(&seen)), dropout)
    }

    /// What [`step`](Self::step) needs of the source.
    pub fn remember(&self, memory: &Var<B>, padding: Option<&Array2<bool>>) -> Memory<B> {
        self.cross.as_ref().expect("a layer of the decoder").attention.remember(memory, padding)
    }

    /// The next step (N R, 1, C) of R translations each of the N sentences in `memory`.
    pub fn step(
        &self,
        x: &Var<B>,
        sentences: usize,
        state: &mut (SelfAttentionState<B>, Memory<B>),
    ) -> Var<B> {
        let x = self.own.step(x, &mut state.0);
        let cross = self.cross.as_ref().expect("a layer of the decoder");
        let (rows, channels) = (x.shape()[0], x.shape()[2]);
        // The translations of a sentence are as many queries to one memory, which is so never copied.
        let queries = termwise_ops::reshape(&cross.queries(&x), &[sentences, rows / sentences, channels]);
        let seen = termwise_ops::reshape(&cross.attention.attend(&queries, &state.1), &[rows, 1, channels]);
        self.feed(&add(&x, &seen), &Dropout::off())
    }

    fn feed(&self, x: &Var<B>, dropout: &Dropout) -> Var<B> {
        let (norm, network) = &self.feed_forward;
        add(x, &dropout.apply(&network.forward(&norm.forward(x), dropout)))
    }
}

impl<B: Kernels> Module<B> for Layer<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        self.own.visit(parameters);
        if let Some(CrossAttention { norm, attention }) = &self.cross {
            norm.iter().for_each(|norm| parameters.module("cross_norm", norm));
            parameters.module("cross", attention);
        }
        parameters.module("feed_forward_norm", &self.feed_forward.0);
        parameters.module("feed_forward", &self.feed_forward.1);
    }
}
