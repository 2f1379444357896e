//! English sentences and their German translations, made from a seed by a grammar.
//!
//! A model cannot translate them word by word. The German has
//!
//! - the finite verb second in main clauses, whatever comes first (*Heute kauft der Mann ein Buch*), first in
//!   questions, and last in clauses with *weil*, *dass*, *wenn*;
//! - separable verbs (*sie macht die Tür auf*, *weil sie die Tür aufmacht*, *sie will die Tür aufmachen*);
//! - the perfect for the English past, with the participle last and *haben* or *sein* (*er ist gestern angekommen*);
//! - modal verbs with the infinitive last;
//! - articles, adjectives (weak, mixed and strong), pronouns and nouns (the weak declension and the dative plural
//!   too) in nominative, accusative and dative, singular and plural, by verb and preposition;
//! - pronouns for things by gender (*er kauft den Tisch, weil er neu ist*), and pronouns before times before nouns.
//!
//! The splits have no sentence in common, whatever the seeds: the split of a sentence follows from its English words.
//!
//! ```
//! use termwise_datasets::{Split, grammar::Grammar};
//!
//! let grammar = Grammar::new(7);
//! let val = grammar.text(Split::Val, 100);
//! assert_eq!((val.len(), val.languages()), (100, ("en", "de")));
//! let (english, german) = val.pairs().next().unwrap();
//! assert_eq!(grammar.text(Split::Val, 1).pairs().next(), Some((english, german)));
//! assert!(english.ends_with(['.', '?']) && german.ends_with(['.', '?']));
//! ```

mod clause;
mod draw;
#[cfg(test)]
mod forms;
mod inflect;
mod lexicon;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::seed::{Split, Use, stream};
use crate::translation::ParallelText;
use draw::Draw;

/// A generator of sentence pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grammar {
    seed: u64,
}

impl Grammar {
    /// A generator; everything that it makes is a function of the seed, the split and the index.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Sentence `index` of a split, English and German. Some indices give the same sentence.
    ///
    /// # Examples
    /// ```
    /// use termwise_datasets::{Split, grammar::Grammar};
    /// let (english, german) = Grammar::new(7).sentence(Split::Train, 36);
    /// assert_eq!(english, "He closes our window when the uncles see us in the school.");
    /// assert_eq!(german, "Er macht unser Fenster zu, wenn die Onkel uns in der Schule sehen.");
    /// ```
    pub fn sentence(&self, split: Split, index: u64) -> (String, String) {
        let mut rng = stream(Use::Grammar, self.seed, split as u64, index);
        loop {
            let (english, german) = Draw { rng: &mut rng }.sentence();
            if split_of(&english) == split {
                return (english, german);
            }
        }
    }

    /// The first `count` different sentences of a split. A longer text starts with the shorter one.
    ///
    /// # Panics
    /// Where `count` is 0.
    #[track_caller]
    pub fn text(&self, split: Split, count: usize) -> ParallelText {
        assert!(count > 0, "Grammar::text: expected at least one sentence, found 0");
        let mut seen = HashSet::with_capacity(count);
        let (mut source, mut target) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for index in 0.. {
            if source.len() == count {
                break;
            }
            let (english, german) = self.sentence(split, index);
            if seen.insert(english.clone()) {
                source.push(english);
                target.push(german);
            }
        }
        ParallelText::new(("en".to_owned(), "de".to_owned()), source, target)
    }
}

/// The split that a sentence belongs to: of ten, one to validation and one to test.
fn split_of(english: &str) -> Split {
    // FNV-1a, whose high bits are well mixed.
    let hash = english.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    match (hash >> 32) % 10 {
        0 => Split::Val,
        1 => Split::Test,
        _ => Split::Train,
    }
}
