use termwise_ops::metrics::{BleuOptions, sentence_statistics};

use super::*;
use crate::study::synthetic::{normal, run};
use crate::study::{Evidence, TaskKind};

const TASK: TaskKind = TaskKind::Segmentation;

fn bootstrap(runs: &[Run]) -> Result<Bootstrap, String> {
    Bootstrap::new(&runs.iter().collect::<Vec<_>>())
}

fn difference(runs: &[Run], a: &str, b: &str) -> Option<Interval> {
    bootstrap(runs).unwrap().difference(&a.parse().unwrap(), &b.parse().unwrap())
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

/// Table of Student's t at .975: 12.706, 4.303, 2.776 (NIST/SEMATECH e-Handbook, section 1.3.6.7.2).
#[test]
fn the_widening_is_that_of_the_table() {
    for (seeds, t) in [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262)] {
        let n = f64::from(seeds);
        let expected = (n / (n - 1.0)).sqrt() * t / 1.96;
        assert!((widening(seeds as usize) - expected).abs() < 1e-3, "{seeds}");
    }
    assert_eq!(widening(1), 1.0);
    assert!((widening(2000) - 1.0).abs() < 2e-3);
}

#[test]
fn quantiles_lie_between_the_nearest_values() {
    let values = [1.0, 2.0, 4.0, 8.0, 16.0];
    for (share, expected) in [(0.0, 1.0), (0.5, 4.0), (0.625, 6.0), (0.1, 1.4), (1.0, 16.0)] {
        assert!(near(quantile(&values, share), expected), "{share}");
    }
    assert_eq!(quantile(&[3.0], 0.025), 3.0);
}

/// Without differences among items a mean of two seeds is the one, the other or their mean, in a quarter, a quarter
/// and half of the draws: the percentiles are the two.
#[test]
fn two_seeds_by_hand() {
    let runs = [
        run(TASK, "1111", 0, &[50.0; 4]),
        run(TASK, "1111", 1, &[53.0; 4]),
        run(TASK, "w/o", 0, &[40.0; 4]),
        run(TASK, "w/o", 1, &[41.0; 4]),
    ];
    let found = difference(&runs, "1111", "w/o").unwrap();
    let half = 1.0 * 2.0_f64.sqrt() * 12.706_205 / 1.959_964; // differences of 10 and 12
    assert!(near(found.estimate, 11.0), "{found:?}");
    assert!(
        (found.low - (11.0 - half)).abs() < 1e-5 && (found.high - (11.0 + half)).abs() < 1e-5,
        "{found:?}"
    );
    assert_eq!((found.seeds, found.over), (2, Over::SeedsAndItems));
    let mean = bootstrap(&runs).unwrap().mean(&"1111".parse().unwrap()).unwrap();
    assert!(near(mean.estimate, 51.5) && (mean.high - (51.5 + 1.5 * half)).abs() < 1e-5, "{mean:?}");
}

#[test]
fn what_configurations_share_cancels_in_their_difference() {
    let items: Vec<f64> = (0..40).map(|i| f64::from(i * i % 37)).collect();
    let shifted = |by: f64| items.iter().map(|item| item + by).collect::<Vec<f64>>();
    // Hard and easy items, good and bad seeds: the difference is 2 for each of them.
    let runs: Vec<Run> = [(0, 3.0), (1, 9.0), (2, 4.0)]
        .into_iter()
        .flat_map(|(seed, luck)| {
            [run(TASK, "1111", seed, &shifted(luck + 2.0)), run(TASK, "w/o", seed, &shifted(luck))]
        })
        .collect();
    let found = difference(&runs, "1111", "w/o").unwrap();
    assert!(near(found.estimate, 2.0) && near(found.low, 2.0) && near(found.high, 2.0), "{found:?}");
    let mean = bootstrap(&runs).unwrap().mean(&"1111".parse().unwrap()).unwrap();
    assert!(mean.high - mean.low > 10.0, "{mean:?}");
}

/// The interval over the items of one seed is that of a mean: 1.96 standard errors to each side.
#[test]
fn one_seed_leaves_the_items() {
    let items: Vec<f64> = (0..200).map(|i| 40.0 + f64::from(i % 20)).collect();
    let found = difference(&[run(TASK, "1111", 7, &items), run(TASK, "w/o", 7, &[10.0; 200])], "1111", "w/o");
    let found = found.unwrap();
    let half = 1.96 * (399.0_f64 / 12.0 / 200.0).sqrt();
    assert!(near(found.estimate, 39.5) && found.over == Over::Items && found.seeds == 1);
    assert!((found.high - found.estimate - half).abs() < 0.1 * half, "{found:?}, {half}");
    assert!((found.estimate - found.low - half).abs() < 0.1 * half, "{found:?}, {half}");
}

#[test]
fn a_comparison_uses_the_seeds_that_both_have() {
    let runs = [
        run(TASK, "1111", 0, &[50.0; 3]),
        run(TASK, "1111", 1, &[60.0; 3]),
        run(TASK, "1111", 2, &[70.0; 3]),
        run(TASK, "w/o", 1, &[30.0; 3]),
        run(TASK, "w/o", 2, &[50.0; 3]),
        run(TASK, "0010", 9, &[50.0; 3]),
    ];
    let found = difference(&runs, "1111", "w/o").unwrap();
    assert!(near(found.estimate, 25.0) && found.seeds == 2, "{found:?}");
    assert!(difference(&runs, "1111", "0010").is_none());
    assert!(difference(&runs, "1111", "0100").is_none());
    assert_eq!(bootstrap(&runs).unwrap().mean(&"1111".parse().unwrap()).unwrap().seeds, 3);
}

#[test]
fn the_bits_are_the_same_for_any_number_of_threads() {
    let items = |shift: u64| (0..30).map(|i| ((i * 7 + shift * 3) % 31) as f64).collect::<Vec<f64>>();
    let runs: Vec<Run> = (0..3)
        .flat_map(|seed| ["1111", "w/o"].map(|c| run(TASK, c, seed, &items(seed + c.len() as u64))))
        .collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| difference(&runs, "1111", "w/o").unwrap())
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn runs_that_do_not_fit_together_are_refused() {
    let good = run(TASK, "1111", 0, &[50.0; 3]);
    let mut other_score = run(TASK, "w/o", 0, &[50.0; 3]);
    other_score.record.score = 51.0;
    let mut no_number = other_score.clone();
    no_number.record.score = f64::NAN;
    for (second, expected) in [
        (
            run(TASK, "w/o", 0, &[50.0; 4]),
            "segmentation w/o seed 0: evidence: expected 3 items as in segmentation 1111 seed 0, found 4",
        ),
        (good.clone(), "segmentation 1111 seed 0: expected one run, found two"),
        (
            run(TaskKind::Detection, "w/o", 0, &[50.0; 3]),
            "detection w/o seed 0: expected the task of segmentation 1111 seed 0",
        ),
        (other_score, "score: expected 50 as its evidence says, found 51"),
        (no_number, "found NaN"),
    ] {
        let error = bootstrap(&[good.clone(), second]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(bootstrap(&[]).unwrap_err().contains("no run"));
    assert!(bootstrap(&[run(TASK, "1111", 0, &[])]).unwrap_err().contains("found none"));
}

/// A score that is no mean over items: BLEU of a corpus, of which a draw sums other sentences.
#[test]
fn sentences_are_resampled_for_bleu() {
    let references: Vec<String> = (0..60).map(|i| format!("a b c d e f g{i} h i j")).collect();
    let hypothesis = |i: usize, every: usize| match i % every {
        0 => references[i].clone(),
        _ => "a b c d e x h i j k".to_owned(),
    };
    let run = |configuration, every| {
        let hypotheses: Vec<String> = (0..60).map(|i| hypothesis(i, every)).collect();
        let evidence =
            Evidence::Translation(sentence_statistics(&hypotheses, &references, &BleuOptions::default()));
        let mut run = run(TaskKind::Translation, configuration, 0, &[1.0; 60]);
        (run.record.score, run.evidence) = (evidence.score_of_all(), evidence);
        run
    };
    let runs = [run("1111", 2), run("w/o", 3)];
    let found = difference(&runs, "1111", "w/o").unwrap();
    assert!(near(found.estimate, runs[0].record.score - runs[1].record.score));
    assert!(found.low < found.estimate - 1.0 && found.high > found.estimate + 1.0, "{found:?}");
}

/// Synthetic studies of a known difference, which differ by their seeds more than by their items: 95 % of the intervals
/// should contain it. (Where items matter more the intervals are wider than they need to be.)
#[test]
fn intervals_contain_the_truth_as_often_as_they_say() {
    const TRIALS: u64 = 300;
    const ITEMS: usize = 20;
    for seeds in [3, 5] {
        let covers = |trial: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(1000 * seeds + trial);
            let hardness: Vec<f64> = (0..ITEMS).map(|_| 5.0 * normal(&mut rng)).collect();
            let mut runs = Vec::new();
            for seed in 0..seeds {
                let luck = normal(&mut rng); // of both
                for (configuration, mean) in [("1111", 51.5), ("w/o", 50.0)] {
                    let own = luck + normal(&mut rng);
                    let item = |hardness: &f64| mean + own + hardness + 0.5 * normal(&mut rng);
                    runs.push(run(TASK, configuration, seed, &hardness.iter().map(item).collect::<Vec<_>>()));
                }
            }
            let found = difference(&runs, "1111", "w/o").unwrap();
            found.low <= 1.5 && 1.5 <= found.high
        };
        let covered = (0..TRIALS).filter(|trial| covers(*trial)).count() as f64 / TRIALS as f64;
        println!("{seeds} seeds: {:.1} % of the intervals contain the difference", 100.0 * covered);
        assert!((0.90..=0.99).contains(&covered), "{seeds} seeds: {covered}");
    }
}
