//! One training of a segmenter.

use termwise_autograd::{Cpu, Module};
use termwise_models::checkpoint::Checkpoint;
use termwise_models::segmentation::{SegmentationScore, SegmentationTraining, Segmenter, TrainConfig};
use termwise_models::training::{EpochRecord, StepRecord};
use termwise_models::{Init, copy_parameters};
use termwise_ops::Kernels;

use super::data::Data;
use crate::cli::fault::Fault;
use crate::cli::output::OutputFolder;
use crate::cli::training::{Course, Finished};

/// A finished training.
pub struct Run {
    /// How it was trained.
    pub config: TrainConfig,
    /// The model.
    pub segmenter: Segmenter<Cpu<f32>>,
    /// A record for each epoch.
    pub epochs: Vec<EpochRecord<SegmentationScore>>,
    /// A record for each step.
    pub steps: Vec<StepRecord>,
    /// Seconds of training.
    pub seconds: f64,
}

impl Run {
    /// Trains on a backend; keeps checkpoint and records in a folder, where there is one, and goes on from a checkpoint.
    pub fn train<B: Kernels<Scalar = f32>>(
        backend: B,
        config: TrainConfig,
        data: &Data,
        folder: Option<&OutputFolder>,
        from: Option<&Checkpoint>,
        save_every: f64,
    ) -> Result<Self, Fault> {
        let task =
            SegmentationTraining::new(backend, config.clone(), &data.classes, &data.train, &data.validation);
        let trainer = Course::trainer(task, &config.recipe, from)?;
        let describe = |score: &SegmentationScore| {
            format!("mean IoU {:.4}, pixel accuracy {:.4}", score.miou, score.pixel_accuracy)
        };
        let course = Course { name: config.attention.to_string(), folder, save_every, describe };
        let Finished { trainer, steps } = course.run(trainer)?;
        let (epochs, seconds) = (trainer.epochs().to_vec(), trainer.seconds());
        let trained = trainer.into_task().into_segmenter();
        // What is drawn of it is computed on the host.
        let segmenter = Segmenter::new(trained.config().clone(), &mut Init::new(Cpu::new(), 0));
        copy_parameters(&trained, &segmenter);
        Ok(Run { config, segmenter, epochs, steps, seconds })
    }

    /// The mechanism.
    pub fn name(&self) -> String {
        self.config.attention.to_string()
    }

    /// The record of the last epoch.
    pub fn last(&self) -> &EpochRecord<SegmentationScore> {
        self.epochs.last().expect("at least one epoch")
    }

    /// Trainable numbers of the model.
    pub fn num_parameters(&self) -> usize {
        self.segmenter.num_parameters()
    }
}
