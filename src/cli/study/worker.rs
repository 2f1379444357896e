//! One run of a study, in a process of its own: what it takes in memory and time is its own, and whatever happens to it
//! happens to no other.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use termwise_autograd::{Module, Tape};
use termwise_models::checkpoint::Checkpoint;
use termwise_models::training::{Loss, Recipe, Task};
use termwise_opencl::DeviceChoice;

use super::{PLAN, RESULT, plan_of};
use crate::bench::measure::{cpu_seconds, median, reset_peak_mb, resident_mb};
use crate::cli::device::on_backend;
use crate::cli::fault::Fault;
use crate::cli::output::OutputFolder;
use crate::cli::settings::Origin;
use crate::cli::training::{CHECKPOINT, Course, Finished, interrupt};
use crate::cli::{detection, segmentation, translation};
use crate::study::{EpochPoint, Evidence, Run, RunId, RunRecord, TaskKind};

/// Arguments of the hidden command that does one run.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of the study
    dir: PathBuf,
    /// The folder of the run in it
    run: String,
    /// Keep the checkpoint of the finished training
    #[arg(long)]
    keep_checkpoint: bool,
}

/// A run and where it is kept.
pub struct Worker {
    /// Which run.
    pub id: RunId,
    folder: OutputFolder,
}

/// Runs the command.
pub fn run(args: &Args, device: DeviceChoice) -> Result<(), Fault> {
    end_with_parent();
    let plan = plan_of(&args.dir)?;
    let id = plan.runs().into_iter().find(|id| id.folder() == args.run);
    let file = args.dir.join(PLAN);
    let id = id.ok_or_else(|| Fault::of_file(&file, "run", "one of the plan", &args.run))?;
    let worker = Worker { id, folder: OutputFolder::open(&run_folder(&args.dir, &id))? };
    if worker.folder.file(RESULT).exists() {
        return Ok(());
    }
    let task = plan.task(id.task).expect("runs are those of the tasks");
    let table = format!("tasks.{}.settings.", id.task);
    let origin = Origin { file: &file, table: &table };
    let run = on_backend!(device, backend => match id.task {
        TaskKind::Segmentation => segmentation::study::run(backend, task, &worker, origin),
        TaskKind::Detection => detection::study::run(backend, task, &worker, origin),
        TaskKind::Translation => translation::study::run(backend, task, &worker, origin),
    })?;
    worker.folder.write(RESULT, serde_json::to_string(&run).expect("plain data") + "\n")?;
    if !args.keep_checkpoint {
        // One that cannot be removed does no harm.
        let _ = std::fs::remove_file(worker.folder.file(CHECKPOINT));
    }
    Ok(())
}

/// Where a run is kept.
pub fn run_folder(study: &Path, id: &RunId) -> PathBuf {
    study.join("runs").join(id.folder())
}

/// Saves and stops when the process that reads the progress has gone: it holds the other end of standard input.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while std::io::stdin().read(&mut byte).is_ok_and(|count| count > 0) {}
        interrupt();
    });
}

impl Worker {
    /// Trains to the end, or on to it from a checkpoint, and judges the result by `judge`: what the score is made of, and
    /// further figures. `flops` are those of the attention; `score` is the task's metric.
    pub fn train<T: Task>(
        &self,
        task: T,
        recipe: &Recipe,
        flops: f64,
        score: impl Fn(&T::Score) -> f64,
        judge: impl FnOnce(&T) -> (Evidence, Vec<(&'static str, f64)>),
    ) -> Result<Run, Fault> {
        let file = self.folder.file(CHECKPOINT);
        let checkpoint = if file.exists() { Some(Checkpoint::read(&file)?) } else { None };
        let start = Instant::now();
        reset_peak_mb();
        let parameters = task.model().num_parameters();
        let name = self.id.configuration.to_string();
        let describe = |score: &T::Score| as_json(score);
        let course = Course { name, folder: Some(&self.folder), save_every: 30.0, describe };
        let trainer = Course::trainer(Timed::new(task), recipe, checkpoint.as_ref())?;
        let before = trainer.seconds();
        let Finished { trainer, steps } = course.run(trainer)?;
        let (evidence, figures) = trainer.with_best(|| judge(&trainer.task().task));
        let laps = trainer.task().laps();
        let seconds = laps.or_else(|| Some(trainer.seconds() / steps.len() as f64));
        let point = |epoch: &termwise_models::training::EpochRecord<T::Score>| EpochPoint {
            loss: epoch.loss,
            score: score(&epoch.score),
        };
        let record = RunRecord {
            id: self.id,
            score: evidence.score_of_all(),
            figures: figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            parameters,
            attention_flops: flops,
            steps: steps.len(),
            step_seconds: seconds.unwrap_or(0.0),
            wall_seconds: before + start.elapsed().as_secs_f64(),
            peak_bytes: resident_mb("VmHWM").map(|mb| (mb * 1024.0 * 1024.0) as u64),
            epochs: trainer.epochs().iter().map(point).collect(),
        };
        Ok(Run { record, evidence })
    }
}

fn as_json(score: &impl Serialize) -> String {
    serde_json::to_string(score).expect("plain data")
}

/// A task that takes the time of its steps: from the beginning of one to that of the next.
struct Timed<T> {
    task: T,
    last: RefCell<Option<f64>>,
    laps: RefCell<Vec<f64>>,
}

impl<T> Timed<T> {
    fn new(task: T) -> Self {
        Timed { task, last: RefCell::new(None), laps: RefCell::new(Vec::new()) }
    }

    /// Median processor seconds of a step; `None` where the system does not say. A median leaves out the steps after which
    /// the model was evaluated or saved.
    fn laps(&self) -> Option<f64> {
        median(&self.laps.borrow())
    }
}

impl<T: Task> Task for Timed<T> {
    type Backend = T::Backend;
    type Model = T::Model;
    type Config = T::Config;
    type Score = T::Score;

    fn backend(&self) -> &T::Backend {
        self.task.backend()
    }

    fn model(&self) -> &T::Model {
        self.task.model()
    }

    fn config(&self) -> &T::Config {
        self.task.config()
    }

    fn steps(&self, epoch: usize) -> usize {
        self.task.steps(epoch)
    }

    fn loss(&self, tape: &Tape<T::Backend>, epoch: usize, step: usize) -> Loss<T::Backend> {
        let now = cpu_seconds();
        if let (Some(last), Some(now)) = (self.last.replace(now), now) {
            self.laps.borrow_mut().push(now - last);
        }
        self.task.loss(tape, epoch, step)
    }

    fn evaluate(&self) -> T::Score {
        self.task.evaluate()
    }
}
