//! `termwise train detection`, `termwise eval detection` and `termwise predict detection`.

mod apply;
pub mod study;
mod train;

pub use apply::{EvalArgs, PredictArgs, eval, predict};
pub use train::{TrainArgs, run as train};
