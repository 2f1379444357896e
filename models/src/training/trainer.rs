//! The training loop.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use termwise_autograd::{Module, Tape};
use termwise_ops::optim::{Optimizer, clip_grad_norm};

use super::average::Average;
use super::{Loss, Recipe, Task};
use crate::checkpoint::{self, Checkpoint, CheckpointError};

/// One training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Step within the epoch, counted from 0.
    pub step: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Loss of the batch.
    pub loss: f64,
    /// What the loss is the sum of, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(Cow<'static, str>, f64)>,
    /// Learning rate of the step.
    pub lr: f64,
    /// Seconds of training so far, those before an interruption included.
    pub seconds: f64,
    /// Share of the training that is done, in [0, 1].
    pub progress: f64,
}

/// One pass over the training data and the evaluation that follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord<S> {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Mean loss over the epoch's batches.
    pub loss: f64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// The score on the validation data.
    #[serde(flatten)]
    pub score: S,
    /// Seconds of training so far, evaluation included.
    pub seconds: f64,
}

/// What happens during training, in order.
pub enum Event<'a, S> {
    /// A step was taken.
    Step(&'a StepRecord),
    /// An epoch ended and was evaluated.
    Epoch(&'a EpochRecord<S>),
}

/// Whether a training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It stops here; what was done so far can be saved and taken up again.
    Stop,
}

/// How a training ended.
///
/// A loss of `ln(-1)`:
/// ```
/// # use termwise_autograd::{Array, Cpu, Module, Param, Parameters, Tape};
/// # use termwise_models::training::{Flow, Loss, Outcome, Recipe, Task, Trainer};
/// # use termwise_ops::log;
/// # struct Number(Param<Cpu<f32>>);
/// # impl Module<Cpu<f32>> for Number {
/// #     fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
/// #         parameters.param("number", &self.0);
/// #     }
/// # }
/// # struct Spoiled(Number, Cpu<f32>, String);
/// # impl Task for Spoiled {
/// #     type Backend = Cpu<f32>;
/// #     type Model = Number;
/// #     type Config = String;
/// #     type Score = f32;
/// #     fn backend(&self) -> &Cpu<f32> { &self.1 }
/// #     fn model(&self) -> &Number { &self.0 }
/// #     fn config(&self) -> &String { &self.2 }
/// #     fn steps(&self, _: usize) -> usize { 1 }
/// #     fn loss(&self, tape: &Tape<Cpu<f32>>, _: usize, _: usize) -> Loss<Cpu<f32>> {
/// #         log(&self.0.0.var(tape)).into()
/// #     }
/// #     fn evaluate(&self) -> f32 { 0.0 }
/// # }
/// # let task = Spoiled(Number(Param::new(Array::host(&[], vec![-1.0]))), Cpu::new(), String::new());
/// let mut trainer = Trainer::new(task, Recipe::default());
/// let Outcome::NotFinite { loss, epoch, step, cause } = trainer.run(&mut |_, _| Flow::Continue) else { panic!() };
/// assert!(loss.is_nan() && (epoch, step) == (0, 0));
/// assert!(cause.starts_with("log: forward made the first NaN"));
/// assert_eq!(trainer.task().model().0.value().item(), -1.0); // untouched
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done, or the time is up.
    Finished,
    /// It was stopped from outside.
    Stopped,
    /// A loss, or the norm of a step's gradients, was no finite number. Parameters are those of the step before;
    /// buffers, such as running statistics, may have moved with the step.
    NotFinite {
        /// The loss.
        loss: f64,
        /// Epoch, counted from 0.
        epoch: usize,
        /// Step within it, counted from 0.
        step: usize,
        /// Which op made the first NaN or infinity, and where.
        cause: String,
    },
}

/// What a loss is the sum of, by name.
type Parts = Vec<(&'static str, f64)>;

/// Where a training is: everything that the next step depends on besides arrays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    epoch: usize,
    /// The next step of the epoch.
    step: usize,
    /// Sum of the epoch's losses so far.
    loss_sum: f64,
    /// Learning rate of the last step.
    lr: f64,
    seconds: f64,
    /// Steps that the average has taken in.
    averaged: u64,
}

/// What a checkpoint holds besides the model, for taking a training up again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<S> {
    recipe: Recipe,
    position: Position,
    epochs: Vec<EpochRecord<S>>,
}

/// A training under way. The [module](super) has an example.
pub struct Trainer<T: Task> {
    task: T,
    recipe: Recipe,
    optimizer: Box<dyn Optimizer<T::Backend>>,
    average: Option<Average<T::Backend>>,
    position: Position,
    epochs: Vec<EpochRecord<T::Score>>,
}

impl<T: Task> Trainer<T> {
    /// Before the first step.
    pub fn new(task: T, recipe: Recipe) -> Self {
        let optimizer = recipe.optimizer();
        let average = (recipe.average > 0.0).then(|| Average::new(recipe.average));
        Trainer { task, recipe, optimizer, average, position: Position::default(), epochs: Vec::new() }
    }

    /// The task.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// How it is trained.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// A record of each epoch that ended.
    pub fn epochs(&self) -> &[EpochRecord<T::Score>] {
        &self.epochs
    }

    /// Seconds of training so far.
    pub fn seconds(&self) -> f64 {
        self.position.seconds
    }

    /// Epoch, and step within it, that come next, both counted from 0.
    pub fn position(&self) -> (usize, usize) {
        (self.position.epoch, self.position.step)
    }

    /// Trains until the end, telling `on_event` what happens and asking it whether to go on.
    pub fn run(&mut self, on_event: &mut dyn FnMut(&Self, Event<T::Score>) -> Flow) -> Outcome {
        let (start, before) = (Instant::now(), self.position.seconds);
        let clock = || before + start.elapsed().as_secs_f64();
        let (limit, epochs) = (self.recipe.time_limit.unwrap_or(f64::INFINITY), self.recipe.epochs);
        while self.position.epoch < epochs && clock() < limit {
            let epoch = self.position.epoch;
            let steps = self.task.steps(epoch);
            while self.position.step < steps {
                let step = self.position.step;
                let by_clock = clock() / limit;
                if by_clock >= 1.0 && step > 0 {
                    break;
                }
                let share = |step: usize| (epoch as f64 + step as f64 / steps as f64) / epochs as f64;
                let lr = self.recipe.lr * self.recipe.rate(share(step).max(by_clock));
                let (loss, parts) = match self.step(epoch, step, lr) {
                    Ok(loss) => loss,
                    Err(outcome) => return outcome,
                };
                let position = &mut self.position;
                (position.step, position.lr, position.seconds) = (step + 1, lr, clock());
                position.loss_sum += loss;
                let (seconds, progress) =
                    (position.seconds, share(step + 1).max(position.seconds / limit).min(1.0));
                let parts = parts.into_iter().map(|(name, value)| (name.into(), value)).collect();
                let record = StepRecord { epoch, step, steps, loss, parts, lr, seconds, progress };
                if on_event(self, Event::Step(&record)) == Flow::Stop {
                    return Outcome::Stopped;
                }
            }
            let score = self.score();
            let Position { step, loss_sum, lr, .. } = self.position;
            let record =
                EpochRecord { epoch: epoch + 1, loss: loss_sum / step as f64, lr, score, seconds: clock() };
            let (seconds, averaged) = (record.seconds, self.position.averaged);
            self.position = Position { epoch: epoch + 1, step: 0, loss_sum: 0.0, lr, seconds, averaged };
            self.epochs.push(record.clone());
            if on_event(self, Event::Epoch(&record)) == Flow::Stop {
                return Outcome::Stopped;
            }
        }
        Outcome::Finished
    }

    /// One step; its loss and what that is the sum of.
    fn step(&mut self, epoch: usize, step: usize, lr: f64) -> Result<(f64, Parts), Outcome> {
        let tape = Tape::new(self.task.backend().clone());
        let Loss { total, parts } = self.task.loss(&tape, epoch, step);
        let loss = f64::from(total.value().item());
        if !loss.is_finite() {
            return Err(self.not_finite(loss, epoch, step));
        }
        let gradients = tape.backward(&total);
        let parameters = self.task.model().parameters();
        let clipped = clip_grad_norm(&parameters, &gradients, self.recipe.clip_norm);
        if !clipped.total_norm().is_finite() {
            return Err(self.not_finite(loss, epoch, step));
        }
        self.optimizer.step(&parameters, &clipped, lr);
        if let Some(average) = &mut self.average {
            average.update(self.task.model());
            self.position.averaged = average.steps;
        }
        Ok((loss, parts))
    }

    /// Computes the step again and looks for where its first NaN or infinity came from.
    fn not_finite(&self, loss: f64, epoch: usize, step: usize) -> Outcome {
        let tape = Tape::new(self.task.backend().clone()).watched();
        let total = self.task.loss(&tape, epoch, step).total;
        tape.backward(&total);
        let cause =
            tape.first_non_finite().unwrap_or_else(|| "no op made one when computed again".to_owned());
        Outcome::NotFinite { loss, epoch, step, cause }
    }

    /// The score of the averaged weights where there is an average, else of the present ones.
    pub fn score(&self) -> T::Score {
        self.with_best(|| self.task.evaluate())
    }

    /// Runs `f` while the model has the averaged weights, where there is an average.
    pub fn with_best<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.average {
            Some(average) => average.with(self.task.model(), f),
            None => f(),
        }
    }

    /// Writes a checkpoint: the model as it is to be used, and what is needed to go on.
    ///
    /// # Errors
    /// If the file cannot be written; an older one is then still there.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let model = self.task.model();
        let mut extra = self.optimizer.state();
        extra.iter_mut().for_each(|(name, _)| *name = format!("{OPTIMIZER}{name}"));
        if self.average.as_ref().is_some_and(|average| !average.values.is_empty()) {
            // The tensors under their own names are the averaged ones, these those that training goes on with.
            extra.extend(
                model.parameters().iter().map(|(name, param)| (format!("{PRESENT}{name}"), param.value())),
            );
        }
        let saved = Saved {
            recipe: self.recipe.clone(),
            position: self.position.clone(),
            epochs: self.epochs.clone(),
        };
        let extra = checkpoint::Extra { entry: json!(saved), tensors: extra };
        self.with_best(|| checkpoint::save_with(path, self.task.config(), model, &extra))
    }

    /// The training that a checkpoint holds, to go on with `task` and the checkpoint's own recipe.
    ///
    /// # Errors
    /// If the checkpoint holds no training, or one of another model.
    pub fn resume(task: T, saved: &Checkpoint) -> Result<Self, CheckpointError> {
        let Saved { recipe, position, epochs } = saved.training::<Saved<T::Score>>()?;
        let mut trainer = Trainer::new(task, recipe);
        let parameters = trainer.task.model().parameters();
        saved.load(trainer.task.model())?;
        let state = saved.extra(trainer.task.backend(), OPTIMIZER)?;
        trainer
            .optimizer
            .load_state(&parameters, state)
            .map_err(|e| saved.fault("optimizer", "its state", e))?;
        if let Some(average) = &mut trainer.average
            && position.averaged > 0
        {
            average.steps = position.averaged;
            average.values = parameters.iter().map(|(_, param)| param.value()).collect();
            let mut present = saved.extra(trainer.task.backend(), PRESENT)?;
            for (name, param) in &parameters {
                let at =
                    present.iter().position(|(own, value)| own == name && value.shape() == param.shape());
                let at = at.ok_or_else(|| saved.fault(&format!("{PRESENT}{name}"), "a tensor", "none"))?;
                param.set(present.swap_remove(at).1);
            }
        }
        drop(parameters);
        (trainer.position, trainer.epochs) = (position, epochs);
        Ok(trainer)
    }

    /// The task, with the weights that are to be used.
    pub fn into_task(self) -> T {
        if let Some(average) = self.average.as_ref().filter(|average| !average.values.is_empty()) {
            let parameters = self.task.model().parameters();
            parameters.iter().zip(&average.values).for_each(|((_, param), value)| param.set(value.clone()));
        }
        self.task
    }
}

/// Prefix of the optimiser's state in a checkpoint.
const OPTIMIZER: &str = "training/optimizer/";
/// Prefix of the weights that training goes on with, where the model's are averages.
const PRESENT: &str = "training/present/";
