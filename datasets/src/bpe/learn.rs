//! Finding the merges.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use super::{FIRST_BYTE, FIRST_MERGE};

type Pair = (u32, u32);

struct Word {
    tokens: Vec<u32>,
    count: u64,
}

/// The merges of the pieces with their counts, at most `limit`.
pub(super) fn merges(counts: HashMap<String, u64>, limit: usize) -> Vec<Pair> {
    let counts: BTreeMap<String, u64> = counts.into_iter().collect(); // from here on nothing depends on hashes
    let tokens = |piece: &str| piece.bytes().map(|byte| FIRST_BYTE + u32::from(byte)).collect();
    let mut words: Vec<Word> =
        counts.iter().map(|(piece, &count)| Word { tokens: tokens(piece), count }).collect();
    let mut table = Table::default();
    for (index, word) in words.iter().enumerate() {
        for pair in word.tokens.windows(2) {
            table.add((pair[0], pair[1]), word.count, index);
        }
    }
    table.queue = table.pairs.iter().map(|(pair, (count, _))| (*count, Reverse(*pair))).collect();
    let mut merges = Vec::new();
    while merges.len() < limit {
        let Some(pair) = table.most_frequent() else { break };
        let id = FIRST_MERGE + merges.len() as u32;
        merges.push(pair);
        let (_, places) = table.pairs.remove(&pair).unwrap_or_default();
        let mut changed = HashSet::new();
        for index in places {
            join(&mut words[index], index, pair, id, &mut table, &mut changed);
        }
        for pair in changed {
            if let Some((count, _)) = table.pairs.get(&pair) {
                table.queue.push((*count, Reverse(pair)));
            }
        }
    }
    merges
}

/// How often each pair stands in all words, and in which words (perhaps in some where it no longer does).
#[derive(Default)]
struct Table {
    pairs: HashMap<Pair, (u64, HashSet<usize>)>,
    /// Counts that may be out of date: checked when they come up. The smaller pair is the greater entry.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Table {
    fn add(&mut self, pair: Pair, count: u64, word: usize) {
        let entry = self.pairs.entry(pair).or_default();
        entry.0 += count;
        entry.1.insert(word);
    }

    fn take(&mut self, pair: Pair, count: u64) {
        if let Some(entry) = self.pairs.get_mut(&pair) {
            entry.0 -= count;
        }
    }

    /// The most frequent pair that comes at least twice.
    fn most_frequent(&mut self) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            if count >= 2 && self.pairs.get(&pair).is_some_and(|(now, _)| *now == count) {
                return Some(pair);
            }
        }
        None
    }
}

/// Joins a pair wherever it stands in a word, from the left, and counts the pairs of the word anew.
fn join(word: &mut Word, index: usize, pair: Pair, id: u32, table: &mut Table, changed: &mut HashSet<Pair>) {
    let old = std::mem::take(&mut word.tokens);
    let mut new = Vec::with_capacity(old.len());
    let mut at = 0;
    while at < old.len() {
        if old[at..].starts_with(&[pair.0, pair.1]) {
            new.push(id);
            at += 2;
        } else {
            new.push(old[at]);
            at += 1;
        }
    }
    if new.len() < old.len() {
        for gone in old.windows(2).map(|gone| (gone[0], gone[1])).filter(|gone| *gone != pair) {
            table.take(gone, word.count);
            changed.insert(gone);
        }
        for come in new.windows(2).map(|come| (come[0], come[1])) {
            table.add(come, word.count, index);
            changed.insert(come);
        }
    }
    word.tokens = new;
}
