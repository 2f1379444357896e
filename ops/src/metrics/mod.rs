//! Task metrics on plain data: BLEU for translation, COCO average precision for detection, mean
//! intersection over union for segmentation, and the box arithmetic that detectors need.
//!
//! Nothing here is on the tape. Inputs are slices, `ndarray` arrays and serde structs; the same
//! input gives the same bits, whatever the number of threads.

pub mod bleu;
pub mod boxes;
pub mod coco_ap;
pub mod mean_iou;
pub mod tokenize_13a;

pub use bleu::{
    BleuOptions, BleuScore, BleuStatistics, Smoothing, Tokenizer, corpus_bleu, sentence_statistics,
};
pub use boxes::{batched_nms, box_iou, generalized_box_iou, nms};
pub use coco_ap::{
    CocoAnnotation, CocoCategory, CocoClassResult, CocoDetection, CocoError, CocoEvaluation, CocoGroundTruth,
    CocoImage, CocoStats, JudgedDetections, evaluate_bbox, judge_bbox,
};
pub use mean_iou::{ConfusionMatrix, SegmentationMetrics};
pub use tokenize_13a::tokenize_13a;
