//! Probes: one mechanism, one layer, one task that needs one factor of attention.
//!
//! Tokens are embedded by one linear map, pass through the mechanism alone (no residual, no absolute
//! position) and are read out by another linear map. What such a layer cannot do after training, the
//! mechanism cannot do.

mod layer;
mod mechanism;
mod train;

pub use layer::ProbeLayer;
pub use mechanism::{Ability, ProbeMechanism};
pub use train::{ProbeConfig, ProbeStep, ProbeTraining, train_cell, train_cells};

use termwise_datasets::probe::ProbeTask;

/// One trained cell of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeCell {
    /// The mechanism that was trained.
    pub mechanism: ProbeMechanism,
    /// The task it was trained on.
    pub task: ProbeTask,
    /// Seed of its initial values and its data.
    pub seed: u64,
    /// Share of tokens answered right on fresh samples.
    pub accuracy: f64,
    /// Training steps taken.
    pub steps: usize,
    /// `(step, loss, accuracy on the training batches)` along the way.
    pub curve: Vec<(usize, f64, f64)>,
    /// Wall time in seconds.
    pub seconds: f64,
}
