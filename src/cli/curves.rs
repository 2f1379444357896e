//! The course of a training as a figure.

use termwise_models::training::{EpochRecord, StepRecord};

use crate::report::{Axis, LineChart, Series, Svg};

/// Steps over which the loss is averaged in a curve.
const SMOOTH: usize = 8;

/// The loss over time, and a score of each epoch, which has a name.
pub fn curves<S>(
    steps: &[StepRecord],
    epochs: &[EpochRecord<S>],
    score: &str,
    of: impl Fn(&S) -> f64,
) -> String {
    let x = Axis::new("seconds of training");
    let mean = |chunk: &[StepRecord]| {
        let sum: f64 = chunk.iter().map(|step| step.loss).sum();
        (chunk[chunk.len() - 1].seconds, sum / chunk.len() as f64)
    };
    let line = |points: Vec<(f64, f64)>| vec![Series { name: String::new(), style: 0, points }];
    let loss = LineChart {
        title: format!("Loss, mean over {SMOOTH} steps"),
        x: x.clone(),
        y: Axis::new("loss"),
        series: line(steps.chunks(SMOOTH).map(mean).collect()),
        small: false,
    };
    let scores: Vec<(f64, f64)> = epochs.iter().map(|epoch| (epoch.seconds, of(&epoch.score))).collect();
    let best = scores.iter().map(|&(_, score)| score).fold(1e-3, f64::max);
    let scores = LineChart {
        title: format!("{score} on validation data"),
        x,
        y: Axis::between(score, 0.0, 1.1 * best),
        series: line(scores),
        small: false,
    };
    Svg::stacked("The course of training", &[loss.draw(), scores.draw()]).file()
}
