use ndarray::Array2;
use proptest::prelude::*;
use termwise_models::translation::{
    Hypothesis, NextToken, SearchOptions, Vocabulary, beam_search, greedy_search,
};

use super::{sources, tiny, translator};

/// A distribution over sequences, given as a function of what was said so far.
struct Toy<F> {
    prefixes: Vec<(usize, Vec<u32>)>,
    next: F,
}

impl<F: Fn(usize, &[u32]) -> Vec<f64>> Toy<F> {
    fn new(sentences: usize, next: F) -> Self {
        Toy { prefixes: (0..sentences).map(|sentence| (sentence, Vec::new())).collect(), next }
    }
}

impl<F: Fn(usize, &[u32]) -> Vec<f64>> NextToken for Toy<F> {
    fn rows(&self) -> usize {
        self.prefixes.len()
    }

    fn step(&mut self, tokens: &[u32]) -> Array2<f32> {
        assert_eq!(tokens.len(), self.prefixes.len());
        self.prefixes.iter_mut().zip(tokens).for_each(|((_, prefix), &token)| prefix.push(token));
        let rows: Vec<Vec<f64>> =
            self.prefixes.iter().map(|(sentence, prefix)| (self.next)(*sentence, &prefix[1..])).collect();
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, token)| rows[row][token].ln() as f32)
    }

    fn select(&mut self, rows: &[usize]) {
        self.prefixes = rows.iter().map(|&row| self.prefixes[row].clone()).collect();
    }
}

const END: u32 = 0;
const A: u32 = 1;
const B: u32 = 2;
const BEGIN: u32 = 3;
const TOY: Vocabulary = Vocabulary { bos: BEGIN, eos: END, first: 0 };

/// A looks better at first, but nothing good follows it.
fn garden_path(_: usize, prefix: &[u32]) -> Vec<f64> {
    match prefix {
        [] => vec![0.0, 0.6, 0.4, 0.0],
        [A] => vec![0.4, 0.3, 0.3, 0.0],
        [B] => vec![0.0, 0.1, 0.9, 0.0],
        [B, B] => vec![0.9, 0.1, 0.0, 0.0],
        _ => vec![1.0, 0.0, 0.0, 0.0],
    }
}

fn options(beam: usize, length_penalty: f64) -> SearchOptions {
    SearchOptions { beam, length_penalty, ..SearchOptions::default() }
}

#[test]
fn a_beam_finds_what_greedy_search_misses() {
    let greedy = greedy_search(&mut Toy::new(1, garden_path), &[5], TOY, &options(1, 0.0));
    assert_eq!(greedy[0].tokens, [A]);
    assert!((greedy[0].log_probability - 0.24f64.ln()).abs() < 1e-6);
    let found = beam_search(&mut Toy::new(1, garden_path), &[5], TOY, &options(2, 0.0));
    assert_eq!(found[0][0].tokens, [B, B]);
    assert!((found[0][0].log_probability - 0.324f64.ln()).abs() < 1e-6, "{found:?}");
    assert_eq!(found[0][0].score, found[0][0].log_probability);
}

#[test]
fn the_length_penalty_decides_between_short_and_long() {
    // The end at once has p = 0.5, three tokens and the end 0.45.
    let next = |_: usize, prefix: &[u32]| match prefix.len() {
        0 => vec![0.5, 0.5, 0.0, 0.0],
        1 | 2 => vec![0.0, 0.96, 0.04, 0.0],
        3 => vec![0.976_562_5, 0.0, 0.023_437_5, 0.0],
        _ => vec![1.0, 0.0, 0.0, 0.0],
    };
    let best = |alpha: f64| beam_search(&mut Toy::new(1, next), &[9], TOY, &options(3, alpha))[0][0].clone();
    assert!(best(0.0).tokens.is_empty());
    let long = best(1.0);
    assert_eq!(long.tokens, [A, A, A]);
    // log 0.45 / ((5 + 4) / 6)
    assert!((long.score - 0.45f64.ln() / 1.5).abs() < 1e-6, "{long:?}");
}

#[test]
fn a_bound_ends_what_would_never_end() {
    let endless = |_: usize, _: &[u32]| vec![0.0, 0.75, 0.25, 0.0];
    for beam in [1, 2, 5] {
        let found = beam_search(&mut Toy::new(3, endless), &[4, 0, 2], TOY, &options(beam, 1.0));
        let tokens: Vec<&[u32]> = found.iter().map(|hypotheses| hypotheses[0].tokens.as_slice()).collect();
        let expected: [&[u32]; 3] = [&[A, A, A, A], &[], &[A, A]];
        assert_eq!(tokens, expected);
    }
    let found = greedy_search(&mut Toy::new(3, endless), &[4, 0, 2], TOY, &options(1, 1.0));
    assert_eq!(found[0].tokens, [A, A, A, A]);
}

/// Distributions that are a function of (seed, sentence, prefix).
fn random(seed: u64) -> impl Fn(usize, &[u32]) -> Vec<f64> {
    move |sentence, prefix| {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(sentence as u64);
        let mut draw = |salt: u64| {
            state = (state ^ salt)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64 + 1e-3
        };
        for &token in prefix {
            draw(u64::from(token) + 1);
        }
        let weights: Vec<f64> = (0..3).map(|_| draw(0).powi(3)).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).chain([0.0]).collect()
    }
}

/// The best of all sequences, by looking at every one of them.
fn exhaustive(
    next: &dyn Fn(usize, &[u32]) -> Vec<f64>,
    sentence: usize,
    bound: usize,
    options: &SearchOptions,
) -> f64 {
    let mut best = f64::NEG_INFINITY;
    let mut open: Vec<(Vec<u32>, f64)> = vec![(Vec::new(), 0.0)];
    while let Some((prefix, total)) = open.pop() {
        let p = next(sentence, &prefix);
        best = best.max(options.score(total + p[END as usize].ln(), prefix.len() + 1));
        if prefix.len() < bound {
            for token in [A, B] {
                open.push(([&prefix[..], &[token]].concat(), total + p[token as usize].ln()));
            }
        }
    }
    best
}

proptest! {
    #[test]
    fn a_beam_as_wide_as_the_space_finds_the_best(seed in any::<u64>(), bound in 0usize..5, alpha in 0.0..1.5f64) {
        let options = options(64, alpha);
        let found = beam_search(&mut Toy::new(2, random(seed)), &[bound, 3], TOY, &options);
        for (sentence, bound) in [bound, 3].into_iter().enumerate() {
            let best = exhaustive(&random(seed), sentence, bound, &options);
            prop_assert!((found[sentence][0].score - best).abs() < 1e-5, "{} {best}", found[sentence][0].score);
        }
    }

    #[test]
    fn a_beam_of_one_is_greedy_search(seed in any::<u64>(), bounds in prop::collection::vec(0usize..9, 1..4)) {
        let options = options(1, 1.0);
        let greedy = greedy_search(&mut Toy::new(bounds.len(), random(seed)), &bounds, TOY, &options);
        let beam = beam_search(&mut Toy::new(bounds.len(), random(seed)), &bounds, TOY, &options);
        let beam: Vec<Hypothesis> = beam.into_iter().map(|mut hypotheses| hypotheses.swap_remove(0)).collect();
        prop_assert_eq!(greedy, beam);
    }
}

#[test]
fn a_beam_of_one_is_greedy_search_in_the_translator() {
    for code in ["1111", "0110", "dynamic", "0010+deformable"] {
        let model = translator(tiny(code));
        let source = sources(&[5, 0, 9]);
        let decoding = || model.decoding(&source);
        let (bounds, vocabulary) = ([12, 3, 20], Vocabulary::default());
        let greedy = greedy_search(&mut decoding(), &bounds, vocabulary, &options(1, 1.0));
        let beam = beam_search(&mut decoding(), &bounds, vocabulary, &options(1, 1.0));
        for (greedy, beam) in greedy.iter().zip(&beam) {
            assert_eq!(greedy.tokens, beam[0].tokens, "{code}");
            assert!((greedy.score - beam[0].score).abs() < 1e-5, "{code}");
        }
    }
}

#[test]
fn what_never_comes_in_a_translation_does_not() {
    let next = |_: usize, prefix: &[u32]| match prefix.len() {
        0..4 => vec![0.3, 0.3, 0.05, 0.2, 0.15],
        _ => vec![0.0, 0.0, 1.0, 0.0, 0.0],
    };
    let vocabulary = Vocabulary::default();
    let found = beam_search(&mut Toy::new(1, next), &[9], vocabulary, &options(3, 1.0));
    assert!(found[0].iter().all(|hypothesis| hypothesis.tokens.iter().all(|&token| token == 4)), "{found:?}");
}
