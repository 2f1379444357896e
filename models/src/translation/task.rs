//! Training a translator.

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use termwise_autograd::Tape;
use termwise_datasets::bpe::Bpe;
use termwise_datasets::translation::{ParallelText, TokenBatches, TokenPair, TranslationBatch};
use termwise_ops::Kernels;
use termwise_ops::attention::AttentionCode;
use termwise_ops::metrics::{BleuOptions, corpus_bleu};

use super::{
    ConfigError, SearchOptions, Translation, TranslationConfig, Translator, TranslatorConfig, translate_text,
};
use crate::Init;
use crate::layers::Dropout;
use crate::training::{Loss, Recipe, Task};

/// What a training on parallel text needs to know besides the recipe of the training loop.
///
/// ```
/// use termwise_models::translation::TranslationOptions;
/// let options = TranslationOptions::new("0010".parse().unwrap());
/// assert_eq!(options.check(), Ok(()));
/// let error = TranslationOptions { dropout: 1.0, ..options }.check().unwrap_err();
/// assert_eq!(error.to_string(), "field dropout: expected 0 to 0.9, found 1");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslationOptions {
    /// The architecture; its vocabulary is the most that may be learned.
    pub model: TranslatorConfig,
    /// Whether sentences are made lower-case.
    pub lowercase: bool,
    /// Tokens of a batch on its longer side, padding included.
    pub batch_tokens: usize,
    /// Pairs with more tokens on a side are left out of the training.
    pub max_tokens: usize,
    /// Share of the probability that the loss wants on wrong tokens.
    pub label_smoothing: f64,
    /// Share of elements that are set to zero, after each part of a layer.
    pub dropout: f64,
    /// How sentences are translated for a score.
    pub search: SearchOptions,
    /// Seed of initial values, order and dropout.
    pub seed: u64,
}

impl TranslationOptions {
    /// The standard ones for a mechanism.
    pub fn new(attention: AttentionCode) -> Self {
        TranslationOptions {
            model: TranslatorConfig::new(attention, 6000),
            lowercase: false,
            batch_tokens: 2048,
            max_tokens: 128,
            label_smoothing: 0.1,
            dropout: 0.1,
            search: SearchOptions::default(),
            seed: 0,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the first field that no training can have.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.model.check()?;
        for (field, found) in [("label_smoothing", self.label_smoothing), ("dropout", self.dropout)] {
            if !(0.0..=0.9).contains(&found) {
                return Err(ConfigError::new(field, "0 to 0.9", found));
            }
        }
        for (field, found) in [("batch_tokens", self.batch_tokens), ("max_tokens", self.max_tokens)] {
            if !(1..=1 << 20).contains(&found) {
                return Err(ConfigError::new(field, "1 to 2^20", found));
            }
        }
        let SearchOptions { beam, length_penalty, length_factor, max_length, .. } = self.search;
        if !(1..=256).contains(&beam) {
            return Err(ConfigError::new("beam", "1 to 256", beam));
        }
        if !(-10.0..=10.0).contains(&length_penalty) {
            return Err(ConfigError::new("length_penalty", "-10 to 10", length_penalty));
        }
        if !(0.0..=1000.0).contains(&length_factor) {
            return Err(ConfigError::new("length_factor", "0 to 1000", length_factor));
        }
        if !(1..=1 << 16).contains(&max_length) {
            return Err(ConfigError::new("max_length", "1 to 2^16", max_length));
        }
        Ok(())
    }
}

/// What an evaluation says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranslationScore {
    /// BLEU (13a) of lower-cased text, 0 to 100.
    pub bleu: f64,
    /// BLEU (13a) of the text as it is.
    pub bleu_cased: f64,
    /// Mean negative log-probability of the right token.
    pub nll: f64,
}

/// A translator being trained on parallel text.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_datasets::translation::ParallelText;
/// use termwise_models::training::Task;
/// use termwise_models::translation::{TranslationOptions, TranslationTask, TranslatorConfig};
/// let lines = |lines: [&str; 2]| lines.map(str::to_owned).to_vec();
/// let (english, german) = (lines(["a man", "a very long dog"]), lines(["ein Mann", "ein sehr langer Hund"]));
/// let text = ParallelText::new(("en".to_owned(), "de".to_owned()), english, german);
/// let code = "0110".parse().unwrap();
/// let model = TranslatorConfig { channels: 8, feed_forward: 8, ..TranslatorConfig::new(code, 260) };
/// let options = TranslationOptions { model, max_tokens: 10, dropout: 0.0, ..TranslationOptions::new(code) };
/// let task = TranslationTask::new(Cpu::<f32>::new(), &text, &text, options).unwrap();
/// assert_eq!((task.skipped(), task.steps(0)), (1, 1)); // the second pair is too long
/// task.model().parameters()[0].1.set(Array::zeros(&Cpu::new(), &[260, 8])); // the table of tokens
/// let loss = task.loss(&Tape::new(Cpu::new()), 0, 0);
/// let (name, nll) = loss.parts[0]; // 260 tokens, equally likely
/// assert!(name == "nll" && (nll - 260f64.ln()).abs() < 1e-5);
/// let score = task.evaluate(); // of equally likely tokens the end comes first: nothing is translated
/// assert!((score.nll - 260f64.ln()).abs() < 1e-5 && score.bleu == 0.0);
/// ```
pub struct TranslationTask<B: Kernels> {
    model: Translator<B>,
    config: TranslationConfig,
    options: TranslationOptions,
    pairs: Vec<TokenPair>,
    skipped: usize,
    batches: TokenBatches,
    /// The batches of the epoch that was asked for last.
    epoch: RefCell<Option<(usize, Batches)>>,
    validation: ParallelText,
}

/// The pairs of each batch of an epoch.
type Batches = Rc<Vec<Vec<usize>>>;

impl<B: Kernels<Scalar = f32>> TranslationTask<B> {
    /// Learns a vocabulary on the training text and makes a translator with fresh parameters.
    ///
    /// # Errors
    /// If a field of the options is refused, or every pair is longer than `max_tokens`.
    pub fn new(
        backend: B,
        train: &ParallelText,
        validation: &ParallelText,
        options: TranslationOptions,
    ) -> Result<Self, ConfigError> {
        options.check()?;
        let least = Bpe::MIN_VOCABULARY;
        if options.model.vocabulary < least {
            return Err(ConfigError::new(
                "vocabulary",
                format!("at least {least}"),
                options.model.vocabulary,
            ));
        }
        let bpe = Bpe::learn(train.lines(), options.model.vocabulary);
        let (source, target) = train.languages();
        let config = TranslationConfig {
            task: Translation::Translation,
            languages: (source.to_owned(), target.to_owned()),
            lowercase: options.lowercase,
            model: TranslatorConfig { vocabulary: bpe.vocabulary_size(), ..options.model.clone() },
            bpe,
        };
        Self::with_config(backend, config, train, validation, options)
    }

    /// With a vocabulary that is there already: for going on with a training.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_config(
        backend: B,
        config: TranslationConfig,
        train: &ParallelText,
        validation: &ParallelText,
        options: TranslationOptions,
    ) -> Result<Self, ConfigError> {
        options.check()?;
        let mut pairs = TokenPair::encode_all(train, &config.bpe);
        let all = pairs.len();
        pairs.retain(|pair| pair.source.len().max(pair.target.len()) <= options.max_tokens);
        if pairs.is_empty() {
            let expected = format!("a pair of at most {} tokens a side", options.max_tokens);
            return Err(ConfigError::new("max_tokens", expected, format!("{all} longer ones")));
        }
        let model = Translator::new(config.model.clone(), &mut Init::new(backend, options.seed));
        Ok(TranslationTask {
            model,
            batches: TokenBatches::new(&pairs, options.batch_tokens, options.seed),
            skipped: all - pairs.len(),
            pairs,
            epoch: RefCell::new(None),
            validation: validation.clone(),
            config,
            options,
        })
    }

    /// How many pairs are longer than `max_tokens` and left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Its options.
    pub fn options(&self) -> &TranslationOptions {
        &self.options
    }

    fn batches(&self, epoch: usize) -> Batches {
        let mut cached = self.epoch.borrow_mut();
        match &*cached {
            Some((of, batches)) if *of == epoch => Rc::clone(batches),
            _ => {
                let batches = Rc::new(self.batches.epoch(epoch as u64));
                *cached = Some((epoch, Rc::clone(&batches)));
                batches
            }
        }
    }

    /// The score on another text, and its translations.
    pub fn evaluate_on(
        &self,
        text: &ParallelText,
        search: &SearchOptions,
    ) -> (TranslationScore, Vec<String>) {
        evaluate_text(&self.model, &self.config, text, search)
    }
}

/// How a translator is trained unless told otherwise.
pub fn recipe() -> Recipe {
    Recipe {
        epochs: 30,
        lr: 4e-3,
        warmup: 0.08,
        beta2: 0.98,
        weight_decay: 1e-4,
        clip_norm: 1.0,
        average: 0.998,
        ..Recipe::default()
    }
}

/// The score of a translator on a text, and its translations.
pub fn evaluate_text<B: Kernels<Scalar = f32>>(
    model: &Translator<B>,
    config: &TranslationConfig,
    text: &ParallelText,
    search: &SearchOptions,
) -> (TranslationScore, Vec<String>) {
    let nll = mean_nll(model, &TokenPair::encode_all(text, &config.bpe));
    score(model, config, text, nll, search)
}

impl<B: Kernels<Scalar = f32>> Task for TranslationTask<B> {
    type Backend = B;
    type Model = Translator<B>;
    type Config = TranslationConfig;
    type Score = TranslationScore;

    fn backend(&self) -> &B {
        self.model.backend()
    }

    fn model(&self) -> &Self::Model {
        &self.model
    }

    fn config(&self) -> &TranslationConfig {
        &self.config
    }

    fn steps(&self, epoch: usize) -> usize {
        self.batches(epoch).len()
    }

    /// Its part `nll` is the mean negative log-probability of the right token.
    fn loss(&self, tape: &Tape<B>, epoch: usize, step: usize) -> Loss<B> {
        let indices = &self.batches(epoch)[step];
        let batch = TranslationBatch::stack(indices.iter().map(|&index| &self.pairs[index]));
        let seed = [epoch, step].iter().fold(self.options.seed, |seed, &count| {
            (seed ^ count as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        let dropout = Dropout::new(self.options.dropout, seed);
        let (loss, nll) = self.model.loss(tape, &batch, self.options.label_smoothing, &dropout);
        Loss { total: loss, parts: vec![("nll", f64::from(nll.item()))] }
    }

    /// By greedy search, whatever the options say: a beam after each epoch would take as long as the epoch.
    fn evaluate(&self) -> TranslationScore {
        let search = SearchOptions { beam: 1, ..self.options.search };
        self.evaluate_on(&self.validation, &search).0
    }
}

fn score<B: Kernels<Scalar = f32>>(
    model: &Translator<B>,
    config: &TranslationConfig,
    text: &ParallelText,
    nll: f64,
    search: &SearchOptions,
) -> (TranslationScore, Vec<String>) {
    let translations = translate_text(model, config, text.source(), search);
    let bleu = |lowercase| {
        let options = BleuOptions { lowercase, ..BleuOptions::default() };
        corpus_bleu(&translations, &[text.target()], &options).score
    };
    (TranslationScore { bleu: bleu(true), bleu_cased: bleu(false), nll }, translations)
}

/// Tokens of a batch of an evaluation.
const BATCH_TOKENS: usize = 4096;

fn mean_nll<B: Kernels<Scalar = f32>>(model: &Translator<B>, pairs: &[TokenPair]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for indices in TokenBatches::new(pairs, BATCH_TOKENS, 0).sorted() {
        let batch = TranslationBatch::stack(indices.iter().map(|&index| &pairs[index]));
        let tokens: usize = batch.decoder_output.lengths.iter().sum();
        let tape = Tape::inference(model.backend().clone());
        let (_, nll) = model.loss(&tape, &batch, 0.0, &Dropout::off());
        sum += f64::from(nll.item()) * tokens as f64;
        count += tokens;
    }
    sum / count.max(1) as f64
}
