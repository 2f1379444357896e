//! The study: which of the paper's findings hold for small networks on real data.
//!
//! A study is a list of independent runs: every configuration of a [grid](Plan) with every seed. A run ends in a
//! [`RunRecord`] and its [`Evidence`].

mod configuration;
mod evidence;
mod plan;
mod record;

pub use configuration::{Configuration, TaskKind};
pub use evidence::{Evidence, PixelCounts};
pub use plan::{Grid, Plan, Shard, TaskGrid, TaskPlan};
pub use record::{EpochPoint, Run, RunId, RunRecord};
