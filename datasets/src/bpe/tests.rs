use proptest::prelude::*;

use super::*;

/// The definition, without any of the tables: counts every pair anew for each merge.
fn merges_by_definition(lines: &[&str], limit: usize) -> Vec<(u32, u32)> {
    let lines: Vec<String> = lines.iter().map(|line| format!(" {line}")).collect();
    let mut words: Vec<Vec<u32>> = lines
        .iter()
        .flat_map(|line| pieces(line))
        .map(|piece| piece.bytes().map(|byte| FIRST_BYTE + u32::from(byte)).collect())
        .collect();
    let mut merges = Vec::new();
    while merges.len() < limit {
        let mut counts = std::collections::BTreeMap::<(u32, u32), u64>::new();
        for pair in words.iter().flat_map(|word| word.windows(2)) {
            *counts.entry((pair[0], pair[1])).or_default() += 1;
        }
        // The first of the most frequent.
        let Some(&most) = counts.values().max().filter(|count| **count >= 2) else { break };
        let pair = *counts.iter().find(|(_, count)| **count == most).unwrap().0;
        let id = FIRST_MERGE + merges.len() as u32;
        merges.push(pair);
        for word in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if (word[at], word[at + 1]) == pair {
                    word[at] = id;
                    word.remove(at + 1);
                }
                at += 1;
            }
        }
    }
    merges
}

/// Text with many repetitions, so that much is joined, some of it with itself.
fn repetitive() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("([abä]{1,6} ?|  |[0-9]{1,3}|[.,])[ab ]{0,9}", 0..12)
}

proptest! {
    #[test]
    fn learning_is_the_definition(lines in repetitive(), merges in 0usize..40) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let bpe = Bpe::learn(lines.iter().copied(), Bpe::MIN_VOCABULARY + merges);
        prop_assert_eq!(&bpe.merges, &merges_by_definition(&lines, merges));
        let reversed = Bpe::learn(lines.iter().rev().copied(), Bpe::MIN_VOCABULARY + merges);
        prop_assert_eq!(&bpe, &reversed);
    }

    #[test]
    fn decoding_gives_back_every_text(text in any::<String>(), lines in repetitive()) {
        let bpe = Bpe::learn(lines.iter().map(String::as_str), 300);
        for text in [&text, &lines.concat(), &format!("  {text} \n\t {text}")] {
            let tokens = bpe.encode(text);
            prop_assert_eq!(&bpe.decode(&tokens), text);
            let ids = FIRST_BYTE..bpe.vocabulary_size() as u32;
            prop_assert!(tokens.iter().all(|token| ids.contains(token)));
        }
    }

    #[test]
    fn pieces_are_the_text_in_order(text in "[a-cä0-9., \t\n☂漢]{0,300}") {
        prop_assert_eq!(pieces(&text).collect::<String>(), text.clone());
        for piece in pieces(&text) {
            prop_assert!(!piece.is_empty() && piece.len() <= MAX_BYTES);
            let content = piece.trim_start_matches(' ');
            let kinds = [
                content.chars().all(char::is_alphabetic),
                content.chars().all(char::is_numeric),
                content.chars().all(char::is_whitespace),
                content.chars().count() == 1,
            ];
            prop_assert!(kinds.contains(&true), "{:?}", piece);
        }
    }

    #[test]
    fn any_tokens_decode_without_panic(tokens in prop::collection::vec(any::<u32>(), 0..50), low in prop::collection::vec(0u32..400, 0..50)) {
        let bpe = Bpe::learn(["aa aa bb bb"], 264);
        bpe.decode(&tokens);
        bpe.decode(&low);
        low.iter().for_each(|&id| drop(bpe.token(id)));
    }

    /// Whatever the JSON says, it is an error or a vocabulary with short tokens.
    #[test]
    fn any_merges_are_checked(merges in prop::collection::vec((0u32..300, 0u32..300), 0..60)) {
        let json = serde_json::json!({ "format": FORMAT, "merges": merges }).to_string();
        if let Ok(bpe) = serde_json::from_str::<Bpe>(&json) {
            prop_assert!(bpe.joined.iter().all(|bytes| (2..=MAX_BYTES).contains(&bytes.len())));
            prop_assert_eq!(serde_json::to_value(&bpe).unwrap()["merges"].as_array().unwrap().len(), merges.len());
        }
    }
}

#[test]
fn pieces_of_a_sentence() {
    let cut = |text| pieces(text).collect::<Vec<_>>();
    assert_eq!(cut(" Zwei Männer, 23 m  groß."), [" Zwei", " Männer", ",", " 23", " m", " ", " groß", "."]);
    assert_eq!(cut("\"a\" (b)\n\tc  "), ["\"", "a", "\"", " (", "b", ")", "\n\t", "c", "  "]);
    assert_eq!(cut("a\u{a0} b \u{a0}c"), ["a", "\u{a0}", " b", " \u{a0}", "c"]);
    let long = "ä".repeat(100);
    assert_eq!(cut(&long).iter().map(|piece| piece.len()).collect::<Vec<_>>(), [64, 64, 64, 8]);
    assert_eq!(cut(""), [""; 0]);
}

#[test]
fn merges_are_learned_by_count_and_applied_in_order() {
    // " ab" 3 times and " b" twice: the pair (a, b) thrice, (space, a) thrice, (space, b) twice.
    let bpe = Bpe::learn(["ab ab ab b b"], 1000);
    let id = |byte: u8| FIRST_BYTE + u32::from(byte);
    assert_eq!(bpe.merges, [(id(b' '), id(b'a')), (FIRST_MERGE, id(b'b')), (id(b' '), id(b'b'))]);
    assert_eq!(bpe.encode("ab b a"), [FIRST_MERGE + 1, FIRST_MERGE + 2, FIRST_MERGE]);
    assert_eq!(bpe.encode("xab"), [id(b' '), id(b'x'), id(b'a'), id(b'b')]);
    assert_eq!(bpe.token(FIRST_MERGE + 1), " ab");
    assert_eq!(bpe.vocabulary_size(), 263);
}

#[test]
fn special_tokens_are_no_text() {
    let bpe = Bpe::learn([], 260);
    let mut tokens = vec![Bpe::BOS];
    tokens.extend(bpe.encode("a <eos>"));
    tokens.extend([Bpe::EOS, Bpe::PAD]);
    assert_eq!(bpe.decode(&tokens), "a <eos>"); // written out, it stays text
    assert_eq!(bpe.decode(&[Bpe::UNK, 9_999_999, FIRST_BYTE + 0xff]), "\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(bpe.decode(&[]), "");
}

#[test]
fn saved_and_read_again_it_is_the_same() {
    let bpe = Bpe::learn(["ein Mann läuft", "ein Hund läuft", "a man runs"], 280);
    let json = serde_json::to_string(&bpe).unwrap();
    assert_eq!(serde_json::from_str::<Bpe>(&json).unwrap(), bpe);
    for (from, to, expected) in [
        ("pair encoding, 1", "pair encoding, 2", "format: expected \"byte-pair encoding, 1\""),
        ("\"merges\":[[", "\"merges\":[[3,40],[", "merges[0]: expected ids from 4 to 259, found 3"),
        ("\"merges\":[[", "\"merges\":[[40,260],[", "merges[0]: expected ids from 4 to 259, found 260"),
        ("\"merges\":[[", "\"merges\":[[40,41],[40,41],[", "merges[1]: expected each pair once"),
        ("\"merges\":[[", "\"merges\":[[40,-1],[", "invalid value"),
        ("\"merges\"", "\"more\":1,\"merges\"", "unknown field `more`"),
    ] {
        assert!(json.contains(from), "{json}");
        let error = serde_json::from_str::<Bpe>(&json.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Tokens that double each time would take 2^24 bytes after 24 of them.
    let doubling: Vec<(u32, u32)> =
        (0..24).map(|k| if k == 0 { (40, 40) } else { (259 + k, 259 + k) }).collect();
    let error = Bpe::from_merges(doubling).unwrap_err();
    assert_eq!(error, "merges[6]: expected a token of at most 64 bytes, found 128");
}

#[test]
#[should_panic(expected = "the size of the vocabulary is 260 to 2^24, not 259")]
fn too_small_a_vocabulary_is_an_error_of_use() {
    Bpe::learn([], 259);
}
