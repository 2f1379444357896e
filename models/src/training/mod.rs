//! Training, the same for every task: order of the steps, learning rate, optimiser, weight average,
//! checkpoints, and taking up again where a run was cut off.
//!
//! ```text
//! Task: model, loss of step (epoch, i), score  -->  Trainer: steps, rates, averages, records  -->  Event
//! ```
//!
//! A training is a function of its task, its [`Recipe`] and its seed alone, as long as no time limit ends
//! it: the same bits for any number of threads, and whether or not it was interrupted and resumed.

mod average;
mod recipe;
mod task;
mod trainer;

pub use recipe::{OptimizerKind, Recipe, ScheduleKind};
pub use task::{Loss, Task};
pub use trainer::{EpochRecord, Event, Flow, Outcome, StepRecord, Trainer};
