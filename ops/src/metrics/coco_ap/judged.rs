//! Average precision of any choice of the pictures, without matching them again: for resampling.

use serde::{Deserialize, Serialize};

use super::curve::precision_and_recall;
use super::matching::{Matches, Outcome, match_detections};
use super::{
    AREA_RANGES, CocoDetection, CocoError, CocoGroundTruth, NUM_THRESHOLDS, check, group_by_class,
    iou_thresholds, mean,
};

/// What each detection of some pictures turned out to be, which does not depend on the other pictures. The average
/// precision of any choice of them, some more than once, follows without looking at boxes again.
///
/// ```
/// use termwise_ops::metrics::{CocoAnnotation, CocoCategory, CocoDetection, CocoGroundTruth, CocoImage};
/// use termwise_ops::metrics::judge_bbox;
/// let bbox = [0.0, 0.0, 10.0, 10.0];
/// let object = |image_id| CocoAnnotation { id: 1, image_id, category_id: 1, bbox, area: 100.0, iscrowd: 0 };
/// let ground_truth = CocoGroundTruth {
///     images: [1, 2].map(|id| CocoImage { id, ..CocoImage::default() }).to_vec(),
///     annotations: vec![object(1), object(2)],
///     categories: vec![CocoCategory { id: 1, name: "bolt".into() }],
/// };
/// // Found in the first picture alone.
/// let detection = CocoDetection { image_id: 1, category_id: 1, bbox, score: 0.9 };
/// let judged = judge_bbox(&ground_truth, &[detection]).unwrap();
/// assert!((judged.ap(&[1, 0]) - 1.0).abs() < 1e-12);
/// assert_eq!((judged.ap(&[0, 1]), judged.ap(&[0, 0])), (0.0, -1.0));
/// assert!((judged.ap(&[1, 1]) - 51.0 / 101.0).abs() < 1e-12); // recall ends at one half: 0, .01 .. .50
/// assert!((judged.ap50(&[3, 1]) - 76.0 / 101.0).abs() < 1e-12); // at three quarters: 0, .01 .. .75
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedDetections {
    /// How many pictures there are.
    num_images: usize,
    classes: Vec<JudgedClass>,
}

/// One class: its detections by descending score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct JudgedClass {
    /// Objects that count in each picture.
    objects: Vec<u32>,
    /// The picture of each detection, by place in the list of pictures.
    images: Vec<u32>,
    /// At which of the ten thresholds (bit 0: IoU .50) it found an object that counts.
    hits: Vec<u16>,
    /// At which it counts neither for nor against.
    ignored: Vec<u16>,
}

/// Judges detections as [`evaluate_bbox`](super::evaluate_bbox) does, all areas, at most 100 of a picture and class.
///
/// # Errors
/// As [`evaluate_bbox`](super::evaluate_bbox).
pub fn judge_bbox(
    ground_truth: &CocoGroundTruth,
    detections: &[CocoDetection],
) -> Result<JudgedDetections, CocoError> {
    check(ground_truth, detections)?;
    let mut ids: Vec<i64> = ground_truth.images.iter().map(|image| image.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let place = |id: i64| ids.binary_search(&id).expect("pictures are listed");
    let classes = group_by_class(ground_truth, detections).into_values().map(|images| {
        let judge = |(id, image)| (place(id), match_detections(&image, AREA_RANGES[0], &iou_thresholds()));
        JudgedClass::new(images.into_iter().map(judge).collect(), ids.len())
    });
    Ok(JudgedDetections { num_images: ids.len(), classes: classes.collect() })
}

impl JudgedClass {
    fn new(matches: Vec<(usize, Matches)>, num_images: usize) -> Self {
        let mut objects = vec![0; num_images];
        let mut all = Vec::new();
        for (image, matches) in &matches {
            objects[*image] = matches.num_objects as u32;
            let mask = |d: usize, of: Outcome| {
                let bit = |t: usize| u16::from(matches.outcomes[t][d] == of) << t;
                (0..NUM_THRESHOLDS).map(bit).sum::<u16>()
            };
            let judged =
                |(d, &score)| (score, *image as u32, mask(d, Outcome::Hit), mask(d, Outcome::Ignored));
            all.extend(matches.scores.iter().enumerate().map(judged));
        }
        // Stable: of equal scores the earlier picture goes first.
        all.sort_by(|a, b| b.0.partial_cmp(&a.0).expect("scores are finite"));
        JudgedClass {
            objects,
            images: all.iter().map(|d| d.1).collect(),
            hits: all.iter().map(|d| d.2).collect(),
            ignored: all.iter().map(|d| d.3).collect(),
        }
    }

    fn average_precision(&self, weights: &[u32], threshold: usize) -> Option<f64> {
        let num_objects: u32 =
            self.objects.iter().zip(weights).map(|(objects, weight)| objects * weight).sum();
        let outcome = |d: usize| match (self.hits[d] >> threshold & 1, self.ignored[d] >> threshold & 1) {
            (1, _) => Outcome::Hit,
            (_, 1) => Outcome::Ignored,
            _ => Outcome::Miss,
        };
        let outcomes = (0..self.images.len()).map(|d| (outcome(d), weights[self.images[d] as usize]));
        (num_objects > 0).then(|| precision_and_recall(outcomes, num_objects as usize).0)
    }
}

impl JudgedDetections {
    /// How many pictures were judged.
    pub fn num_images(&self) -> usize {
        self.num_images
    }

    /// AP, the mean over IoU thresholds .50 to .95 and classes, where picture `i` (by ascending id) counts
    /// `weights[i]` times; -1 where no object counts.
    ///
    /// # Panics
    /// If there are not as many weights as pictures.
    #[track_caller]
    pub fn ap(&self, weights: &[u32]) -> f64 {
        self.mean_ap(weights, 0..NUM_THRESHOLDS)
    }

    /// AP at IoU .50 alone; see [`ap`](Self::ap).
    #[track_caller]
    pub fn ap50(&self, weights: &[u32]) -> f64 {
        self.mean_ap(weights, 0..1)
    }

    #[track_caller]
    fn mean_ap(&self, weights: &[u32], thresholds: std::ops::Range<usize>) -> f64 {
        assert!(
            weights.len() == self.num_images,
            "JudgedDetections: {} weights for {} pictures",
            weights.len(),
            self.num_images
        );
        let of =
            |class| thresholds.clone().filter_map(move |t| JudgedClass::average_precision(class, weights, t));
        let values: Vec<f64> = self.classes.iter().flat_map(of).collect();
        mean(&values)
    }
}
