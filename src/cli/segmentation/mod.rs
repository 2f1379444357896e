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

/// A number above zero, for arguments.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number above 0".to_owned())
}
