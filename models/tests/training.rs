//! The training loop: what is resumed ends as what was never interrupted, averages score, and a NaN is named.

use std::path::Path;

use serde::{Deserialize, Serialize};
use termwise_autograd::{Array, Cpu, Module, Param, Parameters, Tape};
use termwise_models::checkpoint::Checkpoint;
use termwise_models::training::{
    EpochRecord, Event, Flow, Loss, OptimizerKind, Outcome, Recipe, Task, Trainer,
};
use termwise_ops::losses::{Reduction, mse_loss};
use termwise_ops::{add, add_scalar, log, mul, sub};

/// A line through points: `y = a x + b`, with noise that depends on epoch and step.
struct Line {
    model: Model,
    /// The step of the first epoch whose loss is NaN.
    spoiled: Option<usize>,
}

struct Model {
    a: Param<Cpu<f32>>,
    b: Param<Cpu<f32>>,
    steps: Param<Cpu<f32>>,
}

impl Module<Cpu<f32>> for Model {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f32>>) {
        parameters.param("a", &self.a);
        parameters.param("b", &self.b);
        parameters.param("steps", &self.steps);
    }
}

static CPU: Cpu<f32> = Cpu::new();

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Score {
    a: f64,
}

fn line() -> Line {
    let number = |x: f32| Array::host(&[1], vec![x]);
    let model =
        Model { a: Param::new(number(0.3)), b: Param::new(number(0.1)), steps: Param::buffer(number(0.0)) };
    Line { model, spoiled: None }
}

impl Task for Line {
    type Backend = Cpu<f32>;
    type Model = Model;
    type Config = String;
    type Score = Score;

    fn backend(&self) -> &Cpu<f32> {
        &CPU
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn config(&self) -> &String {
        static CONFIG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "line".to_owned());
        &CONFIG
    }

    fn steps(&self, epoch: usize) -> usize {
        3 + epoch % 2
    }

    fn loss(&self, tape: &Tape<Cpu<f32>>, epoch: usize, step: usize) -> Loss<Cpu<f32>> {
        // Something that a step changes besides its parameters, as batch normalisation does.
        self.model.steps.set(Array::host(&[1], vec![self.model.steps.value().as_slice()[0] + 1.0]));
        let x = (1 + epoch * 7 + step * 3) as f32 / 10.0;
        let x = tape.constant(Array::host(&[1], vec![x % 1.7]));
        let y = tape.constant(Array::host(&[1], vec![2.0 * x.value().as_slice()[0] - 1.0]));
        let line = add(&mul(&x, &self.model.a.var(tape)), &self.model.b.var(tape));
        let line = if self.spoiled == Some(step) { log(&sub(&line, &add_scalar(&line, 1.0))) } else { line };
        let total = mse_loss(&line, &y, Reduction::Mean);
        let value = f64::from(total.value().item());
        Loss { total, parts: vec![("all", value)] }
    }

    fn evaluate(&self) -> Score {
        Score { a: f64::from(self.model.a.value().as_slice()[0]) }
    }
}

fn bits(module: &dyn Module<Cpu<f32>>) -> Vec<u32> {
    module.parameters().iter().flat_map(|(_, p)| p.value().to_ndarray()).map(f32::to_bits).collect()
}

fn recipe(optimizer: OptimizerKind, average: f64) -> Recipe {
    Recipe { epochs: 5, lr: 0.05, optimizer, average, ..Recipe::default() }
}

/// Trains until `stop` steps were taken, saving after each, and says how that ended.
fn train(trainer: &mut Trainer<Line>, path: &Path, mut stop: usize) -> Outcome {
    trainer.run(&mut |trainer, event| {
        trainer.save(path).unwrap();
        if let Event::Step(_) = event {
            stop -= 1;
        }
        if stop == 0 { Flow::Stop } else { Flow::Continue }
    })
}

#[test]
fn a_training_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    for (optimizer, average) in
        [(OptimizerKind::Adam, 0.0), (OptimizerKind::Adam, 0.9), (OptimizerKind::Sgd, 0.9)]
    {
        let recipe = recipe(optimizer, average);
        let mut whole = Trainer::new(line(), recipe.clone());
        assert_eq!(train(&mut whole, &path, usize::MAX), Outcome::Finished);
        let (file, epochs) = (std::fs::read(&path).unwrap(), whole.epochs().to_vec());
        let whole = bits(whole.task().model());
        // 3 + 4 + 3 + 4 + 3 steps.
        for stop in 1..17 {
            let mut first = Trainer::new(line(), recipe.clone());
            assert_eq!(train(&mut first, &path, stop), Outcome::Stopped);
            let mut second = Trainer::resume(line(), &Checkpoint::read(&path).unwrap()).unwrap();
            assert_eq!(train(&mut second, &path, usize::MAX), Outcome::Finished);
            assert_eq!(
                bits(second.task().model()),
                whole,
                "{optimizer}, average {average}, stopped after {stop}"
            );
            let scores = |of: &[_]| -> Vec<_> {
                of.iter().map(|e: &EpochRecord<Score>| (e.loss, e.lr, e.score.clone())).collect()
            };
            assert_eq!(scores(second.epochs()), scores(&epochs), "stopped after {stop}");
            // The file differs by the time taken alone, which is in the metadata.
            let tensors = |bytes: &[u8]| {
                bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..].to_vec()
            };
            assert_eq!(tensors(&std::fs::read(&path).unwrap()), tensors(&file), "stopped after {stop}");
        }
    }
}

#[test]
fn the_average_is_what_its_formula_says() {
    let mut trainer = Trainer::new(line(), recipe(OptimizerKind::Sgd, 0.5));
    let (mut average, mut t) = (0.0, 0.0);
    trainer.run(&mut |trainer, event| {
        let a = f64::from(trainer.task().model().a.value().as_slice()[0]);
        match event {
            Event::Step(_) => {
                let decay = f64::min(0.5, (1.0 + t) / (10.0 + t));
                average = if t == 0.0 { a } else { decay * average + (1.0 - decay) * a };
                t += 1.0;
            }
            Event::Epoch(record) => {
                assert!((record.score.a - average).abs() < 1e-6, "{} and {average}", record.score.a);
                assert!((a - average).abs() > 1e-3, "the weights themselves go on: {a} and {average}");
            }
        }
        Flow::Continue
    });
    assert_eq!(trainer.epochs().len(), 5);
    let task = trainer.into_task();
    assert!((task.evaluate().a - average).abs() < 1e-6);
}

#[test]
fn a_loss_that_is_no_number_names_the_op_and_leaves_the_parameters() {
    let mut trainer = Trainer::new(Line { spoiled: Some(2), ..line() }, recipe(OptimizerKind::Adam, 0.0));
    let mut before = Vec::new();
    let outcome = trainer.run(&mut |trainer, _| {
        before = bits(&trainer.task().model);
        Flow::Continue
    });
    let Outcome::NotFinite { loss, epoch, step, cause } = outcome else { panic!("{outcome:?}") };
    assert!(loss.is_nan() && (epoch, step) == (0, 2), "{loss} {epoch} {step}");
    assert!(cause.starts_with("log: forward made the first NaN, at element 0 of shape [1]"), "{cause}");
    assert_eq!(bits(&trainer.task().model)[..2], before[..2]);
}

#[test]
fn a_model_without_its_training_and_another_training_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let refused =
        |path: &Path| Trainer::resume(line(), &Checkpoint::read(path).unwrap()).err().unwrap().to_string();
    termwise_models::checkpoint::save(&path, &"line", &line().model).unwrap();
    assert!(
        refused(&path).ends_with("field training: expected the state of a training, found a model alone")
    );
}
