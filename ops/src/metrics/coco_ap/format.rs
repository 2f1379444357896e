//! The parts of COCO's JSON files that box detection needs; other fields are skipped when read.

use serde::{Deserialize, Serialize};

/// An annotation file (`instances_*.json`).
///
/// ```
/// use termwise_ops::metrics::CocoGroundTruth;
/// let file = r#"{
///     "info": {"year": 2026},
///     "images": [{"id": 7, "width": 64, "height": 48, "file_name": "7.png"}],
///     "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20], "area": 150}],
///     "categories": [{"id": 3, "name": "bolt"}]
/// }"#;
/// let ground_truth: CocoGroundTruth = serde_json::from_str(file).unwrap();
/// let object = &ground_truth.annotations[0];
/// assert_eq!((object.bbox, object.area, object.iscrowd), ([1.0, 2.0, 10.0, 20.0], 150.0, 0));
/// assert_eq!((ground_truth.images[0].width, ground_truth.categories[0].name.as_str()), (64, "bolt"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CocoGroundTruth {
    /// The pictures evaluated, with or without objects.
    pub images: Vec<CocoImage>,
    /// The objects.
    pub annotations: Vec<CocoAnnotation>,
    /// The classes evaluated.
    pub categories: Vec<CocoCategory>,
}

/// A picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CocoImage {
    /// What annotations and detections refer to.
    pub id: i64,
    /// In pixels; 0 where the file does not say.
    #[serde(default)]
    pub width: u32,
    /// In pixels; 0 where the file does not say.
    #[serde(default)]
    pub height: u32,
    /// Where the picture is; empty where the file does not say.
    #[serde(default)]
    pub file_name: String,
}

/// An object, or a crowd of objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoAnnotation {
    /// Number of the annotation.
    #[serde(default)]
    pub id: i64,
    /// The picture.
    pub image_id: i64,
    /// The class.
    pub category_id: i64,
    /// x, y, width, height.
    pub bbox: [f64; 4],
    /// Area of the object's outline, which decides whether it is small, medium or large.
    pub area: f64,
    /// 1 for a crowd: finding it is neither required nor wrong.
    #[serde(default)]
    pub iscrowd: u8,
}

/// A class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CocoCategory {
    /// What annotations and detections refer to.
    pub id: i64,
    /// Its name; empty where the file does not say.
    #[serde(default)]
    pub name: String,
}

/// A detection; a results file is a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoDetection {
    /// The picture.
    pub image_id: i64,
    /// The class.
    pub category_id: i64,
    /// x, y, width, height.
    pub bbox: [f64; 4],
    /// The higher, the surer.
    pub score: f64,
}
