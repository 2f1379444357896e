//! Byte-pair encoding, learned on the training text and saved with a model.
//!
//! Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016, on bytes as in
//! Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
//!
//! The ids of the tokens are
//!
//! | ids | token |
//! |---|---|
//! | 0, 1, 2, 3 | [`Bpe::PAD`], [`Bpe::BOS`], [`Bpe::EOS`], [`Bpe::UNK`] |
//! | 4 to 259 | the bytes 0 to 255 |
//! | from 260 | two earlier tokens joined, in the order in which they were learned |
//!
//! A text gets one space in front (so that the first word looks like any other), and is cut into pieces: runs of
//! letters, runs of digits, single other characters, each with the space before it; pieces of more than 64 bytes are
//! cut. Pairs of tokens are joined inside of a piece only. Learning joins the most frequent pair, of equally frequent
//! ones that with the smaller ids, until the vocabulary is full or no pair comes twice; it is a pure function of the
//! lines and their counts, whatever their order. No token is ever unknown, as every byte has one, so that
//! `decode(encode(x)) == x` for every text: there is no normalisation. `UNK` stands in the vocabulary for models that
//! need such a token, and decodes to U+FFFD.
//!
//! ```
//! use termwise_datasets::bpe::Bpe;
//!
//! let lines = ["the lowest", "the lower", "the newest", "the widest"];
//! let bpe = Bpe::learn(lines, 275);
//! assert_eq!(bpe.vocabulary_size(), 268); // no pair that comes twice is left
//! let tokens: Vec<String> = bpe.encode("the west ☂").iter().map(|&id| bpe.token(id)).collect();
//! assert_eq!(tokens[..4], [" the", " ", "w", "est"].map(str::to_owned));
//! assert_eq!(bpe.decode(&bpe.encode("the west ☂")), "the west ☂");
//! ```
//!
//! # Why it is written here
//!
//! Tokenising was to come from the crate `tokenizers`. With default features off, version 0.22 brings 38 crates that
//! the workspace does not have (two regular expression engines among them, of which byte-level encoding needs one) for
//! the three hundred lines below; the later 1.0 is a pre-release and brings 29.

mod learn;
mod pieces;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use pieces::pieces;

/// The longest piece, and so the longest token, in bytes.
const MAX_BYTES: usize = 64;

/// The first id of a byte, and the first of a joined token.
const FIRST_BYTE: u32 = 4;
const FIRST_MERGE: u32 = FIRST_BYTE + 256;

/// A learned vocabulary. Serialises (JSON) as its merges alone; reading checks them.
///
/// # Examples
/// ```
/// use termwise_datasets::bpe::Bpe;
/// // " aa" comes three times. Of its pairs, space and a (the bytes 32 and 97, ids 36 and 101) are joined first.
/// let bpe = Bpe::learn(["aa aa aa"], 300);
/// assert_eq!(bpe.vocabulary_size(), 262);
/// assert_eq!((bpe.encode("a"), bpe.encode("aa"), bpe.encode("aaab")), (vec![260], vec![261], vec![261, 101, 102]));
/// assert_eq!((bpe.token(261), bpe.token(Bpe::EOS)), (" aa".to_string(), "<eos>".to_string()));
/// assert_eq!(bpe.decode(&[Bpe::BOS, 261, 101, Bpe::EOS, Bpe::PAD]), "aaa");
/// assert_eq!(bpe.decode(&[Bpe::UNK, 999]), "\u{fffd}\u{fffd}");
///
/// let json = serde_json::to_string(&bpe)?;
/// assert_eq!(json, r#"{"format":"byte-pair encoding, 1","merges":[[36,101],[260,101]]}"#);
/// assert_eq!(serde_json::from_str::<Bpe>(&json)?, bpe);
/// assert!(serde_json::from_str::<Bpe>(&json.replace("260", "262")).is_err()); // no such token before it
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct Bpe {
    merges: Vec<(u32, u32)>,
    /// The id of each joined pair; the smaller, the earlier it is joined.
    ids: HashMap<(u32, u32), u32>,
    /// The bytes of each token from `FIRST_MERGE`.
    joined: Vec<Vec<u8>>,
}

impl Bpe {
    /// Fills batches up to one length.
    pub const PAD: u32 = 0;
    /// Starts a target sentence.
    pub const BOS: u32 = 1;
    /// Ends a sentence.
    pub const EOS: u32 = 2;
    /// Stands for nothing that [`encode`](Self::encode) gives.
    pub const UNK: u32 = 3;
    /// The size of a vocabulary without joined tokens: the least that can be asked for.
    pub const MIN_VOCABULARY: usize = FIRST_MERGE as usize;

    /// Learns a vocabulary of at most `vocabulary_size` tokens. For a joint vocabulary of two languages, chain their
    /// lines.
    ///
    /// # Panics
    /// Where `vocabulary_size` is below [`MIN_VOCABULARY`](Self::MIN_VOCABULARY) or above 2^24.
    #[track_caller]
    pub fn learn<'a>(lines: impl IntoIterator<Item = &'a str>, vocabulary_size: usize) -> Self {
        assert!(
            (Self::MIN_VOCABULARY..=1 << 24).contains(&vocabulary_size),
            "Bpe::learn: the size of the vocabulary is {} to 2^24, not {vocabulary_size}",
            Self::MIN_VOCABULARY
        );
        let mut counts: HashMap<String, u64> = HashMap::new();
        for line in lines {
            let line = format!(" {line}");
            for piece in pieces(&line) {
                match counts.get_mut(piece) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(piece.to_owned(), 1)),
                }
            }
        }
        let merges = learn::merges(counts, vocabulary_size - Self::MIN_VOCABULARY);
        Self::from_merges(merges).expect("learned merges refer to earlier tokens")
    }

    fn from_merges(merges: Vec<(u32, u32)>) -> Result<Self, String> {
        let mut bpe =
            Self { ids: HashMap::with_capacity(merges.len()), joined: Vec::new(), merges: Vec::new() };
        for (index, &(left, right)) in merges.iter().enumerate() {
            let id = FIRST_MERGE + index as u32;
            let error = |found| format!("merges[{index}]: expected {found}");
            for side in [left, right] {
                if !(FIRST_BYTE..id).contains(&side) {
                    return Err(error(format!("ids from {FIRST_BYTE} to {}, found {side}", id - 1)));
                }
            }
            let bytes = [bpe.bytes(left), bpe.bytes(right)].concat();
            if bytes.len() > MAX_BYTES {
                return Err(error(format!("a token of at most {MAX_BYTES} bytes, found {}", bytes.len())));
            }
            if bpe.ids.insert((left, right), id).is_some() {
                return Err(error(format!("each pair once, found ({left}, {right}) again")));
            }
            bpe.joined.push(bytes);
        }
        bpe.merges = merges;
        Ok(bpe)
    }

    /// The number of tokens: one more than the largest id.
    pub fn vocabulary_size(&self) -> usize {
        Self::MIN_VOCABULARY + self.merges.len()
    }

    /// The tokens of a text, without [`BOS`](Self::BOS) and [`EOS`](Self::EOS).
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = format!(" {text}");
        let mut tokens = Vec::with_capacity(text.len() / 3);
        for piece in pieces(&text) {
            let start = tokens.len();
            tokens.extend(piece.bytes().map(|byte| FIRST_BYTE + u32::from(byte)));
            self.join(&mut tokens, start);
        }
        tokens
    }

    /// Joins the tokens from `start`, pairs learned earlier first. Quadratic, but a piece has at most 64 bytes.
    fn join(&self, tokens: &mut Vec<u32>, start: usize) {
        loop {
            let pairs = tokens[start..].windows(2).enumerate();
            let known =
                pairs.filter_map(|(at, pair)| Some((*self.ids.get(&(pair[0], pair[1]))?, start + at)));
            let Some((id, at)) = known.min() else { return };
            tokens[at] = id;
            tokens.remove(at + 1);
        }
    }

    /// The text of tokens. The space that [`encode`](Self::encode) put in front is taken away; `PAD`, `BOS` and `EOS`
    /// give nothing, `UNK`, ids beyond the vocabulary and bytes that are no UTF-8 give U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(4 * tokens.len());
        for &token in tokens {
            bytes.extend_from_slice(self.bytes(token));
        }
        let text = String::from_utf8_lossy(&bytes);
        text.strip_prefix(' ').unwrap_or(&text).to_owned()
    }

    /// The text of one token, with its leading space: for display.
    pub fn token(&self, id: u32) -> String {
        match id {
            Self::PAD => "<pad>".to_owned(),
            Self::BOS => "<bos>".to_owned(),
            Self::EOS => "<eos>".to_owned(),
            Self::UNK => "<unk>".to_owned(),
            _ => String::from_utf8_lossy(self.bytes(id)).into_owned(),
        }
    }

    fn bytes(&self, id: u32) -> &[u8] {
        /// Every byte, so that a token of one byte can be borrowed.
        const BYTES: [u8; 256] = {
            let mut bytes = [0; 256];
            let mut byte = 0;
            while byte < 256 {
                bytes[byte] = byte as u8;
                byte += 1;
            }
            bytes
        };
        match id {
            Self::PAD | Self::BOS | Self::EOS => &[],
            FIRST_BYTE..FIRST_MERGE => std::slice::from_ref(&BYTES[(id - FIRST_BYTE) as usize]),
            _ => {
                let joined = id.checked_sub(FIRST_MERGE).and_then(|index| self.joined.get(index as usize));
                joined.map_or("\u{fffd}".as_bytes(), Vec::as_slice)
            }
        }
    }
}

/// What is written: enough to make everything else again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: String,
    merges: Vec<(u32, u32)>,
}

const FORMAT: &str = "byte-pair encoding, 1";

impl From<Bpe> for Saved {
    fn from(bpe: Bpe) -> Self {
        Self { format: FORMAT.to_owned(), merges: bpe.merges }
    }
}

impl TryFrom<Saved> for Bpe {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        if saved.format != FORMAT {
            return Err(format!("format: expected {FORMAT:?}, found {:?}", saved.format));
        }
        if saved.merges.len() > (1 << 24) - Self::MIN_VOCABULARY {
            return Err(format!("merges: expected at most 2^24 tokens, found {} merges", saved.merges.len()));
        }
        Self::from_merges(saved.merges)
    }
}
