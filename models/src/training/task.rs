//! What a training needs to know about its task.

use serde::Serialize;
use serde::de::DeserializeOwned;
use termwise_autograd::{Cpu, Module, Tape, Var};

/// A model that is being trained: its data, its loss and its score.
pub trait Task {
    /// The model.
    type Model: Module<Cpu<f32>>;
    /// How the model is built again: the architecture that a checkpoint carries.
    type Config: Serialize + DeserializeOwned;
    /// What an evaluation says.
    type Score: Serialize + DeserializeOwned + Clone;

    /// The model.
    fn model(&self) -> &Self::Model;

    /// How it was built.
    fn config(&self) -> &Self::Config;

    /// Steps of an epoch, which is counted from 0; at least one.
    fn steps(&self, epoch: usize) -> usize;

    /// The loss of a step: a function of the parameters, the task's seed, `epoch` and `step` alone.
    fn loss(&self, tape: &Tape<Cpu<f32>>, epoch: usize, step: usize) -> Loss;

    /// The score on the validation data.
    fn evaluate(&self) -> Self::Score;
}

/// What a step minimises.
pub struct Loss {
    /// One number.
    pub total: Var<Cpu<f32>>,
    /// What it is the sum of, by name, for the records.
    pub parts: Vec<(&'static str, f64)>,
}

impl From<Var<Cpu<f32>>> for Loss {
    fn from(total: Var<Cpu<f32>>) -> Self {
        Loss { total, parts: Vec::new() }
    }
}
