//! Translation: a Transformer encoder-decoder with any mechanism in the place of self-attention.
//!
//! ```text
//! source tokens -> embedding -> encoder layers -> norm ------------------------+
//! target tokens -> embedding -> decoder layers (each looks at the source) -----+-> norm -> logits
//! ```
//!
//! There are no absolute positions: what a sentence knows of order it knows through the terms of its
//! self-attention, as in the paper.
//!
//! A translator whose decoder always ends in the same state, in which only token 5 stands out:
//!
//! ```
//! use termwise_autograd::{Array, Cpu, Module, Tape};
//! use termwise_datasets::translation::{Padded, TokenPair, TranslationBatch};
//! use termwise_models::Init;
//! use termwise_models::layers::Dropout;
//! use termwise_models::translation::{NextToken, SearchOptions, Translator, TranslatorConfig, translate_tokens};
//! let config = TranslatorConfig {
//!     channels: 2,
//!     num_heads: 1,
//!     feed_forward: 4,
//!     encoder_layers: 1,
//!     decoder_layers: 1,
//!     ..TranslatorConfig::new("0011".parse().unwrap(), 8)
//! };
//! let model = Translator::new(config, &mut Init::new(Cpu::<f32>::new(), 0));
//! for (name, param) in model.parameters() {
//!     let values = match name.as_str() {
//!         "decoder_norm.weight" => vec![0.0, 0.0],
//!         "decoder_norm.bias" => vec![1.0, 0.0],
//!         // The logarithm of 3 for token 5, 0 for the seven others.
//!         "embedding" => (0..16).map(|i| if i == 10 { 3f32.ln() } else { 0.0 }).collect(),
//!         _ => continue,
//!     };
//!     param.set(Array::host(&param.shape(), values));
//! }
//! // What comes next: token 5 in three of ten cases, each other in one.
//! let mut decoding = model.decoding(&Padded::stack([[4, 6, 2].as_slice()]));
//! let scores = decoding.step(&[1]); // after BOS
//! assert!((scores[[0, 5]] - 0.3f32.ln()).abs() < 1e-6 && (scores[[0, 2]] - 0.1f32.ln()).abs() < 1e-6);
//! // Of the two right tokens 5 and EOS one is likely and one is not.
//! let pair = TokenPair { source: vec![4, 6], target: vec![5] };
//! let tape = Tape::inference(Cpu::new());
//! let (_, nll) = model.loss(&tape, &TranslationBatch::stack([&pair]), 0.1, &Dropout::off());
//! assert!((nll.item() + (0.3f32.ln() + 0.1f32.ln()) / 2.0).abs() < 1e-6);
//! // The end never is the likeliest: it comes after as many tokens as there may be, here 1.5 times the source's.
//! let options = SearchOptions { length_extra: 0, ..SearchOptions::greedy() };
//! let found = translate_tokens(&model, &[vec![4, 6], vec![], vec![7, 4, 4, 6]], &options);
//! assert_eq!(found, [vec![5; 3], vec![], vec![5; 6]]);
//! ```

mod config;
mod decoding;
mod layer;
mod model;
mod search;
mod task;
mod translate;

pub use config::{ConfigError, CrossTerms, Translation, TranslationConfig, TranslatorConfig};
pub use decoding::Decoding;
pub use model::Translator;
pub use search::{Hypothesis, NextToken, SearchOptions, Vocabulary, beam_search, greedy_search};
pub use task::{TranslationOptions, TranslationScore, TranslationTask, evaluate_text, recipe};
pub use translate::{translate_text, translate_tokens};
