//! Average precision and recall of a detector by the rules of COCO, for boxes.
//!
//! For every class, detections of all pictures are taken by descending score; at each IoU
//! threshold of .50, .55 .. .95 each is a hit, a miss, or is ignored. Precision,
//! made monotone, is read at the 101 recalls 0, .01 .. 1. AP is its mean over
//! recalls, thresholds and classes; AR is the mean of the highest recall. The figures for small,
//! medium and large objects ignore all others.
//!
//! Equal to pycocotools 2.0.11 `COCOeval(iouType="bbox")` with its default parameters, quirks
//! included: an object's area is the `area` of its annotation (that of its outline), a
//! detection's is its box's; only `iscrowd` makes an annotation ignored; an annotation of an
//! unlisted picture or class and a detection of an unlisted class are left out. One thing is not
//! taken over: there an annotation with id 0 never counts as found, here ids mean nothing.
//! Source: Lin et al., ECCV 2014, and <https://cocodataset.org/#detection-eval>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

mod curve;
mod format;
mod judged;
mod matching;
#[cfg(test)]
mod tests;

use curve::Curve;
pub use format::{CocoAnnotation, CocoCategory, CocoDetection, CocoGroundTruth, CocoImage};
pub use judged::{JudgedDetections, judge_bbox};
use matching::{ImageClass, match_detections};

/// IoU thresholds.
const NUM_THRESHOLDS: usize = 10;
/// Of one class in one picture, at most so many detections are looked at.
const MAX_DETECTIONS: usize = 100;
/// Any area, small, medium, large; in square pixels, both ends included.
const AREA_RANGES: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
/// What a mean over nothing is reported as.
const UNDEFINED: f64 = -1.0;

/// .50, .55 .. .95 to the last bit as the reference has them: an IoU may lie on a threshold.
fn iou_thresholds() -> [f64; NUM_THRESHOLDS] {
    let step = (0.95 - 0.5) / 9.0;
    std::array::from_fn(|i| if i == 9 { 0.95 } else { 0.5 + i as f64 * step })
}

/// The twelve figures of COCO, in [0, 1]; -1 where no object is there to be found. Serialized
/// under the names that COCO gives them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoStats {
    /// Mean over the IoU thresholds .50 to .95: the figure by which detectors are ranked.
    #[serde(rename = "AP")]
    pub ap: f64,
    /// AP at IoU .50.
    #[serde(rename = "AP50")]
    pub ap50: f64,
    /// AP at IoU .75.
    #[serde(rename = "AP75")]
    pub ap75: f64,
    /// AP of objects with an area of at most 32 x 32.
    #[serde(rename = "AP_small")]
    pub ap_small: f64,
    /// AP of objects with an area from 32 x 32 to 96 x 96.
    #[serde(rename = "AP_medium")]
    pub ap_medium: f64,
    /// AP of objects with an area of at least 96 x 96.
    #[serde(rename = "AP_large")]
    pub ap_large: f64,
    /// Recall with one detection per picture and class.
    #[serde(rename = "AR1")]
    pub ar1: f64,
    /// Recall with ten detections per picture and class.
    #[serde(rename = "AR10")]
    pub ar10: f64,
    /// Recall with a hundred detections per picture and class.
    #[serde(rename = "AR100")]
    pub ar100: f64,
    /// Recall of small objects.
    #[serde(rename = "AR_small")]
    pub ar_small: f64,
    /// Recall of medium objects.
    #[serde(rename = "AR_medium")]
    pub ar_medium: f64,
    /// Recall of large objects.
    #[serde(rename = "AR_large")]
    pub ar_large: f64,
}

/// The figures of one class over all areas, with up to a hundred detections per picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoClassResult {
    /// Mean of `ap_per_iou`; -1 for a class without objects.
    #[serde(rename = "AP")]
    pub ap: f64,
    /// AP at each IoU threshold .50, .55 .. .95.
    #[serde(rename = "AP_per_iou")]
    pub ap_per_iou: [f64; NUM_THRESHOLDS],
    /// Recall at each IoU threshold.
    #[serde(rename = "AR_per_iou")]
    pub ar_per_iou: [f64; NUM_THRESHOLDS],
}

/// What [`evaluate_bbox`] finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoEvaluation {
    /// The figures over all classes.
    pub stats: CocoStats,
    /// The figures of each class, by category id.
    pub per_class: BTreeMap<i64, CocoClassResult>,
}

/// What is wrong with the detections or the ground truth.
#[derive(Clone, Debug, PartialEq)]
pub enum CocoError {
    /// A detection names a picture that the ground truth does not list.
    UnknownImage {
        /// Place of the detection in the list.
        detection: usize,
        /// The picture that it names.
        image_id: i64,
    },
    /// A number is infinite or NaN.
    NotFinite {
        /// `annotations` or `detections`.
        list: &'static str,
        /// Place in the list.
        index: usize,
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: f64,
    },
}

impl fmt::Display for CocoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownImage { detection, image_id } => {
                write!(f, "detections[{detection}].image_id is {image_id}, expected an id of images")
            }
            Self::NotFinite { list, index, field, found } => {
                write!(f, "{list}[{index}].{field} has {found}, expected a finite number")
            }
        }
    }
}

impl std::error::Error for CocoError {}

/// Evaluates detections against the ground truth.
///
/// # Formula
/// See the [module](self).
///
/// # Edge cases
/// A class without objects that count (none at all, all crowds, all of other sizes) is left out
/// of the means; a mean over no class is -1. A class with objects and no detection has AP 0.
/// Of equal scores the earlier in a picture goes first, then the picture with the lower id.
///
/// # Errors
/// If a detection's picture is unknown, or a box, an area or a score is not finite.
///
/// # Examples
/// ```
/// use termwise_ops::metrics::{CocoAnnotation, CocoCategory, CocoDetection, CocoGroundTruth, CocoImage};
/// use termwise_ops::metrics::evaluate_bbox;
///
/// let object = |id, bbox: [f64; 4]| {
///     CocoAnnotation { id, image_id: 1, category_id: 7, bbox, area: bbox[2] * bbox[3], iscrowd: 0 }
/// };
/// let ground_truth = CocoGroundTruth {
///     images: vec![CocoImage { id: 1, ..CocoImage::default() }],
///     annotations: vec![object(1, [0.0, 0.0, 10.0, 10.0]), object(2, [50.0, 0.0, 10.0, 10.0])],
///     categories: vec![CocoCategory { id: 7, name: "bolt".into() }],
/// };
/// // Found: the first object, with an IoU of 0.8.
/// let detection = CocoDetection { image_id: 1, category_id: 7, bbox: [0.0, 0.0, 10.0, 8.0], score: 0.9 };
/// let found = evaluate_bbox(&ground_truth, &[detection]).unwrap();
/// // Half of the objects, so precision is 1 at the recalls 0 .. 0.50, which are 51 of 101.
/// assert!((found.stats.ap50 - 51.0 / 101.0).abs() < 1e-12);
/// assert!((found.stats.ap - 51.0 / 101.0 * 0.7).abs() < 1e-12); // at .50 to .80
/// assert_eq!(found.per_class[&7].ar_per_iou[6..], [0.5, 0.0, 0.0, 0.0]);
/// assert_eq!(found.stats.ap_large, -1.0);
/// ```
pub fn evaluate_bbox(
    ground_truth: &CocoGroundTruth,
    detections: &[CocoDetection],
) -> Result<CocoEvaluation, CocoError> {
    check(ground_truth, detections)?;
    let classes = group_by_class(ground_truth, detections);
    let curves: Vec<ClassCurves> = classes.values().map(ClassCurves::new).collect();

    let mean_ap = |select: fn(&ClassCurves) -> &Option<Curve>, thresholds: std::ops::Range<usize>| {
        mean(curves.iter().filter_map(|c| select(c).as_ref()).flat_map(|c| &c.ap[thresholds.clone()]))
    };
    let mean_ar = |select: fn(&ClassCurves) -> &Option<Curve>| {
        mean(curves.iter().filter_map(|c| select(c).as_ref()).flat_map(|c| &c.recall))
    };
    let every = 0..NUM_THRESHOLDS;
    let stats = CocoStats {
        ap: mean_ap(|c| &c.by_area[0], every.clone()),
        ap50: mean_ap(|c| &c.by_area[0], 0..1),
        ap75: mean_ap(|c| &c.by_area[0], 5..6),
        ap_small: mean_ap(|c| &c.by_area[1], every.clone()),
        ap_medium: mean_ap(|c| &c.by_area[2], every.clone()),
        ap_large: mean_ap(|c| &c.by_area[3], every),
        ar1: mean_ar(|c| &c.with_1),
        ar10: mean_ar(|c| &c.with_10),
        ar100: mean_ar(|c| &c.by_area[0]),
        ar_small: mean_ar(|c| &c.by_area[1]),
        ar_medium: mean_ar(|c| &c.by_area[2]),
        ar_large: mean_ar(|c| &c.by_area[3]),
    };
    let per_class = classes.keys().zip(&curves).map(|(&id, curves)| (id, curves.result())).collect();
    Ok(CocoEvaluation { stats, per_class })
}

/// The curves of one class; `None` where no object counts.
struct ClassCurves {
    by_area: [Option<Curve>; AREA_RANGES.len()],
    with_1: Option<Curve>,
    with_10: Option<Curve>,
}

impl ClassCurves {
    fn new(images: &BTreeMap<i64, ImageClass>) -> Self {
        let thresholds = iou_thresholds();
        let matched = AREA_RANGES.map(|area| {
            images.values().map(|image| match_detections(image, area, &thresholds)).collect::<Vec<_>>()
        });
        Self {
            with_1: Curve::new(&matched[0], 1),
            with_10: Curve::new(&matched[0], 10),
            by_area: matched.map(|images| Curve::new(&images, MAX_DETECTIONS)),
        }
    }

    fn result(&self) -> CocoClassResult {
        let undefined = [UNDEFINED; NUM_THRESHOLDS];
        let (ap_per_iou, ar_per_iou) =
            self.by_area[0].as_ref().map_or((undefined, undefined), |curve| (curve.ap, curve.recall));
        CocoClassResult { ap: mean(&ap_per_iou), ap_per_iou, ar_per_iou }
    }
}

fn mean<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { UNDEFINED } else { sum / f64::from(count) }
}

fn check(ground_truth: &CocoGroundTruth, detections: &[CocoDetection]) -> Result<(), CocoError> {
    let finite = |list, index, field, values: &[f64]| match values.iter().find(|v| !v.is_finite()) {
        Some(&found) => Err(CocoError::NotFinite { list, index, field, found }),
        None => Ok(()),
    };
    for (i, annotation) in ground_truth.annotations.iter().enumerate() {
        finite("annotations", i, "bbox", &annotation.bbox)?;
        finite("annotations", i, "area", &[annotation.area])?;
    }
    let image_ids: BTreeSet<i64> = ground_truth.images.iter().map(|image| image.id).collect();
    for (i, detection) in detections.iter().enumerate() {
        if !image_ids.contains(&detection.image_id) {
            return Err(CocoError::UnknownImage { detection: i, image_id: detection.image_id });
        }
        finite("detections", i, "bbox", &detection.bbox)?;
        finite("detections", i, "score", &[detection.score])?;
    }
    Ok(())
}

/// The objects and detections of one class in one picture, in file order.
#[derive(Default)]
struct Group<'a> {
    objects: Vec<&'a CocoAnnotation>,
    detections: Vec<&'a CocoDetection>,
}

/// For each class listed, the pictures that have something of it, both by id.
fn group_by_class(
    ground_truth: &CocoGroundTruth,
    detections: &[CocoDetection],
) -> BTreeMap<i64, BTreeMap<i64, ImageClass>> {
    let image_ids: BTreeSet<i64> = ground_truth.images.iter().map(|image| image.id).collect();
    let mut classes: BTreeMap<i64, BTreeMap<i64, Group>> =
        ground_truth.categories.iter().map(|category| (category.id, BTreeMap::new())).collect();
    for annotation in &ground_truth.annotations {
        if let Some(images) = classes.get_mut(&annotation.category_id)
            && image_ids.contains(&annotation.image_id)
        {
            images.entry(annotation.image_id).or_default().objects.push(annotation);
        }
    }
    for detection in detections {
        if let Some(images) = classes.get_mut(&detection.category_id) {
            images.entry(detection.image_id).or_default().detections.push(detection);
        }
    }
    let prepare = |images: BTreeMap<i64, Group>| {
        let prepare = |(id, group): (i64, Group)| (id, ImageClass::new(&group.objects, &group.detections));
        images.into_iter().map(prepare).collect()
    };
    classes.into_iter().map(|(id, images)| (id, prepare(images))).collect()
}
