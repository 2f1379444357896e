//! Training, the same for every task: order of the steps, learning rate, optimiser, weight average,
//! checkpoints, and taking up again where a run was cut off.
//!
//! ```text
//! Task: model, loss of step (epoch, i), score  -->  Trainer: steps, rates, averages, records  -->  Event
//! ```
//!
//! A training is a function of its task, its [`Recipe`] and its seed alone, as long as no time limit ends
//! it: the same bits for any number of threads, and whether or not it was interrupted and resumed.
//!
//! A task whose loss is the square of the distance between a number and 3. AdamW's steps have about the length of the
//! learning rate as long as the gradients are alike:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use termwise_autograd::{Array, Cpu, Module, Param, Parameters, Tape};
//! use termwise_models::checkpoint::Checkpoint;
//! use termwise_models::training::{Event, Flow, Loss, Outcome, Recipe, ScheduleKind, Task, Trainer};
//! use termwise_ops::{add_scalar, square};
//!
//! struct Number(Param<Cpu<f32>>);
//! impl Module<Cpu<f32>> for Number {
//!     fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
//!         parameters.param("number", &self.0);
//!     }
//! }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Distance(f32);
//!
//! struct Three(Number, Cpu<f32>, String);
//! impl Task for Three {
//!     type Backend = Cpu<f32>;
//!     type Model = Number;
//!     type Config = String;
//!     type Score = Distance;
//!     fn backend(&self) -> &Cpu<f32> { &self.1 }
//!     fn model(&self) -> &Number { &self.0 }
//!     fn config(&self) -> &String { &self.2 }
//!     fn steps(&self, _epoch: usize) -> usize { 2 }
//!     fn loss(&self, tape: &Tape<Cpu<f32>>, _epoch: usize, _step: usize) -> Loss<Cpu<f32>> {
//!         square(&add_scalar(&self.0.0.var(tape), -3.0)).into()
//!     }
//!     fn evaluate(&self) -> Distance { Distance((self.0.0.value().item() - 3.0).abs()) }
//! }
//!
//! let task = || Three(Number(Param::new(Array::host(&[], vec![0.0]))), Cpu::new(), "three".to_owned());
//! let (warmup, schedule) = (0.0, ScheduleKind::Constant);
//! let recipe = Recipe { epochs: 2, lr: 0.1, warmup, schedule, weight_decay: 0.0, ..Recipe::default() };
//! let mut trainer = Trainer::new(task(), recipe);
//! // Stopped after one of two steps of the first of two epochs ...
//! let outcome = trainer.run(&mut |_, event| match event {
//!     Event::Step(step) => {
//!         assert_eq!((step.epoch, step.step, step.loss, step.lr), (0, 0, 9.0, 0.1));
//!         Flow::Stop
//!     }
//!     Event::Epoch(_) => Flow::Continue,
//! });
//! assert_eq!((outcome, trainer.position()), (Outcome::Stopped, (0, 1)));
//! let path = std::env::temp_dir().join(format!("termwise-training-{}.safetensors", std::process::id()));
//! trainer.save(&path)?;
//! // ... and taken up again: about 0.1 a step, so that 2.6 are left after four.
//! let mut trainer = Trainer::resume(task(), &Checkpoint::read(&path)?)?;
//! assert_eq!(trainer.run(&mut |_, _| Flow::Continue), Outcome::Finished);
//! let left: Vec<f32> = trainer.epochs().iter().map(|epoch| epoch.score.0).collect();
//! assert!((left[0] - 2.8).abs() < 1e-4 && (left[1] - 2.6).abs() < 2e-3, "{left:?}");
//! # std::fs::remove_file(&path).unwrap();
//! # Ok::<(), termwise_models::checkpoint::CheckpointError>(())
//! ```

mod average;
mod recipe;
mod task;
mod trainer;

pub use recipe::{OptimizerKind, Recipe, ScheduleKind};
pub use task::{Loss, Task};
pub use trainer::{EpochRecord, Event, Flow, Outcome, StepRecord, Trainer};
