//! Object detection: Faster R-CNN with a feature pyramid on the attended backbone.
//!
//! | step | file |
//! |---|---|
//! | scaled pictures in memory, their views in training | `picture.rs`, `view.rs` |
//! | the model: backbone and pyramid, proposals, box head | `model.rs`, `rpn.rs`, `box_head.rs` |
//! | anchors, boxes as numbers relative to others | `anchors.rs`, `boxes.rs` |
//! | which object a box is trained on, and which boxes are | `matching.rs` |
//! | from predictions to proposals | `proposals.rs` |
//! | loss of a step, score | `task.rs`, `evaluate.rs` |
//! | boxes drawn into pictures | `draw.rs` |

mod anchors;
mod box_head;
mod boxes;
mod config;
mod draw;
mod evaluate;
mod matching;
mod model;
mod picture;
mod proposals;
mod rpn;
mod task;
mod view;

pub use anchors::AnchorConfig;
pub use box_head::assigned_level;
pub use boxes::{BoxCoder, Corners};
pub use config::{
    AugmentConfig, DetectionKind, DetectionSettings, DetectorConfig, ReportConfig, TargetConfig,
};
pub use draw::draw_boxes;
pub use evaluate::{ClassScore, DetectionScore, detect, judge, score};
pub use matching::{Match, Matcher, Sampled, sample};
pub use model::{Detection, Detector, DetectorLosses, STRIDE, Target};
pub use picture::{Picture, measure};
pub use proposals::{LevelPrediction, Proposal, ProposalConfig, propose};
pub use rpn::{Rpn, RpnOutput};
pub use task::{DetectionTask, recipe};
pub use view::{PictureBatch, View};
