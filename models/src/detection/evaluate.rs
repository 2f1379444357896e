//! What a detector finds in pictures, and its score by the rules of COCO.

use serde::{Deserialize, Serialize};
use termwise_autograd::{Array, Tape};
use termwise_datasets::batch::Normalisation;
use termwise_ops::Kernels;
use termwise_ops::metrics::{
    CocoAnnotation, CocoCategory, CocoDetection, CocoGroundTruth, CocoImage, CocoStats, JudgedDetections,
    evaluate_bbox, judge_bbox,
};

use super::model::{Detection, Detector};
use super::picture::Picture;
use super::view::{PictureBatch, View};

/// The most pictures that are looked at together.
const TOGETHER: usize = 4;

/// The figures of COCO on some pictures, in [0, 1]; -1 where there is nothing to be found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectionScore {
    /// Over all classes.
    #[serde(flatten)]
    pub stats: CocoStats,
    /// Of each class, in the order of their ids.
    pub classes: Vec<ClassScore>,
}

/// The figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Mean over the IoU thresholds .50 to .95.
    #[serde(rename = "AP")]
    pub ap: f64,
    /// At IoU .50.
    #[serde(rename = "AP50")]
    pub ap50: f64,
}

/// What the detector finds in each picture, in pixels of the file, by descending score.
///
/// Neighbours of one size are looked at together; that changes nothing but the time.
///
/// # Examples
/// The detector of one anchor that [`Detector`] has as its example, on a picture of twice its size:
/// ```
/// # use ndarray::Array3;
/// # use termwise_autograd::{Array, Cpu, Module};
/// # use termwise_datasets::detection::DetectionSample;
/// # use termwise_models::Init;
/// # use termwise_models::detection::{AnchorConfig, DetectionSettings, Detector, Picture, detect};
/// # let anchors = AnchorConfig { sizes: vec![vec![], vec![], vec![], vec![32.0]], ratios: vec![1.0] };
/// # let settings = DetectionSettings::new("w/o".parse().unwrap());
/// # let settings = DetectionSettings { width: 4, channels: 4, hidden: 4, anchors, ..settings };
/// # let config = settings.architecture(vec!["cat".to_owned()], [0.5; 3], [0.25; 3]);
/// # let detector = Detector::new(config, &mut Init::new(Cpu::<f32>::new(), 0));
/// # for (name, param) in detector.parameters() {
/// #     if ["rpn.deltas", "head.deltas", "head.classes"].iter().any(|part| name.starts_with(part)) {
/// #         param.set(Array::zeros(&Cpu::new(), &param.shape()));
/// #     }
/// #     if name == "head.classes.bias" {
/// #         param.set(Array::host(&[2], vec![0.0, 3f32.ln()]));
/// #     }
/// # }
/// let image = Array3::from_elem((3, 64, 40), 0.5); // 64 high, 40 wide
/// let sample = DetectionSample { image_id: 0, name: "cat".to_owned(), image, objects: Vec::new() };
/// let found = detect(&detector, &[Picture::new(&sample, 32)]).remove(0);
/// assert_eq!((found.len(), found[0].bounds), (1, [0.0, 0.0, 40.0, 64.0])); // in pixels of the file
/// assert!((found[0].score - 0.75).abs() < 1e-6);
/// ```
pub fn detect<B: Kernels<Scalar = f32>>(detector: &Detector<B>, pictures: &[Picture]) -> Vec<Vec<Detection>> {
    let config = detector.config();
    let normalisation = Normalisation { mean: config.mean, std: config.std };
    let mut found = Vec::with_capacity(pictures.len());
    let of_one_size = pictures.chunk_by(|a, b| a.size() == b.size());
    for chunk in of_one_size.flat_map(|pictures| pictures.chunks(TOGETHER)) {
        let views: Vec<(&Picture, View)> = chunk.iter().map(|picture| (picture, View::WHOLE)).collect();
        let batch = PictureBatch::new(&views, &normalisation);
        let tape = Tape::inference(detector.backend().clone());
        let images = tape.constant(Array::from_ndarray(detector.backend(), batch.images));
        for (picture, mut detections) in chunk.iter().zip(detector.detect(&images, &batch.sizes)) {
            detections.iter_mut().for_each(|d| d.bounds = picture.unscaled(&d.bounds));
            found.push(detections);
        }
    }
    found
}

/// Compares what was found with what is there.
///
/// # Panics
/// If there are not as many lists of detections as pictures.
///
/// # Examples
/// One of two objects is found, exactly; a box beside them is wrong, but less sure.
/// ```
/// use ndarray::Array3;
/// use termwise_datasets::BoundingBox;
/// use termwise_datasets::detection::{DetectionObject, DetectionSample};
/// use termwise_models::detection::{Detection, Picture, judge, score};
/// let object = |x0| {
///     let bounds = BoundingBox { x0, y0: 0.0, x1: x0 + 8.0, y1: 8.0 };
///     DetectionObject { class: 0, bounds, area: 64.0, crowd: false, difficult: false, mask: None }
/// };
/// let objects = vec![object(0.0), object(20.0)];
/// let (name, image) = (String::new(), Array3::zeros((3, 32, 32)));
/// let pictures = [Picture::new(&DetectionSample { image_id: 0, name, image, objects }, 32)];
/// let found = |score, x: f64| Detection { class: 0, score, bounds: [x, 0.0, x + 8.0, 8.0] };
/// let found = [vec![found(0.9, 0.0), found(0.5, 10.0)]];
/// let result = score(&["cat".to_owned()], &pictures, &found);
/// // Precision is 1 up to a recall of one half: at 51 of the 101 recalls that COCO looks at.
/// assert!((result.stats.ap - 51.0 / 101.0).abs() < 1e-12);
/// assert_eq!((result.classes[0].name.as_str(), result.classes[0].ap50), ("cat", result.stats.ap50));
/// assert_eq!(judge(&["cat".to_owned()], &pictures, &found).ap(&[1]), result.stats.ap); // counted once
/// ```
#[track_caller]
pub fn score(classes: &[String], pictures: &[Picture], found: &[Vec<Detection>]) -> DetectionScore {
    let (ground_truth, detections) = as_coco(classes, pictures, found);
    let evaluation =
        evaluate_bbox(&ground_truth, &detections).expect("pictures are listed and boxes are finite");
    let of_class = |(id, name): (usize, &String)| {
        let result = &evaluation.per_class[&(id as i64)];
        ClassScore { name: name.clone(), ap: result.ap, ap50: result.ap_per_iou[0] }
    };
    let classes = classes.iter().enumerate().map(of_class).collect();
    DetectionScore { stats: evaluation.stats, classes }
}

/// As [`score`], picture by picture: the average precision of any choice of them follows.
///
/// # Panics
/// As [`score`].
#[track_caller]
pub fn judge(classes: &[String], pictures: &[Picture], found: &[Vec<Detection>]) -> JudgedDetections {
    let (ground_truth, detections) = as_coco(classes, pictures, found);
    judge_bbox(&ground_truth, &detections).expect("pictures are listed and boxes are finite")
}

#[track_caller]
fn as_coco(
    classes: &[String],
    pictures: &[Picture],
    found: &[Vec<Detection>],
) -> (CocoGroundTruth, Vec<CocoDetection>) {
    assert!(
        pictures.len() == found.len(),
        "detection: {} lists for {} pictures",
        found.len(),
        pictures.len()
    );
    let mut ground_truth = CocoGroundTruth::default();
    let category = |(id, name): (usize, &String)| CocoCategory { id: id as i64, name: name.clone() };
    ground_truth.categories = classes.iter().enumerate().map(category).collect();
    for (image, picture) in pictures.iter().enumerate() {
        ground_truth.images.push(CocoImage { id: image as i64, ..CocoImage::default() });
        for object in &picture.objects {
            let b = [object.bounds.x0, object.bounds.y0, object.bounds.x1, object.bounds.y1].map(f64::from);
            ground_truth.annotations.push(CocoAnnotation {
                id: ground_truth.annotations.len() as i64 + 1,
                image_id: image as i64,
                category_id: object.class as i64,
                bbox: [b[0], b[1], b[2] - b[0], b[3] - b[1]],
                area: f64::from(object.area),
                iscrowd: u8::from(object.crowd),
            });
        }
    }
    let reported = |(image, list): (usize, &Vec<Detection>)| {
        let report = move |d: &Detection| CocoDetection {
            image_id: image as i64,
            category_id: d.class as i64,
            bbox: [d.bounds[0], d.bounds[1], d.bounds[2] - d.bounds[0], d.bounds[3] - d.bounds[1]],
            score: d.score,
        };
        list.iter().map(report).collect::<Vec<_>>()
    };
    let detections = found.iter().enumerate().flat_map(reported).collect();
    (ground_truth, detections)
}
