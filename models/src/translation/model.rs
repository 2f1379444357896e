//! The translator.

use ndarray::{Array1, Array2};
use termwise_autograd::{Array, Module, Param, Parameters, Tape, Var};
use termwise_datasets::translation::{Padded, TranslationBatch};
use termwise_ops::{
    Kernels, Reduction, embedding, index_select, label_smoothed_nll_loss, linear, reshape, scale,
};

use super::layer::Layer;
use super::{Decoding, TranslatorConfig};
use crate::Init;
use crate::layers::{AttentionInput, Dropout, Extent, LayerNorm, attention_flops, cross_attention_flops};

/// Sentences to sentences: a Transformer encoder-decoder, its three tables of tokens (source, target and output) one
/// and the same. The [module](super) has an example.
pub struct Translator<B: Kernels> {
    config: TranslatorConfig,
    backend: B,
    embedding: Param<B>, // (V, C)
    encoder: Vec<Layer<B>>,
    encoder_norm: LayerNorm<B>,
    pub(super) decoder: Vec<Layer<B>>,
    decoder_norm: LayerNorm<B>,
}

impl<B: Kernels> Translator<B> {
    /// A translator with fresh parameters.
    ///
    /// # Panics
    /// If the configuration does not pass its [check](TranslatorConfig::check).
    #[track_caller]
    pub fn new(config: TranslatorConfig, init: &mut Init<B>) -> Self {
        if let Err(error) = config.check() {
            panic!("Translator: {error}");
        }
        let channels = config.channels;
        Translator {
            backend: init.backend().clone(),
            // Scaled up by sqrt(C) on the way in, which makes vectors of unit variance, and not on the way out.
            embedding: init.normal(&[config.vocabulary, channels], 1.0 / (channels as f64).sqrt()),
            encoder: (0..config.encoder_layers).map(|i| Layer::new(&config, false, i, init)).collect(),
            encoder_norm: LayerNorm::new(channels, init),
            decoder: (0..config.decoder_layers).map(|i| Layer::new(&config, true, i, init)).collect(),
            decoder_norm: LayerNorm::new(channels, init),
            config,
        }
    }

    /// Where it is computed.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Its architecture.
    pub fn config(&self) -> &TranslatorConfig {
        &self.config
    }

    /// Multiply-adds of all attention for one sentence of `source` tokens and its translation of `target` ones, forward;
    /// see [`attention_flops`].
    pub fn attention_flops(&self, source: usize, target: usize) -> f64 {
        let TranslatorConfig { channels, num_heads, attention, cross, limit_range, .. } = self.config;
        let own = |layer: usize, length: usize| {
            let sizes = [channels, num_heads, self.config.kernel_size(layer)];
            attention_flops(attention, Extent::Sequence(length), sizes, limit_range)
        };
        let encoder: f64 = (0..self.encoder.len()).map(|layer| own(layer, source)).sum();
        let decoder: f64 = (0..self.decoder.len()).map(|layer| own(layer, target)).sum();
        let across = cross_attention_flops(cross.terms(), [target, source], channels);
        encoder + decoder + self.decoder.len() as f64 * across
    }

    /// The vectors of tokens of any shape (..) to (.., C).
    pub(super) fn embed(&self, tape: &Tape<B>, tokens: &Array2<i64>, dropout: &Dropout) -> Var<B> {
        let vectors = embedding(&self.embedding.var(tape), &tokens.clone().into_dyn(), None);
        dropout.apply(&scale(&vectors, (self.config.channels as f64).sqrt()))
    }

    /// The encoded source: tokens (N, S) to (N, S, C).
    #[track_caller]
    pub fn encode(&self, tape: &Tape<B>, source: &Padded, dropout: &Dropout) -> Var<B> {
        let padding = padding(source);
        let mut x = self.embed(tape, &source.tokens, dropout);
        for layer in &self.encoder {
            x = layer.encode(&x, padding.as_ref(), dropout, &mut |_, _, _| {});
        }
        self.encoder_norm.forward(&x)
    }

    /// The states of the decoder, which [`logits`](Self::logits) reads: the target so far (N, T) and the encoded source
    /// to (N, T, C).
    #[track_caller]
    pub fn decode(
        &self,
        memory: &Var<B>,
        source: &Padded,
        target: &Array2<i64>,
        dropout: &Dropout,
    ) -> Var<B> {
        let padding = padding(source);
        let mut x = self.embed(memory.tape(), target, dropout);
        for layer in &self.decoder {
            x = layer.decode(&x, memory, padding.as_ref(), dropout, &mut |_, _, _| {});
        }
        self.decoder_norm.forward(&x)
    }

    /// Every Transformer attention on the way of one sentence and its translation, and what it is given: source with its
    /// `EOS`, target behind its `BOS`. They are called `encoder.I`, `decoder.I`, and `decoder.I.cross` for attention to
    /// the source.
    #[track_caller]
    pub fn attention_inputs(
        &self,
        tape: &Tape<B>,
        source: &[u32],
        target: &[u32],
    ) -> Vec<AttentionInput<'_, B>> {
        let (source, target, off) = (Padded::stack([source]), Padded::stack([target]), Dropout::off());
        let mut inputs = Vec::new();
        let mut see = |name: &str, attention, queries: &Var<B>, keys: Option<&Var<B>>| {
            let name = if keys.is_some() { format!("{name}.cross") } else { name.to_owned() };
            inputs.push(AttentionInput { name, attention, queries: queries.clone(), keys: keys.cloned() });
        };
        let mut x = self.embed(tape, &source.tokens, &off);
        for (i, layer) in self.encoder.iter().enumerate() {
            let name = format!("encoder.{i}");
            x = layer.encode(&x, None, &off, &mut |own, queries, keys| see(&name, own, queries, keys));
        }
        let memory = self.encoder_norm.forward(&x);
        let mut x = self.embed(tape, &target.tokens, &off);
        for (i, layer) in self.decoder.iter().enumerate() {
            let name = format!("decoder.{i}");
            let see = &mut |attention, queries: &Var<B>, keys: Option<&Var<B>>| {
                see(&name, attention, queries, keys)
            };
            x = layer.decode(&x, &memory, None, &off, see);
        }
        inputs
    }

    /// A score for each token to come next: states (.., C) to (.., V).
    #[track_caller]
    pub fn logits(&self, states: &Var<B>) -> Var<B> {
        linear(states, &self.embedding.var(states.tape()), None)
    }

    pub(super) fn logits_of_step(&self, x: &Var<B>) -> Var<B> {
        self.logits(&self.decoder_norm.forward(x))
    }

    /// The mean loss over the target tokens of a batch, with label smoothing, and the mean negative log-probability
    /// of the right token. Scores are computed for tokens alone, not for padding.
    #[track_caller]
    pub fn loss(
        &self,
        tape: &Tape<B>,
        batch: &TranslationBatch,
        smoothing: f64,
        dropout: &Dropout,
    ) -> (Var<B>, Array<B>) {
        let memory = self.encode(tape, &batch.source, dropout);
        let states = self.decode(&memory, &batch.source, &batch.decoder_input.tokens, dropout);
        let (width, channels) = (states.shape()[1], states.shape()[2]);
        let states = reshape(&states, &[states.shape()[0] * width, channels]);
        let lengths = batch.decoder_output.lengths.iter().enumerate();
        let places: Vec<usize> =
            lengths.flat_map(|(row, &length)| row * width..row * width + length).collect();
        let tokens = batch.decoder_output.tokens.as_slice().expect("padded arrays are contiguous");
        let labels: Array1<i64> = places.iter().map(|&place| tokens[place]).collect();
        let places: Array1<i64> = places.iter().map(|&place| place as i64).collect();
        let logits = self.logits(&index_select(&states, &places.into_dyn(), 0));
        label_smoothed_nll_loss(&logits, &labels.into_dyn(), smoothing, None, Reduction::Mean)
    }

    /// Begins to translate: the source is read once, then come the target's tokens one by one.
    pub fn decoding(&self, source: &Padded) -> Decoding<'_, B> {
        Decoding::new(self, source)
    }
}

/// True at what is behind the end of a sentence; `None` where all are of one length.
pub(super) fn padding(sentences: &Padded) -> Option<Array2<bool>> {
    let width = sentences.tokens.ncols();
    let lengths = &sentences.lengths;
    let hidden = || Array2::from_shape_fn((lengths.len(), width), |(row, at)| at >= lengths[row]);
    lengths.iter().any(|&length| length < width).then(hidden)
}

impl<B: Kernels> Module<B> for Translator<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.param("embedding", &self.embedding);
        for (i, layer) in self.encoder.iter().enumerate() {
            parameters.module(&format!("encoder.{i}"), layer);
        }
        parameters.module("encoder_norm", &self.encoder_norm);
        for (i, layer) in self.decoder.iter().enumerate() {
            parameters.module(&format!("decoder.{i}"), layer);
        }
        parameters.module("decoder_norm", &self.decoder_norm);
    }
}
