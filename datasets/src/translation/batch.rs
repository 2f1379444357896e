//! From sentences to padded arrays.

use ndarray::{Array2, s};
use rayon::prelude::*;

use super::ParallelText;
use crate::batch::EpochShuffler;
use crate::bpe::Bpe;
use crate::seed::{Use, shuffle, stream};

/// A pair of sentences as tokens, without `BOS` and `EOS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// The sentence to translate.
    pub source: Vec<u32>,
    /// Its translation.
    pub target: Vec<u32>,
}

impl TokenPair {
    /// The tokens of every pair, several at a time, in order.
    pub fn encode_all(text: &ParallelText, bpe: &Bpe) -> Vec<Self> {
        let encode = |(source, target): (&String, &String)| Self {
            source: bpe.encode(source),
            target: bpe.encode(target),
        };
        (text.source(), text.target()).into_par_iter().map(encode).collect()
    }

    /// The longer side with its `EOS`.
    pub(super) fn padded_len(&self) -> usize {
        self.source.len().max(self.target.len()) + 1
    }
}

/// Batches of sentences of like length: a pure function of (lengths, budget, seed, epoch).
///
/// Sentences are shuffled, sorted by the length of their longer side (equally long ones stay shuffled), cut into
/// batches, and the batches are shuffled.
///
/// # Examples
/// ```
/// use termwise_datasets::translation::{TokenBatches, TokenPair};
/// // With an EOS the longer sides have 2, 6 and 3 tokens.
/// let pair = |source, target| TokenPair { source: vec![9; source], target: vec![9; target] };
/// let pairs = [pair(1, 1), pair(2, 5), pair(2, 1)];
/// let batches = TokenBatches::new(&pairs, 6, 1);
/// assert_eq!(batches.sorted(), [vec![0, 2], vec![1]]); // 2 sentences of 3 tokens, 1 of 6
/// assert_eq!(TokenBatches::new(&pairs, 5, 1).sorted(), [[0], [2], [1]]); // the last is larger than the budget
/// let mut epoch = batches.epoch(4);
/// epoch.sort();
/// assert_eq!(epoch, batches.sorted()); // an epoch shuffles; here lengths leave one way to cut
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatches {
    lengths: Vec<usize>,
    budget: usize,
    seed: u64,
}

impl TokenBatches {
    /// For batches of at most `budget` tokens on either side, padding included. A sentence that is longer than the
    /// budget is a batch of its own.
    pub fn new(pairs: &[TokenPair], budget: usize, seed: u64) -> Self {
        Self { lengths: pairs.iter().map(TokenPair::padded_len).collect(), budget, seed }
    }

    /// The batches of an epoch, as indices of the pairs; every pair is in one of them.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut batches = self.cut(EpochShuffler::new(self.lengths.len(), self.seed).order(epoch));
        let mut rng = stream(Use::BatchOrder, self.seed, epoch, self.lengths.len() as u64);
        shuffle(&mut batches, &mut rng);
        batches
    }

    /// The batches in order of length, nothing shuffled: for evaluation.
    pub fn sorted(&self) -> Vec<Vec<usize>> {
        self.cut((0..self.lengths.len()).collect())
    }

    fn cut(&self, mut order: Vec<usize>) -> Vec<Vec<usize>> {
        order.sort_by_key(|&index| self.lengths[index]); // stable
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for index in order {
            match batches.last_mut() {
                // In this order the newest is the longest, to which all others are padded.
                Some(batch) if (batch.len() + 1) * self.lengths[index] <= self.budget => batch.push(index),
                _ => batches.push(vec![index]),
            }
        }
        batches
    }
}

/// Sequences of different lengths in one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padded {
    /// The tokens, [`Bpe::PAD`] behind the end of a sequence.
    pub tokens: Array2<i64>, // (N, L)
    /// The length of each sequence.
    pub lengths: Vec<usize>, // (N)
}

impl Padded {
    /// Pads sequences to the longest, at least to length 1.
    ///
    /// ```
    /// use ndarray::array;
    /// use termwise_datasets::translation::Padded;
    /// let padded = Padded::stack([[7, 8].as_slice(), &[9]]);
    /// assert_eq!(padded.tokens, array![[7, 8], [9, 0]]);
    /// assert_eq!(padded.lengths, [2, 1]);
    /// ```
    pub fn stack<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let sequences: Vec<&[u32]> = sequences.into_iter().collect();
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
        let mut tokens = Array2::from_elem((sequences.len(), longest), i64::from(Bpe::PAD));
        for (sequence, mut row) in sequences.into_iter().zip(tokens.outer_iter_mut()) {
            for (token, place) in sequence.iter().zip(row.slice_mut(s![..sequence.len()])) {
                *place = i64::from(*token);
            }
        }
        Self { tokens, lengths }
    }
}

/// What a training step of a translator needs. The fields are those of a target `a b`; S and T are the longest source
/// and target, plus 1.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_datasets::translation::{TokenPair, TranslationBatch};
/// let pairs = [
///     TokenPair { source: vec![9], target: vec![7, 8] },
///     TokenPair { source: vec![5, 6], target: vec![4] },
/// ];
/// let batch = TranslationBatch::stack(&pairs); // PAD is 0, BOS 1, EOS 2
/// assert_eq!(batch.source.tokens, array![[9, 2, 0], [5, 6, 2]]);
/// assert_eq!(batch.decoder_input.tokens, array![[1, 7, 8], [1, 4, 0]]);
/// assert_eq!(batch.decoder_output.tokens, array![[7, 8, 2], [4, 2, 0]]);
/// assert_eq!((batch.source.lengths, batch.decoder_output.lengths), (vec![2, 3], vec![3, 2]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslationBatch {
    /// The sources, each with its `EOS`.
    pub source: Padded, // (N, S)
    /// What the decoder is given: `BOS a b`.
    pub decoder_input: Padded, // (N, T)
    /// What the decoder shall say: `a b EOS`. `PAD` is to be left out of the loss.
    pub decoder_output: Padded, // (N, T)
}

impl TranslationBatch {
    /// Stacks pairs in their order.
    pub fn stack<'a>(pairs: impl IntoIterator<Item = &'a TokenPair>) -> Self {
        let pairs: Vec<&TokenPair> = pairs.into_iter().collect();
        let pad = |sequence: &dyn Fn(&TokenPair) -> Vec<u32>| {
            let sequences: Vec<Vec<u32>> = pairs.iter().map(|pair| sequence(pair)).collect();
            Padded::stack(sequences.iter().map(Vec::as_slice))
        };
        Self {
            source: pad(&|pair| [pair.source.as_slice(), &[Bpe::EOS]].concat()),
            decoder_input: pad(&|pair| [&[Bpe::BOS], pair.target.as_slice()].concat()),
            decoder_output: pad(&|pair| [pair.target.as_slice(), &[Bpe::EOS]].concat()),
        }
    }
}
