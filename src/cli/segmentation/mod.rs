//! `termwise train segmentation` and `termwise eval segmentation`.

mod data;
mod eval;
mod figures;
mod page;
mod run;
mod train;

pub use data::Data;
pub use eval::{EvalArgs, run as eval};
pub use page::{describe, table};
pub use run::Run;
pub use train::{TrainArgs, run as train};
