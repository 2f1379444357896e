//! What a translator is: its architecture, and what is needed to use it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use termwise_datasets::bpe::Bpe;
use termwise_ops::attention::{AttentionCode, Terms, UnknownCode};

/// The terms of encoder-decoder attention: E1 and E3 alone, as between two sequences there is no relative position.
///
/// ```
/// use termwise_models::translation::CrossTerms;
/// assert_eq!("1010".parse::<CrossTerms>().unwrap().to_string(), "1010");
/// let error = "0110".parse::<CrossTerms>().unwrap_err().to_string();
/// assert!(error.contains("E2"), "{error}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CrossTerms(Terms);

impl CrossTerms {
    /// Those that are defined: `0000`, `0010`, `1000`, `1010`.
    pub fn all() -> impl Iterator<Item = CrossTerms> {
        Terms::all().filter(|terms| !terms.uses_position()).map(CrossTerms)
    }

    /// The switches.
    pub fn terms(self) -> Terms {
        self.0
    }
}

/// Why a text names no terms of encoder-decoder attention.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossError {
    /// It names no terms at all.
    #[error(transparent)]
    Unknown(#[from] UnknownCode),
    /// It switches on a term of relative position.
    #[error(
        "encoder-decoder attention '{0}': E2 and E4 need a relative position, which two sequences do not have; \
         expected 0000, 0010, 1000 or 1010"
    )]
    Position(Terms),
}

impl FromStr for CrossTerms {
    type Err = CrossError;

    fn from_str(text: &str) -> Result<Self, CrossError> {
        let terms: Terms = text.parse()?;
        if terms.uses_position() { Err(CrossError::Position(terms)) } else { Ok(CrossTerms(terms)) }
    }
}

impl fmt::Display for CrossTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for CrossTerms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CrossTerms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The architecture of a [`Translator`](super::Translator).
///
/// ```
/// use termwise_models::translation::TranslatorConfig;
/// let config = TranslatorConfig::new("0010+dynamic".parse().unwrap(), 6000);
/// assert_eq!(config.check(), Ok(()));
/// let sizes: Vec<usize> = (0..4).map(|layer| config.kernel_size(layer)).collect();
/// assert_eq!(sizes, [3, 7, 15, 15]); // beyond the list the last of it
/// let error = TranslatorConfig { channels: 126, ..config }.check().unwrap_err();
/// assert_eq!(error.to_string(), "field channels: expected a multiple of 2 num_heads = 8, found 126");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslatorConfig {
    /// Tokens of the vocabulary, which both languages share.
    pub vocabulary: usize,
    /// The mechanism of self-attention, in the encoder and in the decoder.
    pub attention: AttentionCode,
    /// The terms of encoder-decoder attention.
    pub cross: CrossTerms,
    /// C, the length of a token's vector.
    pub channels: usize,
    /// M, the heads of an attention; dynamic convolution has as many groups.
    pub num_heads: usize,
    /// Hidden units of the feed-forward networks.
    pub feed_forward: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Taps of the dynamic convolutions, layer by layer; layers beyond the list have the last of it.
    pub kernel_sizes: Vec<usize>,
    /// Whether Transformer attention sees no further than the dynamic convolution of its layer would.
    pub limit_range: bool,
}

impl TranslatorConfig {
    /// The standard size for a mechanism and a vocabulary.
    pub fn new(attention: AttentionCode, vocabulary: usize) -> Self {
        TranslatorConfig {
            vocabulary,
            attention,
            cross: CrossTerms(Terms::from_flags([true, false, true, false])),
            channels: 128,
            num_heads: 4,
            feed_forward: 512,
            encoder_layers: 3,
            decoder_layers: 3,
            kernel_sizes: vec![3, 7, 15],
            limit_range: false,
        }
    }

    /// Taps of the dynamic convolution of a layer.
    ///
    /// # Panics
    /// If there is no size at all.
    pub fn kernel_size(&self, layer: usize) -> usize {
        self.kernel_sizes[layer.min(self.kernel_sizes.len() - 1)]
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the first field that no translator can have.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("channels", self.channels, 1 << 14),
            ("num_heads", self.num_heads, 1 << 10),
            ("feed_forward", self.feed_forward, 1 << 16),
            ("encoder_layers", self.encoder_layers, 64),
            ("decoder_layers", self.decoder_layers, 64),
        ];
        for (field, found, most) in sizes {
            if !(1..=most).contains(&found) {
                return Err(ConfigError::new(field, format!("1 to {most}"), found));
            }
        }
        if !(4..=1 << 24).contains(&self.vocabulary) {
            return Err(ConfigError::new("vocabulary", "4 to 2^24", self.vocabulary));
        }
        if !self.channels.is_multiple_of(2 * self.num_heads) {
            let expected = format!("a multiple of 2 num_heads = {}", 2 * self.num_heads);
            return Err(ConfigError::new("channels", expected, self.channels));
        }
        let odd = |&kernel: &usize| kernel % 2 == 1 && kernel < 1 << 10;
        if self.kernel_sizes.is_empty() || !self.kernel_sizes.iter().all(odd) {
            let found = format!("{:?}", self.kernel_sizes);
            return Err(ConfigError::new("kernel_sizes", "at least one odd number below 1024 each", found));
        }
        Ok(())
    }
}

/// A field that no translator can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: expected {expected}, found {found}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What was expected there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl ConfigError {
    pub(super) fn new(field: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        ConfigError { field, expected: expected.to_string(), found: found.to_string() }
    }
}

/// The only value of [`TranslationConfig::task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Translation {
    /// Sentences to sentences.
    #[serde(rename = "translation")]
    Translation,
}

/// Everything needed to build a translator again and to use it: what a checkpoint carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslationConfig {
    /// Always `"translation"`; tells the checkpoints of different tasks apart.
    pub task: Translation,
    /// The languages, source first.
    pub languages: (String, String),
    /// Whether sentences are made lower-case.
    pub lowercase: bool,
    /// The vocabulary.
    pub bpe: Bpe,
    /// The architecture.
    pub model: TranslatorConfig,
}
