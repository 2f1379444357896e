use ndarray::Array2;
use termwise_datasets::bpe::Bpe;
use termwise_models::translation::{CrossTerms, NextToken, TranslatorConfig};

use super::{codes, scores, sequences, sources, tiny, translator};

/// Feeds targets step by step, exchanging them on the way as a beam search does, and compares every step with the
/// whole computed at once.
fn check(config: TranslatorConfig) {
    let name = format!("{} cross {} limited {}", config.attention, config.cross, config.limit_range);
    let model = translator(config);
    let source = sources(&[4, 1, 7]);
    let (steps, each) = (40, 2);
    let mut decoding = model.decoding(&source);
    let compare = |found: &Array2<f32>, prefixes: &[Vec<u32>], sentences: &[usize]| {
        for (row, prefix) in prefixes.iter().enumerate() {
            let sentence = sentences[row];
            let length = source.lengths[sentence];
            let tokens: Vec<u32> =
                source.tokens.row(sentence).iter().take(length).map(|&token| token as u32).collect();
            let target: Vec<i64> = prefix.iter().map(|&token| i64::from(token)).collect();
            let target = Array2::from_shape_vec((1, prefix.len()), target).unwrap();
            let whole = scores(&model, &super::padded(&[tokens]), &target);
            let last = &whole.as_slice()[(prefix.len() - 1) * super::VOCABULARY..];
            for (token, &expected) in last.iter().enumerate() {
                let found = f64::from(found[[row, token]]);
                // What comes out of the search is rounded to single precision.
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{name}: step {}, row {row}, token {token}: {found} cached, {expected} at once",
                    prefix.len()
                );
            }
        }
    };
    let mut sentences: Vec<usize> = vec![0, 1, 2];
    let mut prefixes = vec![vec![Bpe::BOS]; 3];
    let tokens = sequences(&[steps; 6], 3);
    for step in 0..steps {
        let last: Vec<u32> = prefixes.iter().map(|prefix| *prefix.last().unwrap()).collect();
        let found = decoding.step(&last);
        // The whole is recomputed for each prefix; a few places tell as much as all.
        if step < 8 || step % 8 == 7 {
            compare(&found, &prefixes, &sentences);
        }
        let rows: Option<Vec<usize>> = match step {
            0 => Some((0..3 * each).map(|row| row / each).collect()),
            2 => Some(vec![1, 0, 2, 2, 5, 4]),
            5 => Some(vec![1, 1, 5, 4]), // the second sentence ends
            _ => None,
        };
        if let Some(rows) = rows {
            decoding.select(&rows);
            prefixes = rows.iter().map(|&row| prefixes[row].clone()).collect();
            sentences = rows.iter().map(|&row| sentences[row]).collect();
        }
        for (row, prefix) in prefixes.iter_mut().enumerate() {
            prefix.push(tokens[row][step]);
        }
    }
}

#[test]
fn step_by_step_is_all_at_once_for_every_self_attention() {
    codes().iter().for_each(|code| check(tiny(code)));
}

#[test]
fn step_by_step_is_all_at_once_for_every_encoder_decoder_attention() {
    CrossTerms::all().for_each(|cross| check(TranslatorConfig { cross, ..tiny("1111") }));
}

#[test]
fn step_by_step_is_all_at_once_within_a_limited_range() {
    for code in ["0000", "0100", "1111"] {
        check(TranslatorConfig { limit_range: true, ..tiny(code) });
    }
}
