use std::collections::HashSet;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::bpe::Bpe;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn open(folder: &TempDir, options: &TranslationOptions) -> Result<ParallelText, String> {
    ParallelText::open(folder.path(), "train", options).map_err(|error| {
        let error = error.to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error.replace(&*folder.path().to_string_lossy(), "DIR")
    })
}

fn found(folder: &TempDir) -> Result<ParallelText, String> {
    open(folder, &TranslationOptions::default())
}

fn given(source: &str, target: &str) -> TranslationOptions {
    TranslationOptions { languages: Some((source.into(), target.into())), ..TranslationOptions::default() }
}

#[test]
fn lines_end_at_line_feeds_only() {
    let source = "\u{feff}A dog.\r\n\r\nTwo\u{2028}cats\u{b} and\rone\u{85}\n".as_bytes();
    let target = "Ein Hund.\nÄhm\n Zwei Katzen \n".as_bytes();
    let plain = folder(&[("train.en", source), ("train.de", target)]);
    let text = found(&plain).unwrap();
    assert_eq!(text.languages(), ("en", "de"));
    assert_eq!(text.source(), ["A dog.", "", "Two\u{2028}cats\u{b} and\rone\u{85}"]);
    assert_eq!(text.target(), ["Ein Hund.", "Ähm", " Zwei Katzen "]);
    assert_eq!((text.report().empty_source, text.report().empty_target), (Some((1, 2)), None));
    assert_eq!(text.report().to_string(), "1 empty line of en, kept; the first: line 2");
    let gzipped = folder(&[("train.en.gz", &gzip(source)), ("train.de", target)]);
    assert_eq!(found(&gzipped).unwrap(), text);
    // A file in several gzip members is their concatenation.
    let members = [gzip(&source[..20]), gzip(b""), gzip(&source[20..])].concat();
    assert_eq!(found(&folder(&[("train.en.gz", &members), ("train.de", target)])).unwrap(), text);
    let lowercase = TranslationOptions { lowercase: true, ..TranslationOptions::default() };
    assert_eq!(open(&plain, &lowercase).unwrap().target()[1], "ähm");
}

#[test]
fn the_last_line_may_lack_its_end() {
    for (content, expected) in
        [("a\nb", vec!["a", "b"]), ("a\nb\n", vec!["a", "b"]), ("a\n\n", vec!["a", ""]), ("\n", vec![""])]
    {
        let folder = folder(&[("train.en", content.as_bytes()), ("train.de", content.as_bytes())]);
        assert_eq!(found(&folder).unwrap().source(), expected, "{content:?}");
    }
}

#[test]
fn languages_are_found_or_given() {
    let french =
        folder(&[("train.fr", b"un\n"), ("train.de", b"eins\n"), ("train.bpe.model", b""), ("val.en", b"")]);
    assert_eq!(found(&french).unwrap().languages(), ("de", "fr"));
    let text = open(&french, &given("fr", "de")).unwrap();
    assert_eq!((text.source()[0].as_str(), text.target()[0].as_str()), ("un", "eins"));
    let three = folder(&[("train.fr", b"un\n"), ("train.de", b"eins\n"), ("train.en.gz", &gzip(b"one\n"))]);
    let error = found(&three).unwrap_err();
    assert_eq!(
        error,
        "DIR: parallel text: expected two files \"train.LANGUAGE\" or \"train.LANGUAGE.gz\", or two given languages, \
         found \"train.de\", \"train.en.gz\", \"train.fr\""
    );
    assert_eq!(open(&three, &given("en", "fr")).unwrap().pairs().next(), Some(("one", "un")));
    assert!(open(&three, &given("en", "en")).unwrap_err().contains("languages: expected two different ones"));
    assert!(
        open(&three, &given("en", "../x"))
            .unwrap_err()
            .contains("language: expected the extension of a file")
    );
    assert!(
        open(&three, &given("en", "es"))
            .unwrap_err()
            .contains("train.es: parallel text: expected this file, or the same with .gz, found neither")
    );
    fs::write(three.path().join("train.en"), "one\n").unwrap();
    assert!(open(&three, &given("en", "fr")).unwrap_err().contains("found both"));
}

#[test]
fn what_is_refused() {
    let of = |source: &[u8], target: &[u8]| {
        found(&folder(&[("train.en", source), ("train.de", target)])).unwrap_err()
    };
    assert_eq!(
        of(b"a\nb\nc\n", b"a\nb\n"),
        "DIR/train.de: number of lines: expected 3, as \"train.en\" has, found 2"
    );
    assert_eq!(
        of(b"a\n", b"a\nb\xc3\n"),
        "DIR/train.de, line 2: parallel text: expected UTF-8, found the byte 0xc3 at offset 3 of the text"
    );
    assert_eq!(of(b"", b""), "DIR/train.en: number of lines: expected at least one, found none");
    let whole = gzip(b"a sentence\n");
    for (content, expected) in [
        (&whole[..whole.len() - 3], "expected a whole gzip file, found a damaged one"),
        (&whole[..4], "expected a whole gzip file, found a damaged one"),
        (b"plain\n", "expected a whole gzip file, found a damaged one"),
        (b"", "expected a gzip file, found an empty file"),
        (&[&whole[..], b"rest of something"].concat(), "expected a whole gzip file, found a damaged one"),
    ] {
        let error = found(&folder(&[("train.en.gz", content), ("train.de", b"ein Satz\n")])).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let mut flipped = whole.clone();
    flipped[14] ^= 1;
    assert!(
        found(&folder(&[("train.en.gz", &flipped), ("train.de", b"ein Satz\n")]))
            .unwrap_err()
            .contains("damaged")
    );
}

/// A file of a few kilobytes that unpacks to 16 MiB.
#[test]
fn unpacking_stops_at_the_bound() {
    let bomb = gzip(&vec![b'\n'; 1 << 24]);
    assert!(bomb.len() < 20_000);
    let folder = folder(&[("train.en.gz", &bomb), ("train.de", b"\n")]);
    let options = TranslationOptions { max_bytes: 1 << 20, ..TranslationOptions::default() };
    let error = open(&folder, &options).unwrap_err();
    assert_eq!(
        error,
        "DIR/train.en.gz: parallel text: expected at most 1048576 bytes of content, found more than that"
    );
    let exact = self::folder(&[("train.en.gz", &gzip(b"ab\n")), ("train.de", b"cd\n")]);
    assert!(open(&exact, &TranslationOptions { max_bytes: 3, ..options.clone() }).is_ok());
    assert!(open(&exact, &TranslationOptions { max_bytes: 2, ..options }).is_err());
}

fn any_pairs() -> impl Strategy<Value = Vec<TokenPair>> {
    let side = || prop::collection::vec(4u32..300, 0..40);
    prop::collection::vec((side(), side()).prop_map(|(source, target)| TokenPair { source, target }), 1..60)
}

proptest! {
    /// Whatever the bytes: an error of one line, or as many sources as targets.
    #[test]
    fn any_bytes_are_read_or_refused(
        source in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>(), b'a'..b'e'], 0..60),
        target in prop::collection::vec(prop_oneof![Just(b'\n'), b'a'..b'e'], 0..60),
        cut in 0usize..100,
        flip in any::<(u16, u8)>(),
    ) {
        let check = |files: &[(&str, &[u8])]| {
            if let Ok(text) = found(&folder(files)) {
                assert_eq!(text.source().len(), text.target().len());
                assert!(text.lines().all(|line| !line.contains('\n')));
            }
        };
        check(&[("train.en", &source), ("train.de", &target)]);
        let mut gzipped = gzip(&source);
        let place = usize::from(flip.0) % gzipped.len();
        gzipped[place] ^= flip.1;
        gzipped.truncate(gzipped.len().saturating_sub(cut / 4));
        check(&[("train.en.gz", &gzipped), ("train.de", &target)]);
    }

    #[test]
    fn lines_are_those_that_were_written(lines in prop::collection::vec("[^\n\r]{0,9}", 1..20), windows: bool) {
        prop_assume!(!lines[0].starts_with('\u{feff}'));
        let end = if windows { "\r\n" } else { "\n" };
        let content: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        let folder = folder(&[("train.en", content.as_bytes()), ("train.de.gz", &gzip(content.as_bytes()))]);
        let text = found(&folder).unwrap();
        prop_assert_eq!(text.source(), &lines);
        prop_assert_eq!(text.target(), &lines);
    }

    #[test]
    fn every_pair_is_in_one_batch_within_the_budget(pairs in any_pairs(), budget in 1usize..300, seed: u64, epoch in 0u64..5) {
        let batches = TokenBatches::new(&pairs, budget, seed);
        for epoch in [batches.epoch(epoch), batches.sorted()] {
            let mut all: Vec<usize> = epoch.concat();
            all.sort();
            prop_assert_eq!(all, (0..pairs.len()).collect::<Vec<_>>());
            for indices in &epoch {
                let batch = TranslationBatch::stack(indices.iter().map(|&index| &pairs[index]));
                let size = batch.source.tokens.len().max(batch.decoder_input.tokens.len());
                prop_assert!(size <= budget || indices.len() == 1, "{} > {}", size, budget);
            }
        }
        prop_assert_eq!(batches.epoch(epoch), TokenBatches::new(&pairs, budget, seed).epoch(epoch));
    }

    #[test]
    fn padding_is_undone_by_the_lengths(pairs in any_pairs()) {
        let batch = TranslationBatch::stack(&pairs);
        let sequence = |padded: &Padded, row: usize| -> Vec<u32> {
            let (kept, padding) = (0..padded.tokens.ncols()).partition::<Vec<_>, _>(|&at| at < padded.lengths[row]);
            assert!(padding.iter().all(|&at| padded.tokens[[row, at]] == i64::from(Bpe::PAD)));
            kept.iter().map(|&at| padded.tokens[[row, at]] as u32).collect()
        };
        for (row, pair) in pairs.iter().enumerate() {
            prop_assert_eq!(sequence(&batch.source, row), [&pair.source[..], &[Bpe::EOS]].concat());
            prop_assert_eq!(sequence(&batch.decoder_input, row), [&[Bpe::BOS], &pair.target[..]].concat());
            prop_assert_eq!(sequence(&batch.decoder_output, row), [&pair.target[..], &[Bpe::EOS]].concat());
        }
        let longest = pairs.iter().map(|pair| pair.source.len() + 1).max();
        prop_assert_eq!(Some(batch.source.tokens.ncols()), longest);
    }
}

#[test]
fn batches_hold_sentences_of_like_length_in_a_new_order_each_epoch() {
    let pair =
        |length: usize| TokenPair { source: vec![5; length], target: vec![6; (length * 7) % 11 + length] };
    let pairs: Vec<TokenPair> = (0..2000).map(|index| pair(index % 30)).collect();
    let batches = TokenBatches::new(&pairs, 1000, 3);
    let (first, second) = (batches.epoch(0), batches.epoch(1));
    let padded =
        |indices: &Vec<usize>| indices.iter().map(|&i| pairs[i].padded_len()).max().unwrap() * indices.len();
    let tokens: usize = pairs.iter().map(TokenPair::padded_len).sum();
    let spent: usize = first.iter().map(padded).sum();
    assert!((spent as f64) < 1.05 * tokens as f64, "{spent} {tokens}"); // little padding
    assert_ne!(first, second);
    assert_ne!(first, TokenBatches::new(&pairs, 1000, 4).epoch(0));
    // Not only the order of the batches differs: who is together with whom, too.
    let sets = |epoch: &[Vec<usize>]| -> HashSet<Vec<usize>> {
        epoch
            .iter()
            .cloned()
            .map(|mut indices| {
                indices.sort();
                indices
            })
            .collect()
    };
    assert!(sets(&first).intersection(&sets(&second)).count() * 4 < first.len());
    // Short and long batches take turns.
    let lengths: Vec<usize> = first.iter().map(|indices| pairs[indices[0]].padded_len()).collect();
    assert!(!lengths.is_sorted());
}

#[test]
fn encoding_is_that_of_each_sentence() {
    let lines = |lines: [&str; 3]| lines.map(str::to_owned).to_vec();
    let text = ParallelText::new(
        ("en".into(), "de".into()),
        lines(["a dog", "", "two dogs"]),
        lines(["ein Hund", "x", "zwei Hunde"]),
    );
    let bpe = Bpe::learn(text.lines(), 270);
    let pairs = TokenPair::encode_all(&text, &bpe);
    assert_eq!(bpe.decode(&pairs[2].source), "two dogs");
    assert_eq!(bpe.decode(&pairs[0].target), "ein Hund");
    assert_eq!(pairs[1].source, bpe.encode(""));
}
