use ndarray::Array2;
use termwise_models::translation::TranslatorConfig;

use super::{codes, padded, scores, sequences, sources, tiny, translator};

fn every_config() -> Vec<TranslatorConfig> {
    let limited = |code: &str| TranslatorConfig { limit_range: true, ..tiny(code) };
    let configs = codes().into_iter().map(|code| tiny(&code));
    configs.chain([limited("0100"), limited("1111")]).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
}

#[test]
fn a_later_target_token_changes_no_earlier_score() {
    let steps = 9;
    let source = sources(&[5]);
    let target = padded(&sequences(&[steps], 2)).tokens;
    for config in every_config() {
        let sees_back = config.attention.to_string() != "w/o";
        let name = config.attention;
        let model = translator(config);
        let before = scores(&model, &source, &target);
        for changed in 1..steps {
            let mut other = target.clone();
            other[[0, changed]] = 4 + (other[[0, changed]] - 3) % 7;
            let after = scores(&model, &source, &other);
            let width = changed * super::VOCABULARY;
            let difference = largest_difference(&before.as_slice()[..width], &after.as_slice()[..width]);
            assert!(difference == 0.0, "{name}: token {changed} changes earlier scores by {difference}");
            let width = (changed + 1) * super::VOCABULARY;
            let own = largest_difference(&before.as_slice()[..width], &after.as_slice()[..width]);
            assert!(own > 1e-6, "{name}: token {changed} does not even change its own score");
        }
        // The token before the last is seen from the last, by whatever sees anything.
        let mut other = target.clone();
        other[[0, steps - 2]] = 4 + (other[[0, steps - 2]] - 3) % 7;
        let after = scores(&model, &source, &other);
        let last = (steps - 1) * super::VOCABULARY;
        let difference = largest_difference(&before.as_slice()[last..], &after.as_slice()[last..]);
        assert_eq!(difference > 1e-9, sees_back, "{name}: the last score changes by {difference}");
    }
}

#[test]
fn padding_changes_nothing() {
    let (source_lengths, target_lengths) = ([5, 1, 12, 0], [3, 11, 1, 6]);
    let (source, targets) = (sources(&source_lengths), sequences(&target_lengths, 4));
    for config in every_config() {
        let name = config.attention;
        let model = translator(config);
        let together = scores(&model, &source, &padded(&targets).tokens);
        let width = together.shape()[1] * super::VOCABULARY;
        for row in 0..source_lengths.len() {
            let alone: Vec<u32> =
                source.tokens.row(row).iter().take(source.lengths[row]).map(|&token| token as u32).collect();
            let alone = scores(&model, &padded(&[alone]), &padded(&targets[row..=row]).tokens);
            let found = &together.as_slice()[row * width..][..alone.len()];
            let difference = largest_difference(found, alone.as_slice());
            assert!(difference < 1e-11, "{name}: sentence {row} differs by {difference} beside others");
        }
    }
}

#[test]
fn a_source_token_matters_wherever_it_stands() {
    let model = translator(tiny("1111"));
    let source = sources(&[8]);
    let target = Array2::from_elem((1, 1), 1);
    let before = scores(&model, &source, &target);
    for changed in 0..8 {
        let mut other = source.clone();
        other.tokens[[0, changed]] = 4 + (other.tokens[[0, changed]] - 3) % 7;
        let after = scores(&model, &other, &target);
        assert!(largest_difference(before.as_slice(), after.as_slice()) > 1e-9, "token {changed}");
    }
}
