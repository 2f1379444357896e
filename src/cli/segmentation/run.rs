//! One training with its progress and its records.

use serde::Serialize;
use termwise_autograd::Module;
use termwise_models::segmentation::{EpochRecord, Event, StepRecord, TrainConfig, Trained, train};

use super::data::Data;
use crate::cli::fault::Fault;
use crate::cli::progress::Progress;

/// A finished training.
pub struct Run {
    /// How it was trained.
    pub config: TrainConfig,
    /// The model and a record for each epoch.
    pub trained: Trained,
    /// A record for each step.
    pub steps: Vec<StepRecord>,
}

/// A line of `metrics.jsonl`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Step(&'a StepRecord),
    Epoch(&'a EpochRecord),
}

impl Run {
    /// Trains; `on_epoch` gets all lines of metrics so far whenever an epoch ends.
    pub fn train(config: TrainConfig, data: &Data, mut on_epoch: impl FnMut(&str)) -> Result<Self, Fault> {
        const WHOLE: f64 = 1000.0;
        let name = config.attention.to_string();
        let progress = Progress::start(&name, WHOLE as u64);
        let (mut steps, mut lines, mut last) = (Vec::new(), String::new(), String::new());
        let mut on_event = |event: &Event| {
            let line = match event {
                Event::Step(record) => {
                    let by_steps = (record.epoch as f64 + (record.step + 1) as f64 / record.steps as f64)
                        / config.epochs as f64;
                    let by_clock = config.time_limit.map_or(0.0, |limit| record.seconds / limit);
                    let message = format!("epoch {} loss {:.3}{last}", record.epoch + 1, record.loss);
                    progress.set((WHOLE * by_steps.max(by_clock).min(1.0)) as u64, message);
                    steps.push(*record);
                    Line::Step(record)
                }
                Event::Epoch(record) => {
                    let EpochRecord { epoch, loss, miou, pixel_accuracy, seconds, .. } = record;
                    progress.line(&format!(
                        "{name}: epoch {epoch}/{}: loss {loss:.4}, mean IoU {miou:.4}, pixel accuracy \
                         {pixel_accuracy:.4}, {seconds:.1} s",
                        config.epochs
                    ));
                    last = format!(", mean IoU {miou:.3}");
                    Line::Epoch(record)
                }
            };
            lines += &serde_json::to_string(&line).expect("plain data");
            lines.push('\n');
            if matches!(event, Event::Epoch(_)) {
                on_epoch(&lines);
            }
        };
        let trained = train(&config, &data.classes, &data.train, &data.validation, &mut on_event);
        drop(progress);
        match steps.iter().find(|step| !step.loss.is_finite()) {
            None => Ok(Run { config, trained, steps }),
            Some(step) => Err(Fault::Input(format!(
                "{name}: loss: expected a finite number, found {} in epoch {} at step {}; a smaller --lr may help",
                step.loss,
                step.epoch + 1,
                step.step + 1
            ))),
        }
    }

    /// The mechanism.
    pub fn name(&self) -> String {
        self.config.attention.to_string()
    }

    /// The record of the last epoch.
    pub fn last(&self) -> &EpochRecord {
        self.trained.epochs.last().expect("at least one epoch")
    }

    /// Trainable numbers of the model.
    pub fn num_parameters(&self) -> usize {
        self.trained.segmenter.num_parameters()
    }
}
