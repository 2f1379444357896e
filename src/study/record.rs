//! What is known of one finished run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Configuration, Evidence, TaskKind};

/// Which run of a study: the key that its folder is named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunId {
    /// The task.
    pub task: TaskKind,
    /// The configuration.
    pub configuration: Configuration,
    /// The seed.
    pub seed: u64,
}

impl RunId {
    /// A name that is a file name on every system, such as `translation-0100-limited-seed2`.
    pub fn folder(&self) -> String {
        let configuration = self.configuration.to_string().replace("w/o", "wo").replace(' ', "-");
        format!("{}-{configuration}-seed{}", self.task, self.seed)
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{} {} seed {}", self.task, self.configuration, self.seed))
    }
}

/// One finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Which.
    #[serde(flatten)]
    pub id: RunId,
    /// The task's score on the validation data: mean IoU or AP in percent, or BLEU.
    pub score: f64,
    /// Further figures by name.
    pub figures: BTreeMap<String, f64>,
    /// Trainable numbers of the model.
    pub parameters: usize,
    /// Multiply-adds that the attention adds for one item, forward; see
    /// [`attention_flops`](termwise_models::layers::attention_flops).
    pub attention_flops: f64,
    /// Steps of the training.
    pub steps: usize,
    /// Median over the steps of the processor seconds that one took on one thread.
    pub step_seconds: f64,
    /// Seconds on the clock that training and evaluation took.
    pub wall_seconds: f64,
    /// Most bytes of memory that the process held; absent where the system does not say.
    pub peak_bytes: Option<u64>,
    /// The score and the mean loss after each epoch.
    pub epochs: Vec<EpochPoint>,
}

impl RunRecord {
    /// Processor seconds of all training steps, by their median.
    pub fn training_seconds(&self) -> f64 {
        self.steps as f64 * self.step_seconds
    }
}

/// A point of a training's course.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochPoint {
    /// Mean loss of the epoch.
    pub loss: f64,
    /// The task's score on the validation data after it, as in [`RunRecord::score`].
    pub score: f64,
}

/// A finished run with what its score is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What is known of it.
    pub record: RunRecord,
    /// Item by item.
    pub evidence: Evidence,
}
