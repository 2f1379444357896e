//! Translation: a Transformer encoder-decoder with any mechanism in the place of self-attention.
//!
//! ```text
//! source tokens -> embedding -> encoder layers -> norm ------------------------+
//! target tokens -> embedding -> decoder layers (each looks at the source) -----+-> norm -> logits
//! ```
//!
//! There are no absolute positions: what a sentence knows of order it knows through the terms of its
//! self-attention, as in the paper.

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
