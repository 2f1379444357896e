//! `termwise train segmentation`, `termwise eval segmentation` and `termwise predict segmentation`.

mod data;
mod eval;
mod figures;
mod page;
mod predict;
mod run;
pub mod study;
mod train;

pub use data::Data;
pub use eval::{EvalArgs, run as eval};
pub use figures::png;
pub use page::{describe, table};
pub use predict::{PredictArgs, run as predict};
pub use run::Run;
pub use train::{TrainArgs, run as train};
