//! Greedy search and beam search, for anything that says how likely each next token is.

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};
use termwise_datasets::bpe::Bpe;

/// Sequences that grow token by token.
///
/// [`greedy_search`] and [`beam_search`] have examples of one that is a table.
pub trait NextToken {
    /// How many there are.
    fn rows(&self) -> usize;

    /// Takes the newest token of each, and says the log-probability of each token to come after it.
    fn step(&mut self, tokens: &[u32]) -> Array2<f32>; // (rows, V)

    /// Sequence `i` goes on from `rows[i]`. Those of a sentence stand side by side, as many of each sentence;
    /// sentences keep their order, and some end.
    fn select(&mut self, rows: &[usize]);
}

/// The tokens that a search must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Starts a sentence.
    pub bos: u32,
    /// Ends it.
    pub eos: u32,
    /// Tokens below this one other than `eos` never come in a translation.
    pub first: u32,
}

impl Default for Vocabulary {
    /// That of [`Bpe`].
    fn default() -> Self {
        Vocabulary { bos: Bpe::BOS, eos: Bpe::EOS, first: Bpe::UNK + 1 }
    }
}

impl Vocabulary {
    fn allows(self, token: usize) -> bool {
        token >= self.first as usize || token == self.eos as usize
    }
}

/// How to search.
///
/// ```
/// use termwise_models::translation::SearchOptions;
/// let options = SearchOptions::default();
/// assert_eq!(options.bound(20), 40); // 1.5 times 20, and 10 besides
/// assert_eq!(options.bound(1000), 512);
/// assert_eq!(options.score(-6.0, 7), -3.0); // -6 / ((5 + 7) / 6)
/// assert_eq!(SearchOptions { length_penalty: 0.0, ..options }.score(-6.0, 7), -6.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchOptions {
    /// Hypotheses that are kept at each step; 1 is greedy search.
    pub beam: usize,
    /// alpha: a hypothesis of n tokens, the end included, scores `log p / ((5 + n) / 6)^alpha` (Wu et al. 2016).
    /// 0 compares probabilities as they are, which favours short sentences.
    pub length_penalty: f64,
    /// A translation has at most so many tokens for each of its source, ...
    pub length_factor: f64,
    /// ... and so many besides, ...
    pub length_extra: usize,
    /// ... and no more than this in any case.
    pub max_length: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        SearchOptions { beam: 5, length_penalty: 1.0, length_factor: 1.5, length_extra: 10, max_length: 512 }
    }
}

impl SearchOptions {
    /// Greedy search within the same bounds.
    pub fn greedy() -> Self {
        SearchOptions { beam: 1, ..SearchOptions::default() }
    }

    /// The most tokens of a translation of `source` tokens, the end left out.
    pub fn bound(&self, source: usize) -> usize {
        let bound = (self.length_factor * source as f64).min(self.max_length as f64) as usize;
        bound.saturating_add(self.length_extra).min(self.max_length)
    }

    /// The score of a finished hypothesis with `length` tokens, the end included.
    pub fn score(&self, log_probability: f64, length: usize) -> f64 {
        log_probability / ((5.0 + length as f64) / 6.0).powf(self.length_penalty)
    }
}

/// A translation.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// Its tokens, without the end.
    pub tokens: Vec<u32>,
    /// The logarithm of its probability, that of the end included.
    pub log_probability: f64,
    /// What hypotheses are compared by.
    pub score: f64,
}

/// Takes the likeliest token at each step until that is the end, or there are `bounds[i]` tokens.
///
/// # Panics
/// If there is not one bound per row.
///
/// # Examples
/// ```
/// use ndarray::{Array2, arr2};
/// use termwise_models::translation::{NextToken, SearchOptions, Vocabulary, greedy_search};
/// /// What comes after a token depends on that one alone.
/// struct Table(Array2<f32>, usize);
/// impl NextToken for Table {
///     fn rows(&self) -> usize { self.1 }
///     fn step(&mut self, tokens: &[u32]) -> Array2<f32> {
///         Array2::from_shape_fn((self.1, 4), |(row, next)| self.0[[tokens[row] as usize, next]].ln())
///     }
///     fn select(&mut self, rows: &[usize]) { self.1 = rows.len() }
/// }
/// let vocabulary = Vocabulary { bos: 0, eos: 1, first: 2 };
/// // From each token to 0 (the beginning), 1 (the end), 2 and 3.
/// let table = arr2(&[[0.0, 0.0, 0.6, 0.4], [0.0; 4], [0.0, 0.5, 0.25, 0.25], [0.0, 0.9, 0.1, 0.0]]);
/// let mut model = Table(table, 1);
/// let found = greedy_search(&mut model, &[8], vocabulary, &SearchOptions::greedy());
/// assert_eq!(found[0].tokens, [2]); // 0.6 to begin with, and then the end
/// assert!((found[0].log_probability - 0.3f64.ln()).abs() < 1e-6);
/// ```
#[track_caller]
pub fn greedy_search(
    model: &mut dyn NextToken,
    bounds: &[usize],
    vocabulary: Vocabulary,
    options: &SearchOptions,
) -> Vec<Hypothesis> {
    check_bounds(model, bounds);
    let mut found: Vec<Hypothesis> = Vec::new();
    found.resize(bounds.len(), Hypothesis { tokens: Vec::new(), log_probability: 0.0, score: 0.0 });
    let mut live: Vec<usize> = (0..bounds.len()).collect();
    while !live.is_empty() {
        let last: Vec<u32> =
            live.iter().map(|&i| *found[i].tokens.last().unwrap_or(&vocabulary.bos)).collect();
        let scores = model.step(&last);
        let mut rows = Vec::new();
        for (row, &i) in live.iter().enumerate() {
            let Hypothesis { tokens, log_probability, score } = &mut found[i];
            let (token, p) = match tokens.len() == bounds[i] {
                true => (vocabulary.eos, scores[[row, vocabulary.eos as usize]]),
                false => best(scores.row(row), 1, vocabulary)[0],
            };
            *log_probability += f64::from(p);
            if token == vocabulary.eos {
                *score = options.score(*log_probability, tokens.len() + 1);
            } else {
                tokens.push(token);
                rows.push(row);
            }
        }
        if rows.len() < live.len() && !rows.is_empty() {
            model.select(&rows);
        }
        live = rows.into_iter().map(|row| live[row]).collect();
    }
    found
}

/// A sentence that is being translated.
struct Sentence {
    index: usize,
    /// Tokens and log-probability; as many for every sentence. Those that are not possible are there to fill up.
    beams: Vec<(Vec<u32>, f64)>,
    finished: Vec<Hypothesis>,
}

/// Keeps the `options.beam` likeliest beginnings of each sentence at each step.
///
/// A hypothesis is finished where its end is among the likeliest `beam` continuations. A sentence is done when `beam`
/// are finished, or when no beginning can still become better than the best finished one. After `bounds[i]` tokens
/// only the end may follow. Of equally likely ones the first in the beam, then the smaller token counts as likelier.
///
/// The hypotheses of a sentence come best first; there is at least one.
///
/// # Panics
/// If there is not one bound per row, or the beam is 0.
///
/// # Examples
/// The table of [`greedy_search`], where the likelier beginning is not that of the likelier sentence:
/// ```
/// use ndarray::{Array2, arr2};
/// use termwise_models::translation::{NextToken, SearchOptions, Vocabulary, beam_search};
/// # struct Table(Array2<f32>, usize);
/// # impl NextToken for Table {
/// #     fn rows(&self) -> usize { self.1 }
/// #     fn step(&mut self, tokens: &[u32]) -> Array2<f32> {
/// #         Array2::from_shape_fn((self.1, 4), |(row, next)| self.0[[tokens[row] as usize, next]].ln())
/// #     }
/// #     fn select(&mut self, rows: &[usize]) { self.1 = rows.len() }
/// # }
/// # let vocabulary = Vocabulary { bos: 0, eos: 1, first: 2 };
/// // From each token to 0 (the beginning), 1 (the end), 2 and 3.
/// let table = arr2(&[[0.0, 0.0, 0.6, 0.4], [0.0; 4], [0.0, 0.5, 0.25, 0.25], [0.0, 0.9, 0.1, 0.0]]);
/// let mut model = Table(table, 1);
/// let options = SearchOptions { beam: 2, length_penalty: 0.0, ..SearchOptions::default() };
/// let found = beam_search(&mut model, &[8], vocabulary, &options).remove(0);
/// assert_eq!((&found[0].tokens, &found[1].tokens), (&vec![3], &vec![2]));
/// assert!((found[0].log_probability - 0.36f64.ln()).abs() < 1e-6); // 0.4 times 0.9
/// assert!((found[1].log_probability - 0.3f64.ln()).abs() < 1e-6); // 0.6 times 0.5
/// ```
#[track_caller]
pub fn beam_search(
    model: &mut dyn NextToken,
    bounds: &[usize],
    vocabulary: Vocabulary,
    options: &SearchOptions,
) -> Vec<Vec<Hypothesis>> {
    check_bounds(model, bounds);
    let beam = options.beam;
    assert!(beam > 0, "beam_search: a beam of 0 finds nothing");
    let start = |index| Sentence { index, beams: vec![(Vec::new(), 0.0)], finished: Vec::new() };
    let mut live: Vec<Sentence> = (0..bounds.len()).map(start).collect();
    let mut found: Vec<Vec<Hypothesis>> = Vec::new();
    found.resize_with(bounds.len(), Vec::new);
    while !live.is_empty() {
        let beams = live.iter().flat_map(|sentence| &sentence.beams);
        let last: Vec<u32> = beams.map(|(tokens, _)| *tokens.last().unwrap_or(&vocabulary.bos)).collect();
        let scores = model.step(&last);
        let mut rows = Vec::with_capacity(live.len() * beam);
        let mut first = 0;
        live.retain_mut(|sentence| {
            let count = sentence.beams.len();
            let from = sentence.advance(&scores, first, bounds, vocabulary, options);
            let goes_on = !from.is_empty();
            rows.extend(from.into_iter().map(|beam| first + beam));
            first += count;
            if !goes_on {
                sentence.finished.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable
                found[sentence.index] = std::mem::take(&mut sentence.finished);
            }
            goes_on
        });
        if !live.is_empty() && !rows.iter().copied().eq(0..first) {
            model.select(&rows);
        }
    }
    found
}

impl Sentence {
    /// Takes one step with the scores from row `first` on; the beam that each new one goes on from, or nothing
    /// where the sentence is done.
    fn advance(
        &mut self,
        scores: &Array2<f32>,
        first: usize,
        bounds: &[usize],
        vocabulary: Vocabulary,
        options: &SearchOptions,
    ) -> Vec<usize> {
        let (beam, bound) = (options.beam, bounds[self.index]);
        let length = self.beams[0].0.len() + 1;
        let mut candidates: Vec<(usize, u32, f64)> = Vec::new();
        for (i, (_, total)) in self.beams.iter().enumerate() {
            let row = scores.row(first + i);
            let next = match length > bound {
                true => vec![(vocabulary.eos, row[vocabulary.eos as usize])],
                // As at most one of them is the end, enough others are left.
                false => best(row, beam + 1, vocabulary),
            };
            candidates.extend(next.into_iter().map(|(token, p)| (i, token, total + f64::from(p))));
        }
        candidates.sort_by(|a, b| b.2.total_cmp(&a.2)); // stable
        let mut next: Vec<(usize, (Vec<u32>, f64))> = Vec::with_capacity(beam);
        for (rank, &(i, token, total)) in candidates.iter().enumerate() {
            if next.len() == beam {
                break;
            }
            if token != vocabulary.eos {
                let tokens = [self.beams[i].0.as_slice(), &[token]].concat();
                next.push((i, (tokens, total)));
            } else if rank < beam && total > f64::NEG_INFINITY || length > bound {
                let tokens = self.beams[i].0.clone();
                let score = options.score(total, length);
                self.finished.push(Hypothesis { tokens, log_probability: total, score });
            }
        }
        if next.first().is_none_or(|(_, (_, total))| self.is_done(*total, length + 1, bound + 1, options)) {
            return Vec::new();
        }
        // A small vocabulary may have fewer continuations than the beam is wide.
        let filler = (next[0].0, (next[0].1.0.clone(), f64::NEG_INFINITY));
        next.resize(beam, filler);
        let (from, beams) = next.into_iter().unzip();
        self.beams = beams;
        from
    }

    /// Whether enough is finished, or what is finished cannot be surpassed by a beginning of log-probability `total`
    /// that will have `shortest` to `longest` tokens.
    fn is_done(&self, total: f64, shortest: usize, longest: usize, options: &SearchOptions) -> bool {
        let best = self.finished.iter().map(|hypothesis| hypothesis.score).reduce(f64::max);
        let reachable = options.score(total, shortest).max(options.score(total, longest));
        best.is_some_and(|best| self.finished.len() >= options.beam || best >= reachable)
    }
}

/// The `count` likeliest tokens, likeliest first, of equal ones the smallest first; at least one.
fn best(scores: ArrayView1<f32>, count: usize, vocabulary: Vocabulary) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, &score) in scores.iter().enumerate() {
        let full = best.len() == count;
        if full && best[count - 1].1 >= score || !vocabulary.allows(token) {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= score);
        best.insert(place, (token as u32, score));
        best.truncate(count);
    }
    best
}

#[track_caller]
fn check_bounds(model: &dyn NextToken, bounds: &[usize]) {
    assert!(
        bounds.len() == model.rows(),
        "search: {} bounds of length for {} sentences",
        bounds.len(),
        model.rows()
    );
}
