//! The translator: what each of its mechanisms sees, that decoding step by step is decoding at once, searches, learning.

mod cached;
mod gradients;
mod learn;
mod search;
mod sight;
mod task;

use ndarray::Array2;
use termwise_autograd::{Array, Cpu, Tape};
use termwise_datasets::bpe::Bpe;
use termwise_datasets::translation::{Padded, TokenPair};
use termwise_models::Init;
use termwise_models::layers::Dropout;
use termwise_models::translation::{Translator, TranslatorConfig};
use termwise_ops::attention::Terms;
use termwise_ops::log_softmax;

/// Every kind of self-attention.
fn codes() -> Vec<String> {
    let mut codes: Vec<String> = Terms::all().map(|terms| terms.to_string()).collect();
    codes.extend(codes.clone().iter().map(|code| format!("{code}+deformable")));
    codes.extend(["w/o", "deformable", "dynamic", "dynamic+deformable", "0110+dynamic"].map(str::to_owned));
    codes
}

/// The smallest translator that has everything: two layers with different kernels.
fn tiny(code: &str) -> TranslatorConfig {
    TranslatorConfig {
        channels: 8,
        num_heads: 2,
        feed_forward: 12,
        encoder_layers: 2,
        decoder_layers: 2,
        kernel_sizes: vec![3, 5],
        ..TranslatorConfig::new(code.parse().unwrap(), VOCABULARY)
    }
}

const VOCABULARY: usize = 11;

/// In double precision, where what is equal is equal to many places.
fn translator(config: TranslatorConfig) -> Translator<Cpu<f64>> {
    Translator::new(config, &mut Init::new(Cpu::new(), 5))
}

/// Sequences of tokens 4 .. 11 of the given lengths.
fn sequences(lengths: &[usize], seed: u32) -> Vec<Vec<u32>> {
    let token = |row: usize, at: usize| {
        4 + (7 * row as u32 + 5 * (at * at + at) as u32 / 2 + 3 * seed + at as u32) % 7
    };
    lengths.iter().enumerate().map(|(row, &length)| (0..length).map(|at| token(row, at)).collect()).collect()
}

fn padded(sequences: &[Vec<u32>]) -> Padded {
    Padded::stack(sequences.iter().map(Vec::as_slice))
}

/// With an end behind each.
fn sources(lengths: &[usize]) -> Padded {
    let ended: Vec<Vec<u32>> =
        sequences(lengths, 1).into_iter().map(|s| [&s[..], &[Bpe::EOS]].concat()).collect();
    padded(&ended)
}

/// Log-probabilities of every next token, all at once. // (N, T, V)
fn scores(model: &Translator<Cpu<f64>>, source: &Padded, target: &Array2<i64>) -> Array<Cpu<f64>> {
    let tape = Tape::inference(Cpu::new());
    let memory = model.encode(&tape, source, &Dropout::off());
    let states = model.decode(&memory, source, target, &Dropout::off());
    log_softmax(&model.logits(&states), -1).value().clone()
}

/// Pairs whose target is the source itself: distinct tokens in any order.
fn copies(count: usize, longest: usize, symbols: u32) -> Vec<TokenPair> {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut pair = || {
        let mut tokens: Vec<u32> = (4..4 + symbols).collect();
        (0..longest).for_each(|i| tokens.swap(i, i + random(symbols as usize - i)));
        tokens.truncate(2 + random(longest - 1));
        TokenPair { source: tokens.clone(), target: tokens }
    };
    (0..count).map(|_| pair()).collect()
}
