//! Semantic segmentation: the model, its training and its evaluation.

mod evaluate;
mod model;
mod train;

pub use evaluate::{Evaluation, QueryMaps, evaluate, predict, query_maps};
pub use model::{ModuleMaps, SegmentationTask, Segmenter, SegmenterConfig};
pub use train::{SegmentationScore, SegmentationTraining, TrainConfig};
