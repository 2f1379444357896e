//! The study: which of the paper's findings hold for small networks on real data.
//!
//! A study is a list of independent runs: every configuration of a [grid](Plan) with every seed. A run ends in a
//! [`RunRecord`] and its [`Evidence`].
//!
//! | file | what is there |
//! |---|---|
//! | `configuration`, `plan` | what is compared, and the runs it takes |
//! | `record`, `evidence` | what a run leaves behind |
//! | `statistics` | means and differences with their intervals |
//! | `claims` | the paper's findings, stated before the run, and their verdicts |
//! | `summary` | all of it in numbers, for `study.json` |
//! | `page` | all of it for a reader |

mod claims;
mod configuration;
mod evidence;
mod page;
mod plan;
mod record;
mod statistics;
mod summary;
#[cfg(test)]
mod synthetic;

pub use configuration::{Configuration, TaskKind};
pub use evidence::{Evidence, PixelCounts};
pub use page::page;
pub use plan::{Grid, Plan, Shard, TaskGrid, TaskPlan};
pub use record::{EpochPoint, Run, RunId, RunRecord};
pub use statistics::{Bootstrap, Interval, Over};
pub use summary::{About, AboutTask, Summary};
