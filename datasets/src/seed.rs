//! Random streams that are pure functions of a seed and of counters.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// For fitting parameters.
    Train,
    /// For choosing settings.
    Val,
    /// For the figures that are reported.
    Test,
}

impl Split {
    /// `train`, `val` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// What a stream is used for: two uses never share a stream, whatever their counters.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    Scene = 1,
    Augmentation = 2,
    Order = 3,
    BatchOrder = 4,
    Grammar = 5,
}

impl From<Use> for u64 {
    fn from(purpose: Use) -> u64 {
        purpose as u64
    }
}

/// The stream of one use, which has a number, for a seed and two counters. The four values fill ChaCha's key, so distinct
/// values give independent streams. The uses 1 to 5 are those of this crate.
///
/// # Examples
/// ```
/// use rand::RngExt;
/// use termwise_datasets::stream;
/// let draws = |epoch| -> [u32; 4] { stream(77u64, 1, epoch, 0).random() };
/// assert_eq!(draws(3), draws(3));
/// assert_ne!(draws(3), draws(4));
/// ```
pub fn stream(purpose: impl Into<u64>, seed: u64, major: u64, minor: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, value) in key.chunks_exact_mut(8).zip([purpose.into(), seed, major, minor]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// Puts items into a random order, every one equally likely.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last as u64) as usize); // u64: the same on every machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_changes_the_stream() {
        let first = |purpose, seed, major, minor| stream(purpose, seed, major, minor).random::<u64>();
        let base = first(Use::Scene, 1, 2, 3);
        assert_eq!(base, first(Use::Scene, 1, 2, 3));
        let others = [
            first(Use::Order, 1, 2, 3),
            first(Use::Scene, 1 << 40, 2, 3),
            first(Use::Scene, 1, 3, 2),
            first(Use::Scene, 1, 2, 1 << 40),
        ];
        assert!(others.iter().all(|other| *other != base), "{base} {others:?}");
    }
}
