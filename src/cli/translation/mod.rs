//! `termwise train translation`, `termwise eval translation` and `termwise predict translation`.

mod apply;
pub mod study;
mod train;

pub use apply::{EvalArgs, PredictArgs, eval, predict};
pub use train::{TrainArgs, run as train};
