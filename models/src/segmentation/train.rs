//! Training of a segmenter.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use termwise_autograd::{Array, Tape};
use termwise_datasets::augment::{AugmentOptions, Padding};
use termwise_datasets::batch::{Batch, EpochShuffler, Normalisation, class_pixels};
use termwise_datasets::{ClassList, Sample};
use termwise_ops::Kernels;
use termwise_ops::attention::AttentionCode;
use termwise_ops::losses::{CrossEntropy, cross_entropy};

use super::{Evaluation, SegmentationTask, Segmenter, SegmenterConfig, evaluate};
use crate::Init;
use crate::layers::Mode;
use crate::training::{Loss, Recipe, Task};

/// How a segmenter is built and trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The mechanism in the last two stages and after the backbone.
    pub attention: AttentionCode,
    /// Samples per step.
    pub batch: usize,
    /// How far rare classes count for more in the loss: each pixel weighs `(median / frequency)^balance` of
    /// its class. 0: all the same; 1: median-frequency balancing (Eigen and Fergus, ICCV 2015).
    pub balance: f64,
    /// Whether training images are flipped, rescaled, cropped and recoloured at random.
    pub augment: bool,
    /// Channels of the first convolution.
    pub width: usize,
    /// Heads of the attention modules.
    pub num_heads: usize,
    /// Whether Transformer attention sees no further than dynamic convolution would.
    pub limit_range: bool,
    /// Seed of initial values, order and augmentation.
    pub seed: u64,
    /// Optimiser, schedule and length.
    #[serde(flatten)]
    pub recipe: Recipe,
}

impl TrainConfig {
    /// The standard recipe for a mechanism.
    pub fn new(attention: AttentionCode) -> Self {
        TrainConfig {
            attention,
            batch: 8,
            balance: 0.5,
            augment: true,
            width: 32,
            num_heads: 4,
            limit_range: false,
            seed: 0,
            recipe: Recipe::default(),
        }
    }
}

/// Score of a segmenter on some samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationScore {
    /// Mean intersection over union of the classes that occur.
    pub miou: f64,
    /// Share of the pixels that are right.
    pub pixel_accuracy: f64,
    /// Intersection over union of each class; `None` where neither truth nor prediction has it.
    pub iou: Vec<Option<f64>>,
}

impl From<&Evaluation> for SegmentationScore {
    fn from(Evaluation { metrics, .. }: &Evaluation) -> Self {
        let iou = metrics.iou.iter().zip(&metrics.valid);
        SegmentationScore {
            miou: metrics.miou,
            pixel_accuracy: metrics.pixel_acc,
            iou: iou.map(|(&iou, &valid)| valid.then_some(iou)).collect(),
        }
    }
}

/// A segmenter on its way: what [`Trainer`](crate::training::Trainer) trains. The [module](super) has an example.
pub struct SegmentationTraining<'a, B: Kernels> {
    config: TrainConfig,
    segmenter: Segmenter<B>,
    train: &'a [Sample],
    validation: &'a [Sample],
    normalisation: Normalisation,
    shuffler: EpochShuffler,
    augment: AugmentOptions,
    class_weight: Array<B>,
}

impl<'a, B: Kernels<Scalar = f32>> SegmentationTraining<'a, B> {
    /// A fresh segmenter, to be trained on `train` and measured on `validation`, samples of one size.
    ///
    /// # Panics
    /// If `train` is empty.
    #[track_caller]
    pub fn new(
        backend: B,
        config: TrainConfig,
        classes: &ClassList,
        train: &'a [Sample],
        validation: &'a [Sample],
    ) -> Self {
        let size = train.first().expect("train: no training samples").size();
        let normalisation = Normalisation::measure(train);
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
            limit_range: config.limit_range,
        };
        let weights = class_weights(&config, classes, train);
        SegmentationTraining {
            segmenter: Segmenter::new(architecture, &mut Init::new(backend.clone(), config.seed)),
            shuffler: EpochShuffler::new(train.len(), config.seed),
            augment: AugmentOptions::new(Padding::grey(classes)),
            class_weight: Array::from_vec(&backend, &[classes.num_classes()], weights),
            normalisation,
            train,
            validation,
            config,
        }
    }

    /// The segmenter.
    pub fn into_segmenter(self) -> Segmenter<B> {
        self.segmenter
    }
}

impl<'a, B: Kernels<Scalar = f32>> Task for SegmentationTraining<'a, B> {
    type Backend = B;
    type Model = Segmenter<B>;
    type Config = SegmenterConfig;
    type Score = SegmentationScore;

    fn backend(&self) -> &B {
        self.segmenter.backend()
    }

    fn model(&self) -> &Self::Model {
        &self.segmenter
    }

    fn config(&self) -> &SegmenterConfig {
        self.segmenter.config()
    }

    fn steps(&self, _: usize) -> usize {
        self.train.len().div_ceil(self.config.batch)
    }

    fn loss(&self, tape: &Tape<B>, epoch: usize, step: usize) -> Loss<B> {
        let architecture = self.segmenter.config();
        let order = self.shuffler.order(epoch as u64);
        let indices = order.chunks(self.config.batch).nth(step).expect("a step of the epoch");
        let sample = |&i: &usize| -> Cow<'a, Sample> {
            if self.config.augment {
                let how = self.augment.sample(architecture.size, self.config.seed, epoch as u64, i as u64);
                Cow::Owned(how.apply(&self.train[i]))
            } else {
                Cow::Borrowed(&self.train[i])
            }
        };
        let samples: Vec<Cow<Sample>> = indices.iter().map(sample).collect();
        let batch = Batch::stack(samples.iter().map(AsRef::as_ref), &self.normalisation, architecture.ignore);
        let images = tape.constant(Array::from_ndarray(tape.backend(), batch.images));
        let scores = self.segmenter.forward(&images, Mode::Train);
        let settings = CrossEntropy { ignore_index: Some(batch.ignore), ..CrossEntropy::default() };
        cross_entropy(&scores, &batch.labels.into_dyn(), Some(&self.class_weight), &settings).into()
    }

    fn evaluate(&self) -> SegmentationScore {
        (&evaluate(&self.segmenter, self.validation, self.config.batch)).into()
    }
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
