//! Parallel text: two files of one sentence a line, line N of one the translation of line N of the other.
//!
//! ```text
//! DIR/train.en, DIR/train.de             UTF-8, lines end with LF or CR LF
//! DIR/train.en.gz, DIR/train.de.gz       the same, gzipped
//! ```
//!
//! Reading is strict: both files have the same number of lines, and every byte belongs to valid UTF-8. Lines are split
//! at LF alone: a vertical tab, a U+2028 or a CR inside of a line is text. A byte order mark at the start is left out.
//! Empty lines stay, so that line N remains line N, and are counted in the report.
//!
//! ```
//! use termwise_datasets::bpe::Bpe;
//! use termwise_datasets::translation::{ParallelText, TokenBatches, TokenPair, TranslationBatch, TranslationOptions};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("train.en"), "A dog runs.\n\nTwo cats sleep.\n")?;
//! std::fs::write(folder.path().join("train.de"), "Ein Hund läuft.\nLeer.\nZwei Katzen schlafen.\n")?;
//! let options = TranslationOptions { lowercase: true, ..TranslationOptions::default() };
//! let train = ParallelText::open(folder.path(), "train", &options)?;
//! assert_eq!((train.len(), train.languages()), (3, ("en", "de")));
//! assert_eq!(train.pairs().next(), Some(("a dog runs.", "ein hund läuft.")));
//! assert_eq!(train.report().to_string(), "1 empty line of en, kept; the first: line 2");
//!
//! let bpe = Bpe::learn(train.lines(), 8000);
//! let pairs = TokenPair::encode_all(&train, &bpe);
//! assert_eq!(bpe.decode(&pairs[2].target), "zwei katzen schlafen.");
//! let batches = TokenBatches::new(&pairs, 4000, 7).epoch(0);
//! assert_eq!(batches.len(), 1); // so large a budget takes all
//! let batch = TranslationBatch::stack(batches[0].iter().map(|&index| &pairs[index]));
//! let longest = pairs.iter().map(|pair| pair.source.len()).max().unwrap();
//! assert_eq!(batch.source.tokens.dim(), (3, longest + 1)); // with its EOS
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use crate::error::DataError;

pub use batch::{Padded, TokenBatches, TokenPair, TranslationBatch};

/// How parallel text is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslationOptions {
    /// The extensions of source and target, such as `en` and `de`. Without them, the split must have files of exactly
    /// two languages, of which English is the source; where none is English, the first in the alphabet.
    pub languages: Option<(String, String)>,
    /// Whether to make every letter small.
    pub lowercase: bool,
    /// The most bytes of text that one file may have or unpack to: a few kilobytes of gzip can hold gigabytes.
    pub max_bytes: u64,
}

impl Default for TranslationOptions {
    /// Languages as found, letters as they are, at most 1 GiB.
    fn default() -> Self {
        Self { languages: None, lowercase: false, max_bytes: 1 << 30 }
    }
}

/// Sentences and their translations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParallelText {
    languages: (String, String),
    source: Vec<String>,
    target: Vec<String>,
    report: TranslationReport,
}

impl ParallelText {
    /// Reads a split such as `train` of a folder.
    ///
    /// # Errors
    /// A file that is absent, there both plain and gzipped, larger than allowed, damaged gzip, or not UTF-8; numbers of
    /// lines that differ (the error has both); no line; languages that are not given while not exactly two are there.
    pub fn open(root: &Path, split: &str, options: &TranslationOptions) -> Result<Self, DataError> {
        read::open(root, split, options)
    }

    /// Sentences that are there already.
    ///
    /// # Panics
    /// Where there are not as many sources as targets, or none.
    #[track_caller]
    pub fn new(languages: (String, String), source: Vec<String>, target: Vec<String>) -> Self {
        assert!(
            source.len() == target.len() && !source.is_empty(),
            "ParallelText::new: as many sources as targets, at least one: {} and {}",
            source.len(),
            target.len()
        );
        let report = TranslationReport::of(&languages, &source, &target);
        Self { languages, source, target, report }
    }

    /// The names of the two languages, source first.
    pub fn languages(&self) -> (&str, &str) {
        (&self.languages.0, &self.languages.1)
    }

    /// How many pairs; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an empty file is an error, so none is ever empty")]
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// The sentences to translate.
    pub fn source(&self) -> &[String] {
        &self.source
    }

    /// Their translations.
    pub fn target(&self) -> &[String] {
        &self.target
    }

    /// Every pair.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.source.iter().zip(&self.target).map(|(source, target)| (source.as_str(), target.as_str()))
    }

    /// All sources, then all targets: what a joint vocabulary is learned on.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.source.iter().chain(&self.target).map(String::as_str)
    }

    /// What is unusual in the text.
    pub fn report(&self) -> &TranslationReport {
        &self.report
    }
}

/// Empty lines, counted. Displays as one line for each kind; empty where there is none.
///
/// # Examples
/// ```
/// use termwise_datasets::translation::ParallelText;
/// let lines = |lines: [&str; 3]| lines.map(str::to_owned).to_vec();
/// let languages = ("en".to_owned(), "de".to_owned());
/// let text = ParallelText::new(languages, lines(["Yes.", "No.", "Well."]), lines(["Ja.", " ", ""]));
/// let report = text.report();
/// assert_eq!((report.empty_source, report.empty_target), (None, Some((2, 2)))); // two, the first in line 2
/// assert!(!report.is_clean());
/// assert_eq!(report.to_string(), "2 empty lines of de, kept; the first: line 2");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslationReport {
    languages: (String, String),
    /// How many sources are empty or white space, and the number of the first such line, from 1.
    pub empty_source: Option<(usize, usize)>,
    /// The same of the targets.
    pub empty_target: Option<(usize, usize)>,
}

impl TranslationReport {
    fn of(languages: &(String, String), source: &[String], target: &[String]) -> Self {
        let empty = |lines: &[String]| {
            let mut empty = lines.iter().enumerate().filter(|(_, line)| line.trim().is_empty());
            empty.next().map(|(first, _)| (1 + empty.count(), first + 1))
        };
        Self { languages: languages.clone(), empty_source: empty(source), empty_target: empty(target) }
    }

    /// Whether no line is empty.
    pub fn is_clean(&self) -> bool {
        self.empty_source.is_none() && self.empty_target.is_none()
    }
}

impl fmt::Display for TranslationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [(&self.languages.0, self.empty_source), (&self.languages.1, self.empty_target)];
        let found = kinds.into_iter().filter_map(|(language, empty)| Some((language, empty?)));
        for (index, (language, (count, first))) in found.enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            let lines = if count == 1 { "line" } else { "lines" };
            write!(f, "{newline}{count} empty {lines} of {language}, kept; the first: line {first}")?;
        }
        Ok(())
    }
}
