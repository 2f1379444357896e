//! The precision-recall curve of one class over all pictures.

use super::matching::{Matches, Outcome};
use super::{NUM_THRESHOLDS, UNDEFINED};

/// Recalls 0, .01 .. 1 at which precision is read.
const NUM_RECALLS: usize = 101;

/// What is kept of a curve, per IoU threshold.
pub(super) struct Curve {
    /// Mean of the precisions at the 101 recalls.
    pub(super) ap: [f64; NUM_THRESHOLDS],
    /// The highest recall.
    pub(super) recall: [f64; NUM_THRESHOLDS],
}

impl Curve {
    /// From the best `max_detections` of each picture; `None` if there is no object to be found.
    pub(super) fn new(images: &[Matches], max_detections: usize) -> Option<Self> {
        let num_objects: usize = images.iter().map(|image| image.num_objects).sum();
        if num_objects == 0 {
            return None;
        }
        // (picture, place in it) of all detections by descending score, stable: of equal scores
        // the lower picture goes first.
        let mut order: Vec<(usize, usize)> = (images.iter().enumerate())
            .flat_map(|(i, image)| (0..image.scores.len().min(max_detections)).map(move |d| (i, d)))
            .collect();
        let score = |&(i, d): &(usize, usize)| images[i].scores[d];
        order.sort_by(|a, b| score(b).partial_cmp(&score(a)).expect("scores are finite"));

        let mut curve = Self { ap: [UNDEFINED; NUM_THRESHOLDS], recall: [UNDEFINED; NUM_THRESHOLDS] };
        for t in 0..NUM_THRESHOLDS {
            let outcomes = order.iter().map(|&(i, d)| (images[i].outcomes[t][d], 1));
            (curve.ap[t], curve.recall[t]) = precision_and_recall(outcomes, num_objects);
        }
        Some(curve)
    }
}

/// Mean precision over the recall points, and the highest recall, where each outcome counts so many times.
pub(super) fn precision_and_recall(
    outcomes: impl Iterator<Item = (Outcome, u32)>,
    num_objects: usize,
) -> (f64, f64) {
    let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
    let (mut hits, mut misses) = (0.0, 0.0);
    for (outcome, weight) in outcomes.filter(|&(_, weight)| weight > 0) {
        match outcome {
            Outcome::Hit => hits += f64::from(weight),
            Outcome::Miss => misses += f64::from(weight),
            Outcome::Ignored => {}
        }
        recalls.push(hits / num_objects as f64);
        // The epsilon is for the ignored detections before the first that counts.
        precisions.push(hits / (misses + hits + f64::EPSILON));
    }
    // Each precision becomes the best one at that recall or a higher one.
    for i in (1..precisions.len()).rev() {
        precisions[i - 1] = f64::max(precisions[i - 1], precisions[i]);
    }
    let read = |point: usize| {
        // As a product: .57 and 57 * .01 differ in the last bit, and a recall may lie on a point.
        let wanted = if point == NUM_RECALLS - 1 { 1.0 } else { point as f64 * 0.01 };
        let first = recalls.partition_point(|&recall| recall < wanted);
        precisions.get(first).copied().unwrap_or(0.0)
    };
    let sum: f64 = (0..NUM_RECALLS).map(read).sum();
    (sum / NUM_RECALLS as f64, recalls.last().copied().unwrap_or(0.0))
}
