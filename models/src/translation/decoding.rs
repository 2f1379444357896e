//! Decoding step by step, with all that can be remembered of the steps before.

use ndarray::Array2;
use termwise_autograd::{Scalar, Tape};
use termwise_datasets::translation::Padded;
use termwise_ops::{Kernels, log_softmax, reshape};

use super::model::padding;
use super::{NextToken, Translator};
use crate::layers::{Dropout, Memory, SelfAttentionState};

/// Translations under way: as many of each sentence as of any other, those of a sentence side by side.
///
/// It starts with one of each sentence. Self-attention keeps the keys and values of the steps before (a dynamic
/// convolution its last `kernel - 1` inputs, a deformable unit all of them), encoder-decoder attention those of the
/// source.
///
/// It is made by [`Translator::decoding`]; the [module](super) has an example.
pub struct Decoding<'m, B: Kernels> {
    model: &'m Translator<B>,
    tape: Tape<B>,
    sentences: usize,
    rows: usize,
    layers: Vec<(SelfAttentionState<B>, Memory<B>)>,
}

impl<'m, B: Kernels> Decoding<'m, B> {
    pub(super) fn new(model: &'m Translator<B>, source: &Padded) -> Self {
        let tape = Tape::inference(model.backend().clone());
        let memory = model.encode(&tape, source, &Dropout::off());
        let padding = padding(source);
        let state = |layer: &super::layer::Layer<B>| {
            (SelfAttentionState::default(), layer.remember(&memory, padding.as_ref()))
        };
        let layers = model.decoder.iter().map(state).collect();
        let sentences = source.lengths.len();
        Decoding { model, tape, sentences, rows: sentences, layers }
    }
}

impl<B: Kernels> NextToken for Decoding<'_, B> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn step(&mut self, tokens: &[u32]) -> Array2<f32> {
        assert!(
            tokens.len() == self.rows,
            "Decoding: {} tokens for {} translations",
            tokens.len(),
            self.rows
        );
        let tokens = Array2::from_shape_fn((self.rows, 1), |(row, _)| i64::from(tokens[row]));
        let mut x = self.model.embed(&self.tape, &tokens, &Dropout::off()); // (R, 1, C)
        for (layer, state) in self.model.decoder.iter().zip(&mut self.layers) {
            x = layer.step(&x, self.sentences, state);
        }
        let x = reshape(&x, &[self.rows, x.shape()[2]]);
        let scores = log_softmax(&self.model.logits_of_step(&x), -1).value().to_ndarray();
        let scores = scores.mapv(|score| score.as_f64() as f32);
        scores.into_dimensionality().expect("a row of the vocabulary each")
    }

    fn select(&mut self, rows: &[usize]) {
        let each = self.rows / self.sentences.max(1);
        let mut kept: Vec<usize> = rows.iter().map(|row| row / each).collect();
        kept.dedup();
        let all = kept.iter().copied().eq(0..self.sentences);
        for (own, memory) in &mut self.layers {
            own.reorder(rows);
            if !all {
                memory.reorder(&kept);
            }
        }
        (self.sentences, self.rows) = (kept.len(), rows.len());
    }
}
