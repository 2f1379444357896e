//! Which detection found which object: one class in one picture.

use super::{CocoAnnotation, CocoDetection, MAX_DETECTIONS, NUM_THRESHOLDS};

/// The objects and detections of one class in one picture, and their overlaps.
pub(super) struct ImageClass {
    objects: Vec<Object>,
    /// By descending score, the best [`MAX_DETECTIONS`].
    detections: Vec<Detection>,
}

struct Object {
    area: f64,
    is_crowd: bool,
}

struct Detection {
    score: f64,
    area: f64,
    ious: Vec<f64>, // with each object
}

impl ImageClass {
    pub(super) fn new(objects: &[&CocoAnnotation], detections: &[&CocoDetection]) -> Self {
        let mut by_score = detections.to_vec();
        // Stable: of equal scores the earlier goes first.
        by_score.sort_by(|a, b| b.score.partial_cmp(&a.score).expect("scores are finite"));
        let detection = |d: &&CocoDetection| Detection {
            score: d.score,
            area: d.bbox[2] * d.bbox[3],
            ious: objects.iter().map(|object| iou(d.bbox, object.bbox, object.iscrowd != 0)).collect(),
        };
        Self {
            objects: objects.iter().map(|o| Object { area: o.area, is_crowd: o.iscrowd != 0 }).collect(),
            detections: by_score.iter().take(MAX_DETECTIONS).map(detection).collect(),
        }
    }
}

/// Intersection over union of two boxes (x, y, width, height). With a crowd it is intersection
/// over the detection's area: a crowd that holds the detection matches it fully.
fn iou(detection: [f64; 4], object: [f64; 4], is_crowd: bool) -> f64 {
    let [dx, dy, dw, dh] = detection;
    let [gx, gy, gw, gh] = object;
    let width = (dx + dw).min(gx + gw) - dx.max(gx);
    let height = (dy + dh).min(gy + gh) - dy.max(gy);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let intersection = width * height;
    intersection / if is_crowd { dw * dh } else { dw * dh + gw * gh - intersection }
}

/// What a detection is at one IoU threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It found an object that counts.
    Hit,
    /// It found nothing.
    Miss,
    /// It found an object that does not count, or nothing and is itself of another size.
    Ignored,
}

/// The detections of one class in one picture, judged for one range of areas.
pub(super) struct Matches {
    /// Descending.
    pub(super) scores: Vec<f64>,
    /// Per threshold, for each detection.
    pub(super) outcomes: [Vec<Outcome>; NUM_THRESHOLDS],
    /// Objects that count: no crowds, area in range.
    pub(super) num_objects: usize,
}

/// Gives each detection, best score first, the free object with the highest IoU.
pub(super) fn match_detections(
    image: &ImageClass,
    area: [f64; 2],
    thresholds: &[f64; NUM_THRESHOLDS],
) -> Matches {
    let out_of_range = |value: f64| value < area[0] || value > area[1];
    let is_ignored = |object: &Object| object.is_crowd || out_of_range(object.area);
    // The objects that count come first: the rest is looked at only if none of them matches.
    let (counted, ignored): (Vec<usize>, Vec<usize>) =
        (0..image.objects.len()).partition(|&g| !is_ignored(&image.objects[g]));

    let outcomes = thresholds.map(|threshold| {
        let mut taken = vec![false; image.objects.len()];
        let mut judge = |detection: &Detection| {
            // Of equal IoUs the later object wins, hence `>=`.
            let mut best_of = |candidates: &[usize]| {
                let mut best = None;
                let mut best_iou = threshold;
                for &g in candidates {
                    let is_free = !taken[g] || image.objects[g].is_crowd;
                    if is_free && detection.ious[g] >= best_iou {
                        best_iou = detection.ious[g];
                        best = Some(g);
                    }
                }
                if let Some(g) = best {
                    taken[g] = true;
                }
                best.is_some()
            };
            if best_of(&counted) {
                Outcome::Hit
            } else if best_of(&ignored) || out_of_range(detection.area) {
                Outcome::Ignored
            } else {
                Outcome::Miss
            }
        };
        image.detections.iter().map(&mut judge).collect()
    });
    let scores = image.detections.iter().map(|detection| detection.score).collect();
    Matches { scores, outcomes, num_objects: counted.len() }
}
