use super::*;
use proptest::prelude::*;

fn bleu(hypothesis: &str, references: &[&str], options: &BleuOptions) -> BleuScore {
    let streams: Vec<[&str; 1]> = references.iter().map(|&line| [line]).collect();
    corpus_bleu(&[hypothesis], &streams, options)
}

fn smoothed(smoothing: Smoothing) -> BleuOptions {
    BleuOptions { smoothing, ..BleuOptions::default() }
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-11, "found {found}, expected {expected}");
}

#[test]
fn an_n_gram_matches_as_often_as_the_reference_has_it() {
    // The example of Papineni et al.: "the" stands twice in the first reference, once in the other.
    let options = BleuOptions::default();
    let references = ["the cat is on the mat", "there is a cat on the mat"];
    let found = bleu("the the the the the the the", &references, &options);
    assert_eq!(found.counts, [2.0, 0.0, 0.0, 0.0]);
    assert_eq!(found.totals, [7.0, 6.0, 5.0, 4.0]);
    // exp: 2/7, then 1/(2*6), 1/(4*5), 1/(8*4).
    let product: f64 = (2.0 / 7.0) / 12.0 / 20.0 / 32.0;
    assert_close(found.score, 100.0 * product.powf(0.25));
}

#[test]
fn smoothing_methods_on_one_sentence() {
    // 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, 0 of 1 quadruple; same length, so BP = 1.
    let score = |smoothing| bleu("a b c d", &["a b c e"], &smoothed(smoothing)).score;
    let root = |last: f64| 100.0 * (3.0 / 4.0 * 2.0 / 3.0 * 1.0 / 2.0 * last).powf(0.25);
    assert_eq!(score(Smoothing::None), 0.0);
    assert_close(score(Smoothing::Exp), root(1.0 / 2.0));
    assert_close(score(Smoothing::Floor(0.1)), root(0.1));
    assert_eq!(score(Smoothing::Floor(0.0)), 0.0);

    let added = bleu("a b c d", &["a b c e"], &smoothed(Smoothing::AddK(0.5)));
    assert_eq!(added.counts, [3.0, 2.5, 1.5, 0.5]);
    assert_eq!(added.totals, [4.0, 3.5, 2.5, 1.5]);
    let product: f64 = 3.0 / 4.0 * 2.5 / 3.5 * 1.5 / 2.5 * 0.5 / 1.5;
    assert_close(added.score, 100.0 * product.powf(0.25));
}

#[test]
fn smoothing_names_carry_the_usual_values() {
    assert_eq!(Smoothing::from_name("floor", None), Some(Smoothing::Floor(0.1)));
    assert_eq!(Smoothing::from_name("add-k", None), Some(Smoothing::AddK(1.0)));
    assert_eq!(Smoothing::from_name("add-k", Some(2.0)), Some(Smoothing::AddK(2.0)));
    assert_eq!(Smoothing::from_name("exp", Some(2.0)), Some(Smoothing::Exp));
    assert_eq!(Smoothing::from_name("none", None), Some(Smoothing::None));
    assert_eq!(Smoothing::from_name("laplace", None), None);
}

#[test]
fn brevity_penalty_below_the_reference_length_only() {
    let options = BleuOptions::default();
    let short = bleu("a b c d", &["a b c d e f"], &options);
    assert_eq!(short.precisions, [100.0; 4]);
    assert_close(short.bp, (1.0_f64 - 6.0 / 4.0).exp());
    assert_close(short.score, 100.0 * (-0.5_f64).exp());
    let long = bleu("a b c d e f", &["a b c d"], &options);
    assert_eq!(long.bp, 1.0);
}

#[test]
fn the_closest_reference_counts_and_the_shorter_of_two() {
    let options = BleuOptions::default();
    let hypothesis = "a b c d";
    assert_eq!(bleu(hypothesis, &["a b c d e f g", "a b c d e"], &options).ref_len, 5);
    assert_eq!(bleu(hypothesis, &["a b c d e", "a b c"], &options).ref_len, 3);
    assert_eq!(bleu(hypothesis, &["a b c", "a b c d e"], &options).ref_len, 3);
}

#[test]
fn nothing_matches_and_nothing_said() {
    let none = bleu("x y z q r", &["a b c d e"], &smoothed(Smoothing::AddK(1.0)));
    assert_eq!((none.score, none.bp), (0.0, 1.0));
    assert_eq!(none.precisions, [0.0; 4]);
    assert_eq!(none.totals, [5.0, 4.0, 3.0, 2.0], "nothing is added when nothing matches");

    let silent = bleu("", &["a b c"], &BleuOptions::default());
    assert_eq!((silent.score, silent.bp, silent.sys_len, silent.ref_len), (0.0, 0.0, 0, 3));
    let both = bleu(" ", &[""], &BleuOptions::default());
    assert_eq!((both.score, both.bp), (0.0, 1.0));
    let lines: [&str; 0] = [];
    assert_eq!(corpus_bleu(&lines, &[lines], &BleuOptions::default()).score, 0.0);
}

#[test]
fn short_sentences_need_the_effective_order() {
    let exact = BleuOptions::default();
    assert_eq!(bleu("good day", &["good day"], &exact).score, 0.0);
    let effective = BleuOptions { effective_order: true, ..exact };
    assert_close(bleu("good day", &["good day"], &effective).score, 100.0);
    let bigrams = BleuOptions { max_order: 2, ..exact };
    assert_close(bleu("good day", &["good day"], &bigrams).score, 100.0);
}

#[test]
fn lowercase_and_tokenizer_decide_what_is_counted() {
    let plain = BleuOptions { tokenizer: Tokenizer::None, ..BleuOptions::default() };
    let lower = BleuOptions { lowercase: true, ..BleuOptions::default() };
    assert_eq!(plain.tokenize("  Ja, so. \n"), "  Ja, so.");
    assert_eq!(lower.tokenize("  JA, SÖ. \n"), "ja , sö .");
    assert_eq!(bleu("Ja, so.", &["ja , so ."], &plain).counts[0], 0.0);
    assert_eq!(bleu("Ja, so.", &["ja , so ."], &lower).counts, [4.0, 3.0, 2.0, 1.0]);
}

#[test]
fn counts_are_summed_before_the_division() {
    let hypotheses = ["a b c d", "x x x x x x"];
    let references = [["a b c d", "y y y y y y"]];
    let found = corpus_bleu(&hypotheses, &references, &BleuOptions::default());
    assert_eq!(found.precisions, [40.0, 37.5, 100.0 / 3.0, 25.0]);
}

#[test]
#[should_panic(expected = "references[1] has 1 lines, hypotheses has 2")]
fn reference_streams_are_as_long_as_the_hypotheses() {
    corpus_bleu(&["a", "b"], &[vec!["a", "b"], vec!["a"]], &BleuOptions::default());
}

#[test]
#[should_panic(expected = "no reference stream")]
fn at_least_one_reference_stream() {
    let none: [[&str; 1]; 0] = [];
    corpus_bleu(&["a"], &none, &BleuOptions::default());
}

fn sentences() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0u8..5, 0..12), 2..8)
}

proptest! {
    #[test]
    fn identical_text_scores_100(line in "[a-z]{1,4}( [a-z,.]{1,4}){3,20}") {
        let found = bleu(&line, &[&line], &smoothed(Smoothing::None));
        prop_assert!((found.score - 100.0).abs() < 1e-10, "{}", found);
    }

    #[test]
    fn merged_halves_are_the_whole(lines in sentences(), other in sentences(), cut in 0usize..8) {
        let pairs: Vec<_> = lines.iter().zip(&other).collect();
        let cut = cut.min(pairs.len());
        let count = |pairs: &[(&Vec<u8>, &Vec<u8>)]| {
            let mut statistics = BleuStatistics::new(3);
            for (hypothesis, reference) in pairs {
                statistics.add_segment(hypothesis, &[reference]);
            }
            statistics
        };
        let mut merged = count(&pairs[..cut]);
        merged.merge(&count(&pairs[cut..]));
        prop_assert_eq!(&merged, &count(&pairs));
    }

    #[test]
    fn the_sums_of_sentences_make_those_of_the_corpus(lines in prop::collection::vec("[ab .,]{0,12}", 1..6)) {
        let others: Vec<String> = lines.iter().rev().cloned().collect();
        let options = BleuOptions::default();
        let mut sum = BleuStatistics::new(options.max_order);
        sentence_statistics(&lines, &others, &options).iter().for_each(|one| sum.merge(one));
        prop_assert_eq!(sum.score(options.smoothing, options.effective_order), corpus_bleu(&lines, &[&others], &options));
    }

    /// A further reference can only add matches, and the order of references is no matter.
    #[test]
    fn more_references_match_more(lines in sentences()) {
        let (hypothesis, references) = lines.split_first().unwrap();
        let count = |references: &[Vec<u8>]| {
            let mut statistics = BleuStatistics::new(4);
            statistics.add_segment(hypothesis, references);
            statistics
        };
        let all = count(references);
        let first = count(&references[..1]);
        prop_assert!(all.matches.iter().zip(&first.matches).all(|(a, b)| a >= b));
        let reversed: Vec<_> = references.iter().rev().cloned().collect();
        prop_assert_eq!(all, count(&reversed));
    }
}
