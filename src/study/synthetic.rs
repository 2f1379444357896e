//! Runs with given scores, for tests.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{EpochPoint, Evidence, PixelCounts, Run, RunId, RunRecord, TaskKind};

/// A run whose score is the mean of those of its items, each in percent and kept to the fourth place.
pub fn run(task: TaskKind, configuration: &str, seed: u64, items: &[f64]) -> Run {
    let count = |score: &f64| {
        let both = (score * 1e4).round() as u32;
        // As many pixels in either as in the truth.
        PixelCounts { both: vec![both], truth: vec![1_000_000], predicted: vec![both] }
    };
    let evidence = Evidence::Segmentation(items.iter().map(count).collect());
    let score = evidence.score_of_all();
    let epochs = (1..=5)
        .map(|epoch| EpochPoint { loss: 3.0 / f64::from(epoch), score: score * (1.0 - 0.5_f64.powi(epoch)) });
    let record = RunRecord {
        id: RunId { task, configuration: configuration.parse().unwrap(), seed },
        score,
        figures: BTreeMap::new(),
        parameters: 100_000,
        attention_flops: 1e6,
        steps: 500,
        step_seconds: 0.2,
        wall_seconds: 130.0,
        peak_bytes: Some(300 << 20),
        epochs: epochs.collect(),
    };
    Run { record, evidence }
}

/// A standard normal number.
pub fn normal(rng: &mut impl rand::Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// What a configuration adds to the score, and its multiply-adds in millions and training seconds.
const STUDY: [(&str, f64, f64, f64); 24] = [
    ("w/o", 0.0, 0.0, 61.0),
    ("0000", 0.3, 3.1, 71.0),
    ("0001", 0.9, 4.0, 76.0),
    ("0010", 1.9, 4.7, 74.0),
    ("0011", 2.1, 5.6, 80.0),
    ("0100", 2.4, 5.9, 84.0),
    ("0101", 2.5, 6.0, 87.0),
    ("0110", 3.2, 7.4, 90.0),
    ("0111", 3.0, 7.6, 93.0),
    ("1000", 1.6, 7.8, 86.0),
    ("1001", 2.2, 8.6, 92.0),
    ("1010", 2.0, 7.9, 88.0),
    ("1011", 2.6, 8.7, 94.0),
    ("1100", 2.9, 8.8, 97.0),
    ("1101", 2.8, 8.9, 99.0),
    ("1110", 3.1, 8.9, 100.0),
    ("1111", 3.3, 9.1, 103.0),
    ("0100 limited", 1.7, 5.2, 85.0),
    ("dynamic", 1.4, 5.0, 79.0),
    ("deformable", 4.6, 4.4, 88.0),
    ("0010+deformable", 5.9, 9.1, 101.0),
    ("1111+deformable", 6.1, 13.5, 131.0),
    ("1111 x 1000", 3.2, 8.9, 101.0),
    ("1111 x 0010", -18.0, 8.0, 92.0),
];

/// A study of realistic numbers: all that the paper compares.
pub fn study(task: TaskKind, seeds: u64, items: usize) -> Vec<Run> {
    let mut rng = ChaCha8Rng::seed_from_u64(task as u64);
    let (base, luck_size) = [(52.0, 0.5), (44.0, 0.7), (33.0, 0.3)][task as usize];
    let hardness: Vec<f64> = (0..items).map(|_| 6.0 * normal(&mut rng)).collect();
    let mut runs = Vec::new();
    for seed in 0..seeds {
        let shared = luck_size * normal(&mut rng);
        for (configuration, gain, flops, seconds) in STUDY {
            if configuration.contains(" x ") && task.is_visual() {
                continue;
            }
            let own = shared + luck_size * normal(&mut rng);
            let score =
                |hardness: &f64| (base + gain + own + hardness + 2.0 * normal(&mut rng)).clamp(0.0, 100.0);
            let mut run = run(task, configuration, seed, &hardness.iter().map(score).collect::<Vec<_>>());
            let record = &mut run.record;
            record.attention_flops = 1e6 * (flops + if task.is_visual() { 0.0 } else { 2.0 });
            record.step_seconds = seconds / record.steps as f64 * (1.0 + 0.01 * normal(&mut rng));
            record.parameters = 700_000 + (1e4 * flops) as usize;
            record.figures.insert("AP50".to_owned(), record.score * 1.4);
            let score = record.score;
            record.epochs = (1..=12)
                .map(|epoch| EpochPoint {
                    loss: 3.0 / f64::from(epoch),
                    score: score * (1.0 - 0.7_f64.powi(epoch)) + 0.5 * normal(&mut rng),
                })
                .collect();
            runs.push(run);
        }
    }
    runs
}
