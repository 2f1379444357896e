//! BLEU, the n-gram precision score of machine translation, as sacrebleu 2.6 computes it.
//!
//! With m_n the clipped matches and t_n the number of hypothesis n-grams of order n over the whole
//! corpus, c the hypotheses' length and r the closest references' length in tokens,
//!
//! ```text
//! p_n  = 100 m_n / t_n                                      n = 1 .. N, N = 4
//! BP   = 1 if c >= r, else exp(1 - r / c)
//! BLEU = BP exp( (1/N) sum_n ln p_n )                       in [0, 100]
//! ```
//!
//! Counts are summed over the corpus before the division: the score of a corpus is no mean of the
//! scores of its sentences. Sources: Papineni et al., ACL 2002; Post, WMT 2018 (sacrebleu); the
//! smoothing methods are those of Chen and Cherry, WMT 2014.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::tokenize_13a::{is_space, tokenize_13a, words};

#[cfg(test)]
mod tests;

/// How a line of text becomes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tokenizer {
    /// The rules of `mteval-v13a.pl`, see [`tokenize_13a`]: what WMT reports.
    #[default]
    #[serde(rename = "13a")]
    V13a,
    /// Split at white space only: the text is tokenized already.
    #[serde(rename = "none")]
    None,
}

/// What takes the place of a precision whose order has no match.
///
/// ```
/// use termwise_ops::metrics::{BleuOptions, Smoothing, corpus_bleu};
/// let score = |smoothing| {
///     let options = BleuOptions { smoothing, max_order: 2, ..BleuOptions::default() };
///     corpus_bleu(&["a b"], &[["a c"]], &options).score
/// };
/// // One of two words is right, none of one pair: the root of 50 times what stands for it.
/// assert_eq!(score(Smoothing::None), 0.0);
/// assert!((score(Smoothing::Exp) - 50.0).abs() < 1e-9); // 100 / (2 1)
/// assert!((score(Smoothing::Floor(0.1)) - 500f64.sqrt()).abs() < 1e-9); // 100 0.1 / 1
/// assert!((score(Smoothing::AddK(1.0)) - 50.0).abs() < 1e-9); // 100 (0 + 1) / (1 + 1)
/// assert_eq!(Smoothing::from_name("floor", None), Some(Smoothing::Floor(0.1)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// The j-th such order gets `100 / (2^j t_n)`.
    #[default]
    Exp,
    /// Such an order gets `100 value / t_n`.
    Floor(f64),
    /// The value is added to matches and totals of every order from 2 on, matched or not.
    AddK(f64),
}

impl Smoothing {
    /// The method of that name (`none`, `exp`, `floor`, `add-k`); the value defaults to 0.1 for
    /// `floor` and to 1 for `add-k`, and is not used by the others. `None` for any other name.
    pub fn from_name(name: &str, value: Option<f64>) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "exp" => Some(Self::Exp),
            "floor" => Some(Self::Floor(value.unwrap_or(0.1))),
            "add-k" => Some(Self::AddK(value.unwrap_or(1.0))),
            _ => None,
        }
    }
}

/// The settings that a reported BLEU score has to name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BleuOptions {
    /// How lines become tokens.
    pub tokenizer: Tokenizer,
    /// What an order without a match counts.
    pub smoothing: Smoothing,
    /// Lower-case both sides first.
    pub lowercase: bool,
    /// Average only over the orders of which the hypotheses have n-grams; meant for single
    /// sentences, which may be shorter than `max_order`.
    pub effective_order: bool,
    /// N, the longest n-gram counted.
    pub max_order: usize,
}

impl Default for BleuOptions {
    fn default() -> Self {
        Self {
            tokenizer: Tokenizer::default(),
            smoothing: Smoothing::default(),
            lowercase: false,
            effective_order: false,
            max_order: 4,
        }
    }
}

impl BleuOptions {
    /// The text whose words are counted: lower-cased if so set, stripped at the end, tokenized.
    ///
    /// ```
    /// use termwise_ops::metrics::{BleuOptions, Tokenizer};
    /// let options = BleuOptions { lowercase: true, ..BleuOptions::default() };
    /// assert_eq!(options.tokenize("Hello, world! "), "hello , world !");
    /// let options = BleuOptions { tokenizer: Tokenizer::None, ..options };
    /// assert_eq!(options.tokenize("Hello, world! "), "hello, world!");
    /// ```
    pub fn tokenize(&self, line: &str) -> String {
        let lowered;
        let line = if self.lowercase {
            lowered = line.to_lowercase();
            &lowered
        } else {
            line
        };
        let line = line.trim_end_matches(is_space);
        match self.tokenizer {
            Tokenizer::V13a => tokenize_13a(line),
            Tokenizer::None => line.to_owned(),
        }
    }
}

/// BLEU of a corpus. `hypotheses[i]` is scored against `references[0][i]`, `references[1][i]`, ...
///
/// # Formula
/// See the [module](self). With several references an n-gram may match as often as it stands in
/// the reference that has it most; r adds up the reference length closest to each hypothesis, the
/// shorter one on a tie.
///
/// # Edge cases
/// The score is 0 when nothing matches at all, whatever the smoothing, and when some order has no
/// n-gram at all (unless `effective_order`). BP is 0 when the hypotheses are empty and the
/// references are not.
///
/// # Panics
/// If there is no reference stream, or one whose length is not that of `hypotheses`.
///
/// # Examples
/// ```
/// use termwise_ops::metrics::{BleuOptions, corpus_bleu};
///
/// let hypotheses = ["the cat sat on a mat"];
/// let references = [["the cat sat on the mat"]];
/// let bleu = corpus_bleu(&hypotheses, &references, &BleuOptions::default());
/// // Matches 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples.
/// assert_eq!(bleu.counts, [5.0, 3.0, 2.0, 1.0]);
/// let precisions: f64 = (5.0 / 6.0) * (3.0 / 5.0) * (2.0 / 4.0) * (1.0 / 3.0);
/// assert!((bleu.score - 100.0 * precisions.powf(0.25)).abs() < 1e-12);
/// assert_eq!(
///     bleu.to_string(),
///     "BLEU = 53.73 83.3/60.0/50.0/33.3 (BP = 1.000 ratio = 1.000 hyp_len = 6 ref_len = 6)"
/// );
/// ```
#[track_caller]
pub fn corpus_bleu<H, R, S>(hypotheses: &[H], references: &[R], options: &BleuOptions) -> BleuScore
where
    H: AsRef<str>,
    R: AsRef<[S]>,
    S: AsRef<str>,
{
    assert!(!references.is_empty(), "corpus_bleu: no reference stream");
    for (stream, lines) in references.iter().enumerate() {
        assert!(
            lines.as_ref().len() == hypotheses.len(),
            "corpus_bleu: references[{stream}] has {} lines, hypotheses has {}",
            lines.as_ref().len(),
            hypotheses.len()
        );
    }
    let mut statistics = BleuStatistics::new(options.max_order);
    for (i, hypothesis) in hypotheses.iter().enumerate() {
        let hypothesis = options.tokenize(hypothesis.as_ref());
        let segment_references: Vec<String> =
            references.iter().map(|lines| options.tokenize(lines.as_ref()[i].as_ref())).collect();
        let hypothesis: Vec<&str> = words(&hypothesis).collect();
        let segment_references: Vec<Vec<&str>> =
            segment_references.iter().map(|line| words(line).collect()).collect();
        statistics.add_segment(&hypothesis, &segment_references);
    }
    statistics.score(options.smoothing, options.effective_order)
}

/// The sums of each sentence apart, one reference each: what a score of any choice of the sentences is made of, by
/// [`BleuStatistics::merge`].
///
/// # Panics
/// If there are not as many references as hypotheses.
#[track_caller]
pub fn sentence_statistics<H: AsRef<str>, R: AsRef<str>>(
    hypotheses: &[H],
    references: &[R],
    options: &BleuOptions,
) -> Vec<BleuStatistics> {
    assert!(
        hypotheses.len() == references.len(),
        "sentence_statistics: {} hypotheses and {} references",
        hypotheses.len(),
        references.len()
    );
    let tokens = |line: &str| words(&options.tokenize(line)).map(str::to_owned).collect::<Vec<_>>();
    let one = |(hypothesis, reference): (&H, &R)| {
        let mut statistics = BleuStatistics::new(options.max_order);
        statistics.add_segment(&tokens(hypothesis.as_ref()), &[tokens(reference.as_ref())]);
        statistics
    };
    hypotheses.iter().zip(references).map(one).collect()
}

/// The sums that BLEU is made of: they stream, and those of two halves of a corpus merge.
///
/// ```
/// use termwise_ops::metrics::{BleuOptions, corpus_bleu, sentence_statistics};
/// let (hypotheses, references) = (["a b c d", "a b x y"], ["a b c d", "a b c d"]);
/// let options = BleuOptions { max_order: 2, ..BleuOptions::default() };
/// let sentences = sentence_statistics(&hypotheses, &references, &options);
/// let score = |statistics: &termwise_ops::metrics::BleuStatistics| {
///     statistics.score(options.smoothing, options.effective_order).score
/// };
/// assert!((score(&sentences[0]) - 100.0).abs() < 1e-9);
/// let mut corpus = sentences[0].clone();
/// corpus.merge(&sentences[1]);
/// // Six of eight words, four of six pairs.
/// assert!((score(&corpus) - 100.0 * (6.0 / 8.0 * 4.0 / 6.0f64).sqrt()).abs() < 1e-9);
/// assert_eq!(score(&corpus), corpus_bleu(&hypotheses, &[references], &options).score);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BleuStatistics {
    matches: Vec<u64>,
    totals: Vec<u64>,
    sys_len: u64,
    ref_len: u64,
}

impl BleuStatistics {
    /// No segment yet, n-grams up to `max_order`.
    ///
    /// # Panics
    /// If `max_order` is 0.
    #[track_caller]
    pub fn new(max_order: usize) -> Self {
        assert!(max_order > 0, "BleuStatistics: max_order is 0");
        Self { matches: vec![0; max_order], totals: vec![0; max_order], sys_len: 0, ref_len: 0 }
    }

    /// Counts one segment. Tokens may be words or vocabulary ids.
    ///
    /// # Panics
    /// If there is no reference.
    #[track_caller]
    pub fn add_segment<T, R>(&mut self, hypothesis: &[T], references: &[R])
    where
        T: Eq + Hash,
        R: AsRef<[T]>,
    {
        let closest = references
            .iter()
            .map(|reference| reference.as_ref().len())
            .min_by_key(|&length| (length.abs_diff(hypothesis.len()), length))
            .expect("BleuStatistics::add_segment: no reference");
        self.sys_len += hypothesis.len() as u64;
        self.ref_len += closest as u64;

        for order in 1..=self.matches.len() {
            let mut available: HashMap<&[T], u64> = HashMap::new();
            for reference in references {
                for (ngram, count) in count_ngrams(reference.as_ref(), order) {
                    let most = available.entry(ngram).or_default();
                    *most = count.max(*most);
                }
            }
            for (ngram, count) in count_ngrams(hypothesis, order) {
                self.totals[order - 1] += count;
                self.matches[order - 1] += count.min(*available.get(ngram).unwrap_or(&0));
            }
        }
    }

    /// Adds the segments counted by `other`.
    ///
    /// # Panics
    /// If the two count different orders.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        assert!(
            self.matches.len() == other.matches.len(),
            "BleuStatistics::merge: max_order {} and {} differ",
            self.matches.len(),
            other.matches.len()
        );
        let add = |into: &mut [u64], from: &[u64]| {
            into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        };
        add(&mut self.matches, &other.matches);
        add(&mut self.totals, &other.totals);
        self.sys_len += other.sys_len;
        self.ref_len += other.ref_len;
    }

    /// The score of all segments so far.
    pub fn score(&self, smoothing: Smoothing, effective_order: bool) -> BleuScore {
        let max_order = self.matches.len();
        let bp = match (self.sys_len, self.ref_len) {
            (c, r) if c >= r => 1.0,
            (0, _) => 0.0,
            (c, r) => (1.0 - r as f64 / c as f64).exp(),
        };
        let mut result = BleuScore {
            score: 0.0,
            counts: self.matches.iter().map(|&count| count as f64).collect(),
            totals: self.totals.iter().map(|&count| count as f64).collect(),
            precisions: vec![0.0; max_order],
            bp,
            sys_len: self.sys_len,
            ref_len: self.ref_len,
        };
        if self.matches.iter().all(|&count| count == 0) {
            return result;
        }

        let mut averaged_orders = max_order;
        let mut exp_divisor = 1.0;
        for n in 0..max_order {
            if let Smoothing::AddK(k) = smoothing
                && n > 0
            {
                result.counts[n] += k;
                result.totals[n] += k;
            }
            let (count, total) = (result.counts[n], result.totals[n]);
            if total == 0.0 {
                break;
            }
            if effective_order {
                averaged_orders = n + 1;
            }
            result.precisions[n] = if count > 0.0 {
                100.0 * count / total
            } else {
                match smoothing {
                    Smoothing::Exp => {
                        exp_divisor *= 2.0;
                        100.0 / (exp_divisor * total)
                    }
                    Smoothing::Floor(value) => 100.0 * value / total,
                    Smoothing::None | Smoothing::AddK(_) => 0.0,
                }
            };
        }
        // ln 0 = -inf, and exp(-inf) = 0: an order at 0 makes the score 0.
        let log_sum: f64 = result.precisions[..averaged_orders].iter().map(|p| p.ln()).sum();
        result.score = bp * (log_sum / averaged_orders as f64).exp();
        result
    }
}

fn count_ngrams<T: Eq + Hash>(tokens: &[T], order: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(order) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// A BLEU score and the figures it is made of. Prints as sacrebleu prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BleuScore {
    /// BLEU, in [0, 100] up to rounding.
    pub score: f64,
    /// Clipped matches per order; [`Smoothing::AddK`] shows in them.
    pub counts: Vec<f64>,
    /// Hypothesis n-grams per order; [`Smoothing::AddK`] shows in them.
    pub totals: Vec<f64>,
    /// Precision per order after smoothing, in percent. 0 for every order when nothing matches.
    pub precisions: Vec<f64>,
    /// Brevity penalty.
    pub bp: f64,
    /// Tokens in the hypotheses.
    pub sys_len: u64,
    /// Tokens in the closest references.
    pub ref_len: u64,
}

impl fmt::Display for BleuScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precisions: Vec<String> = self.precisions.iter().map(|p| format!("{p:.1}")).collect();
        let ratio = match self.ref_len {
            0 => 0.0,
            r => self.sys_len as f64 / r as f64,
        };
        write!(
            f,
            "BLEU = {:.2} {} (BP = {:.3} ratio = {ratio:.3} hyp_len = {} ref_len = {})",
            self.score,
            precisions.join("/"),
            self.bp,
            self.sys_len,
            self.ref_len
        )
    }
}
