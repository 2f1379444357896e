//! Training of a segmenter.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use termwise_autograd::{Array, Cpu, Module, Tape};
use termwise_datasets::augment::{AugmentOptions, Padding};
use termwise_datasets::batch::{Batch, EpochShuffler, Normalisation, class_pixels};
use termwise_datasets::{ClassList, Sample};
use termwise_ops::attention::AttentionCode;
use termwise_ops::losses::{CrossEntropy, cross_entropy};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig, clip_grad_norm};
use termwise_ops::schedule::Schedule;

use super::{Evaluation, SegmentationTask, Segmenter, SegmenterConfig, evaluate};
use crate::Init;
use crate::layers::Mode;

/// Which optimiser trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// AdamW.
    Adam,
    /// Stochastic gradient descent with Nesterov momentum 0.9.
    Sgd,
}

/// How the learning rate falls after the warm-up, as a function of the share of training done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Half a wave of a cosine.
    Cosine,
    /// `(1 - t)^0.9`.
    Poly,
    /// Not at all.
    Constant,
}

impl ScheduleKind {
    /// Factor on the peak learning rate at the share `t` of training, in [0, 1].
    pub fn factor(self, t: f64) -> f64 {
        let (base_lr, t) = (1.0, t.clamp(0.0, 1.0));
        match self {
            ScheduleKind::Cosine => Schedule::Cosine { base_lr, eta_min: 0.0, t_max: 1.0 }.lr(t),
            ScheduleKind::Poly => Schedule::Poly { base_lr, total_iters: 1.0, power: 0.9 }.lr(t),
            ScheduleKind::Constant => base_lr,
        }
    }
}

/// Names of a small set of choices, for the command line and for messages.
macro_rules! named {
    ($kind:ty, $what:literal, $($value:path => $name:literal),+) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($value => $name),+ })
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(format!("unknown {} '{text}': expected one of {}", $what, [$($name),+].join(", "))),
                }
            }
        }
    };
}

named!(OptimizerKind, "optimizer", OptimizerKind::Adam => "adam", OptimizerKind::Sgd => "sgd");
named!(ScheduleKind, "schedule",
    ScheduleKind::Cosine => "cosine", ScheduleKind::Poly => "poly", ScheduleKind::Constant => "constant");

/// How a segmenter is built and trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The mechanism in the last two stages.
    pub attention: AttentionCode,
    /// Passes over the training samples.
    pub epochs: usize,
    /// Ends training after this many seconds (at the end of an epoch, which may be cut short); the
    /// schedule then follows the clock where that is ahead of the epochs, so the result depends on the
    /// machine's speed. Without it a seed gives the same bits again.
    pub time_limit: Option<f64>,
    /// Samples per step.
    pub batch: usize,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Peak learning rate.
    pub lr: f64,
    /// Share of training over which the rate rises linearly to its peak.
    pub warmup: f64,
    /// How the rate falls afterwards.
    pub schedule: ScheduleKind,
    /// Decay of the weights.
    pub weight_decay: f64,
    /// Largest norm of the gradient; a longer one is scaled down.
    pub clip_norm: f64,
    /// How far rare classes count for more in the loss: each pixel weighs `(median / frequency)^balance` of
    /// its class. 0: all the same; 1: median-frequency balancing (Eigen and Fergus, ICCV 2015).
    pub balance: f64,
    /// Whether training images are flipped, rescaled, cropped and recoloured at random.
    pub augment: bool,
    /// Channels of the first convolution.
    pub width: usize,
    /// Heads of the attention modules.
    pub num_heads: usize,
    /// Seed of initial values, order and augmentation.
    pub seed: u64,
}

impl TrainConfig {
    /// The standard recipe for a mechanism.
    pub fn new(attention: AttentionCode) -> Self {
        TrainConfig {
            attention,
            epochs: 30,
            time_limit: None,
            batch: 8,
            optimizer: OptimizerKind::Adam,
            lr: 3e-3,
            warmup: 0.05,
            schedule: ScheduleKind::Cosine,
            weight_decay: 1e-3,
            clip_norm: 5.0,
            balance: 0.5,
            augment: true,
            width: 32,
            num_heads: 4,
            seed: 0,
        }
    }
}

/// One training step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Step within the epoch, counted from 0.
    pub step: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Loss of the batch.
    pub loss: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Seconds since training began.
    pub seconds: f64,
}

/// One pass over the training samples and the evaluation that follows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Mean loss over the epoch's batches.
    pub loss: f64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Mean intersection over union on the validation samples.
    pub miou: f64,
    /// Share of the validation pixels that are right.
    pub pixel_accuracy: f64,
    /// Intersection over union of each class; `None` where neither truth nor prediction has it.
    pub iou: Vec<Option<f64>>,
    /// Seconds since training began, evaluation included.
    pub seconds: f64,
}

/// What happens during training, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A step was taken.
    Step(StepRecord),
    /// An epoch ended and was evaluated.
    Epoch(EpochRecord),
}

/// A trained segmenter and how it got there.
pub struct Trained {
    /// The model.
    pub segmenter: Segmenter<Cpu<f32>>,
    /// One record an epoch.
    pub epochs: Vec<EpochRecord>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Trains a segmenter on `train`, evaluating on `validation` after each epoch.
///
/// A loss that is not finite ends training at once; its step is the last event.
/// All samples have one size. With no time limit the result is a function of the arguments alone,
/// for any number of threads.
///
/// # Panics
/// If `train` is empty, or samples differ in size.
pub fn train(
    config: &TrainConfig,
    classes: &ClassList,
    train: &[Sample],
    validation: &[Sample],
    on_event: &mut dyn FnMut(&Event),
) -> Trained {
    let start = Instant::now();
    let size = train.first().expect("train: no training samples").size();
    let normalisation = Normalisation::measure(train);
    let backend = Cpu::<f32>::new();
    let architecture = SegmenterConfig {
        task: SegmentationTask::Segmentation,
        attention: config.attention,
        classes: classes.names()[..classes.num_classes()].to_vec(),
        ignore: classes.ignore(),
        size,
        mean: normalisation.mean,
        std: normalisation.std,
        width: config.width,
        num_heads: config.num_heads,
    };
    let segmenter = Segmenter::new(architecture, &mut Init::new(backend, config.seed));
    let mut optimizer = make_optimizer(config);
    let shuffler = EpochShuffler::new(train.len(), config.seed);
    let augment = AugmentOptions::new(Padding::grey(classes));
    let settings =
        CrossEntropy { ignore_index: Some(i64::from(classes.ignore())), ..CrossEntropy::default() };
    let class_weight =
        Array::from_vec(&backend, &[classes.num_classes()], class_weights(config, classes, train));
    let limit = config.time_limit.map(Duration::from_secs_f64);
    let mut epochs = Vec::new();
    for epoch in 0..config.epochs {
        let batches = shuffler.batches(epoch as u64, config.batch);
        let (mut loss_sum, mut done, mut lr) = (0.0, 0usize, 0.0);
        for (step, indices) in batches.iter().enumerate() {
            let by_steps = (epoch * batches.len() + step) as f64 / (config.epochs * batches.len()) as f64;
            let by_clock = limit.map_or(0.0, |limit| start.elapsed().as_secs_f64() / limit.as_secs_f64());
            let progress = by_steps.max(by_clock);
            if by_clock >= 1.0 && done > 0 {
                break;
            }
            lr = config.lr * rate(config, progress);
            let samples: Vec<Sample> = indices
                .iter()
                .map(|&i| match config.augment {
                    true => augment.sample(size, config.seed, epoch as u64, i as u64).apply(&train[i]),
                    false => train[i].clone(),
                })
                .collect();
            let batch = Batch::stack(&samples, &normalisation, classes.ignore());
            let tape = Tape::new(backend);
            let images = tape.constant(Array::from_ndarray(&backend, batch.images));
            let scores = segmenter.forward(&images, Mode::Train);
            let loss = cross_entropy(&scores, &batch.labels.into_dyn(), Some(&class_weight), &settings);
            let value = f64::from(loss.value().item());
            let (steps, seconds) = (batches.len(), start.elapsed().as_secs_f64());
            on_event(&Event::Step(StepRecord { epoch, step, steps, loss: value, lr, seconds }));
            if !value.is_finite() {
                return Trained { segmenter, epochs, seconds };
            }
            let gradients = tape.backward(&loss);
            let parameters = segmenter.parameters();
            let clipped = clip_grad_norm(&parameters, &gradients, config.clip_norm);
            optimizer.step(&parameters, &clipped, lr);
            loss_sum += value;
            done += 1;
        }
        let Evaluation { metrics, .. } = evaluate(&segmenter, validation, config.batch);
        let record = EpochRecord {
            epoch: epoch + 1,
            loss: loss_sum / done.max(1) as f64,
            lr,
            miou: metrics.miou,
            pixel_accuracy: metrics.pixel_acc,
            iou: metrics.iou.iter().zip(&metrics.valid).map(|(&iou, &valid)| valid.then_some(iou)).collect(),
            seconds: start.elapsed().as_secs_f64(),
        };
        on_event(&Event::Epoch(record.clone()));
        epochs.push(record);
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            break;
        }
    }
    Trained { segmenter, epochs, seconds: start.elapsed().as_secs_f64() }
}

/// Weight of each class in the loss; classes that never occur get 0.
fn class_weights(config: &TrainConfig, classes: &ClassList, samples: &[Sample]) -> Vec<f32> {
    let pixels = class_pixels(samples);
    let pixels = &pixels[..classes.num_classes()];
    let mut present: Vec<u64> = pixels.iter().copied().filter(|&count| count > 0).collect();
    present.sort_unstable();
    let median = present.get(present.len() / 2).copied().unwrap_or(1) as f64;
    let weight = |&count: &u64| match count {
        0 => 0.0,
        count => (median / count as f64).powf(config.balance) as f32,
    };
    pixels.iter().map(weight).collect()
}

/// Factor on the peak rate at the share `progress` of training.
fn rate(config: &TrainConfig, progress: f64) -> f64 {
    if progress < config.warmup {
        // The very first step moves too.
        return (progress / config.warmup).max(0.05);
    }
    config.schedule.factor((progress - config.warmup) / (1.0 - config.warmup))
}

fn make_optimizer(config: &TrainConfig) -> Box<dyn Optimizer<Cpu<f32>>> {
    let weight_decay = config.weight_decay;
    match config.optimizer {
        OptimizerKind::Adam => Box::new(Adam::new(AdamConfig { weight_decay, ..AdamConfig::adamw() })),
        OptimizerKind::Sgd => Box::new(Sgd::new(SgdConfig {
            momentum: 0.9,
            nesterov: true,
            weight_decay,
            ..SgdConfig::default()
        })),
    }
}
