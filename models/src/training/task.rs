//! What a training needs to know about its task.

use serde::Serialize;
use serde::de::DeserializeOwned;
use termwise_autograd::{Backend, Module, Tape, Var};
use termwise_ops::Kernels;

/// A model that is being trained: its data, its loss and its score.
///
/// The [module](super) has an example.
pub trait Task {
    /// Where it is trained.
    type Backend: Kernels<Scalar = f32>;
    /// The model.
    type Model: Module<Self::Backend>;
    /// How the model is built again: the architecture that a checkpoint carries.
    type Config: Serialize + DeserializeOwned;
    /// What an evaluation says.
    type Score: Serialize + DeserializeOwned + Clone;

    /// Where it is trained.
    fn backend(&self) -> &Self::Backend;

    /// The model.
    fn model(&self) -> &Self::Model;

    /// How it was built.
    fn config(&self) -> &Self::Config;

    /// Steps of an epoch, which is counted from 0; at least one.
    fn steps(&self, epoch: usize) -> usize;

    /// The loss of a step: a function of the parameters, the task's seed, `epoch` and `step` alone.
    fn loss(&self, tape: &Tape<Self::Backend>, epoch: usize, step: usize) -> Loss<Self::Backend>;

    /// The score on the validation data.
    fn evaluate(&self) -> Self::Score;
}

/// What a step minimises.
pub struct Loss<B: Backend> {
    /// One number.
    pub total: Var<B>,
    /// What it is the sum of, by name, for the records.
    pub parts: Vec<(&'static str, f64)>,
}

impl<B: Backend> From<Var<B>> for Loss<B> {
    fn from(total: Var<B>) -> Self {
        Loss { total, parts: Vec::new() }
    }
}
