//! Runs with given scores, for tests.

use std::collections::BTreeMap;

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
