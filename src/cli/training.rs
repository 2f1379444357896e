//! A training of any task, seen from outside: progress, records, checkpoints, Ctrl-C, and taking up again.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use termwise_models::checkpoint::Checkpoint;
use termwise_models::training::{EpochRecord, Event, Flow, Outcome, Recipe, StepRecord, Task, Trainer};

use super::device::Meter;
use super::fault::Fault;
use super::output::OutputFolder;
use super::progress::Progress;
use super::settings::positive;

/// The checkpoint of a training.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The records of a training.
const METRICS: &str = "metrics.jsonl";
/// What a device did in a step.
const DEVICE: &str = "device.json";
/// The settings of a training.
const SETTINGS: &str = "config.json";

/// Where a training is kept, for the command line.
#[derive(clap::Args)]
pub struct Keep {
    /// Write config.json, metrics.jsonl, checkpoint.safetensors, curves, pictures and a report into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Go on with the training in this folder, from its last checkpoint, to the same end
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Seconds between two checkpoints
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = positive, allow_negative_numbers = true)]
    pub save_every: f64,
}

/// A training about to begin or to go on.
pub struct Begin<S> {
    /// How to train.
    pub settings: S,
    /// Where it is kept.
    pub folder: Option<OutputFolder>,
    /// What it goes on from.
    pub checkpoint: Option<Checkpoint>,
}

impl Keep {
    /// Opens the folder. A new training has the settings that `given` makes, and writes them down; one that goes on
    /// has those written down.
    pub fn begin<S: Serialize + DeserializeOwned>(
        &self,
        given: impl FnOnce() -> Result<S, Fault>,
    ) -> Result<Begin<S>, Fault> {
        let Some(path) = &self.resume else {
            let settings = given()?;
            let folder = self.out.as_deref().map(OutputFolder::open).transpose()?;
            if let Some(folder) = folder.as_ref().filter(|folder| folder.file(CHECKPOINT).exists()) {
                let expected = "a folder without a training, or --resume to go on with it";
                return Err(Fault::of_file(folder.path(), "output folder", expected, CHECKPOINT));
            }
            return Ok(Begin { settings, folder, checkpoint: None });
        };
        let settings = path.join(SETTINGS);
        let fault = |error: &dyn Display| Fault::of_file(&settings, "settings", "those of a training", error);
        let text = std::fs::read_to_string(&settings).map_err(|error| fault(&error))?;
        let settings = serde_json::from_str(&text).map_err(|error| fault(&error))?;
        let folder = OutputFolder::open(path)?;
        // One that was cut off before its first checkpoint begins again.
        let file = folder.file(CHECKPOINT);
        let checkpoint = if file.exists() { Some(Checkpoint::read(&file)?) } else { None };
        Ok(Begin { settings, folder: Some(folder), checkpoint })
    }
}

impl<S: Serialize> Begin<S> {
    /// Writes the settings down, once the data have been read.
    pub fn note(&self) -> Result<(), Fault> {
        if let (Some(folder), None) = (&self.folder, &self.checkpoint) {
            let text = serde_json::to_string_pretty(&self.settings).expect("plain data");
            folder.write(SETTINGS, text + "\n")?;
        }
        Ok(())
    }
}

/// A training that is over.
pub struct Finished<T: Task> {
    /// The training.
    pub trainer: Trainer<T>,
    /// A record for each step.
    pub steps: Vec<StepRecord>,
}

/// How a training is watched and kept.
pub struct Course<'a, S> {
    /// What it is called.
    pub name: String,
    /// Where its checkpoint and records go.
    pub folder: Option<&'a OutputFolder>,
    /// Seconds between two checkpoints, at least.
    pub save_every: f64,
    /// A score in a few words.
    pub describe: fn(&S) -> String,
}

/// A line of `metrics.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", bound(deserialize = "S: DeserializeOwned"))]
enum Line<S> {
    Step(StepRecord),
    Epoch(EpochRecord<S>),
}

impl<S: Serialize + DeserializeOwned + Clone> Course<'_, S> {
    /// A trainer of `task`: from the beginning, or from where a checkpoint left off.
    pub fn trainer<T: Task<Score = S>>(
        task: T,
        recipe: &Recipe,
        from: Option<&Checkpoint>,
    ) -> Result<Trainer<T>, Fault> {
        Ok(match from {
            Some(checkpoint) => Trainer::resume(task, checkpoint)?,
            None => Trainer::new(task, recipe.clone()),
        })
    }

    /// Trains to the end, from the beginning or from where `trainer` was resumed.
    ///
    /// A checkpoint and the records are written into the folder on the way, and at the end.
    pub fn run<T: Task<Score = S>>(&self, mut trainer: Trainer<T>) -> Result<Finished<T>, Fault> {
        const WHOLE: f64 = 1000.0;
        let name = &self.name;
        let mut records = Records::<S>::before(self.folder, trainer.position())?;
        let epochs = trainer.recipe().epochs;
        let mut meter = Meter::of(trainer.task().backend());
        let progress = Progress::start(name, WHOLE as u64);
        let (mut last, mut saved, mut failed) = (String::new(), Instant::now(), None);
        let outcome = trainer.run(&mut |trainer, event| {
            let mut epoch_ended = false;
            match event {
                Event::Step(record) => {
                    meter.step();
                    records.add(Line::Step(record.clone()));
                    let message = format!(
                        "epoch {} loss {:.3}{last}{}",
                        record.epoch + 1,
                        record.loss,
                        records.speed()
                    );
                    progress.set((WHOLE * record.progress) as u64, message);
                }
                Event::Epoch(record) => {
                    epoch_ended = true;
                    let score = (self.describe)(&record.score);
                    let EpochRecord { epoch, loss, seconds, .. } = record;
                    progress.line(&format!(
                        "{name}: epoch {epoch}/{epochs}: loss {loss:.4}, {score}, {seconds:.1} s"
                    ));
                    last = format!(", {score}");
                    records.add(Line::Epoch(record.clone()));
                }
            }
            let due = saved.elapsed().as_secs_f64() >= self.save_every;
            if due && (epoch_ended || self.save_every < 60.0) {
                if let Err(fault) = self.save(trainer, &records) {
                    failed = Some(fault);
                    return Flow::Stop;
                }
                saved = Instant::now();
            }
            meter.begin();
            if interrupted() { Flow::Stop } else { Flow::Continue }
        });
        drop(progress);
        if let Some(fault) = failed {
            return Err(fault);
        }
        if let Outcome::NotFinite { loss, epoch, step, cause } = outcome {
            let kept = match self.folder {
                Some(folder) if folder.file(CHECKPOINT).exists() => "; the last good checkpoint is kept",
                _ => "",
            };
            let found = if loss.is_finite() {
                format!("gradients: expected finite numbers, found others at a loss of {loss}")
            } else {
                format!("loss: expected finite numbers, found {loss}")
            };
            return Err(Fault::Input(format!(
                "{name}: {found} in epoch {} at step {}: {cause}; a smaller learning rate may help{kept}",
                epoch + 1,
                step + 1
            )));
        }
        self.save(&trainer, &records)?;
        if let Some(traffic) = meter.traffic() {
            eprintln!("{traffic}");
            if let Some(folder) = self.folder {
                folder.write(DEVICE, serde_json::to_string_pretty(&traffic).expect("plain data") + "\n")?;
            }
        }
        match outcome {
            Outcome::Stopped => Err(Fault::Interrupted(match self.folder {
                Some(folder) => {
                    format!("{name}: stopped and saved; go on with --resume {}", folder.path().display())
                }
                None => format!("{name}: stopped; nothing is kept without --out DIR"),
            })),
            _ => Ok(Finished { trainer, steps: records.steps }),
        }
    }

    /// Writes records, then checkpoint: records that are ahead of their checkpoint are dropped on resuming.
    fn save<T: Task<Score = S>>(&self, trainer: &Trainer<T>, records: &Records<S>) -> Result<(), Fault> {
        if let Some(folder) = self.folder {
            folder.write(METRICS, &records.lines)?;
            trainer.save(&folder.file(CHECKPOINT))?;
        }
        Ok(())
    }
}

/// What happened so far.
struct Records<S> {
    steps: Vec<StepRecord>,
    lines: String,
    score: std::marker::PhantomData<S>,
}

impl<S: Serialize + DeserializeOwned> Records<S> {
    /// Those that a folder holds of the steps before (epoch, step).
    fn before(folder: Option<&OutputFolder>, position: (usize, usize)) -> Result<Self, Fault> {
        let mut records =
            Records { steps: Vec::new(), lines: String::new(), score: std::marker::PhantomData };
        let Some(folder) = folder.filter(|_| position != (0, 0)) else { return Ok(records) };
        let path = folder.file(METRICS);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Fault::of_file(&path, "records", "those of the training to go on with", error)
        })?;
        for (number, text) in text.lines().enumerate() {
            let line: Line<S> = serde_json::from_str(text)
                .map_err(|error| Fault::of_file(&path, &format!("line {}", number + 1), "a record", error))?;
            let happened = match &line {
                Line::Step(record) => (record.epoch, record.step + 1),
                Line::Epoch(record) => (record.epoch, 0),
            };
            if happened <= position {
                records.add(line);
            }
        }
        Ok(records)
    }

    /// Steps a second of late, for the progress bar.
    fn speed(&self) -> String {
        let recent = &self.steps[self.steps.len().saturating_sub(20)..];
        match recent {
            [first, .., last] if last.seconds > first.seconds => {
                format!(", {:.1} steps/s", (recent.len() - 1) as f64 / (last.seconds - first.seconds))
            }
            _ => String::new(),
        }
    }

    fn add(&mut self, line: Line<S>) {
        self.lines += &serde_json::to_string(&line).expect("plain data");
        self.lines.push('\n');
        if let Line::Step(record) = line {
            self.steps.push(record);
        }
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether Ctrl-C was pressed since the first training began. The second time ends the process at once.
pub fn interrupted() -> bool {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // Where no handler can be set, Ctrl-C ends the process as ever.
        let _ = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
    });
    INTERRUPTED.load(Ordering::Relaxed)
}

/// As if Ctrl-C were pressed.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}
