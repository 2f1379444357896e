//! Training of a detector: what one step is, and how good the result is.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use termwise_autograd::{Array, Tape};
use termwise_datasets::batch::{EpochShuffler, Normalisation};
use termwise_ops::{Kernels, add};

use super::config::{DetectionSettings, DetectorConfig};
use super::evaluate::{DetectionScore, detect, score};
use super::model::Detector;
use super::picture::{Picture, measure};
use super::view::{PictureBatch, View};
use crate::Init;
use crate::training::{Loss, Recipe, Task};

/// A detector in training, and its pictures.
pub struct DetectionTask<B: Kernels> {
    settings: DetectionSettings,
    detector: Detector<B>,
    train: Vec<Picture>,
    validation: Vec<Picture>,
    shuffler: EpochShuffler,
}

/// What a random stream is used for; the other tasks' numbers mean nothing here.
#[derive(Clone, Copy)]
enum Use {
    View = 1,
    Sampling = 2,
}

/// A stream that is a function of its use, the seed, and two counters.
fn stream(purpose: Use, seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    let values = [purpose as u64, seed, epoch as u64, index as u64];
    for (bytes, value) in key.chunks_exact_mut(8).zip(values) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

impl<B: Kernels<Scalar = f32>> DetectionTask<B> {
    /// A fresh detector for pictures scaled to [`DetectionSettings::side`].
    ///
    /// # Panics
    /// If there is no picture to train on, a class, or a picture in a batch.
    #[track_caller]
    pub fn new(
        backend: B,
        settings: DetectionSettings,
        classes: Vec<String>,
        train: Vec<Picture>,
        validation: Vec<Picture>,
    ) -> Self {
        assert!(settings.batch > 0, "DetectionTask: the batch size must be positive");
        let normalisation = measure(&train);
        let architecture = settings.architecture(classes, normalisation.mean, normalisation.std);
        let detector = Detector::new(architecture, &mut Init::new(backend, settings.seed));
        let shuffler = EpochShuffler::new(train.len(), settings.seed);
        DetectionTask { settings, detector, train, validation, shuffler }
    }

    /// The validation pictures.
    pub fn validation(&self) -> &[Picture] {
        &self.validation
    }

    /// The detector.
    pub fn into_detector(self) -> Detector<B> {
        self.detector
    }
}

/// How a detector is trained unless told otherwise.
pub fn recipe() -> Recipe {
    Recipe { epochs: 60, lr: 2e-3, average: 0.998, ..Recipe::default() }
}

impl<B: Kernels<Scalar = f32>> Task for DetectionTask<B> {
    type Backend = B;
    type Model = Detector<B>;
    type Config = DetectorConfig;
    type Score = DetectionScore;

    fn backend(&self) -> &B {
        self.detector.backend()
    }

    fn model(&self) -> &Self::Model {
        &self.detector
    }

    fn config(&self) -> &DetectorConfig {
        self.detector.config()
    }

    /// Pictures that fill no batch wait for another epoch, where they come in another order.
    fn steps(&self, _: usize) -> usize {
        (self.train.len() / self.settings.batch).max(1)
    }

    fn loss(&self, tape: &Tape<B>, epoch: usize, step: usize) -> Loss<B> {
        let seed = self.settings.seed;
        let batches = self.shuffler.batches(epoch as u64, self.settings.batch);
        let view = |&i: &usize| {
            let picture = &self.train[i];
            let draw = |config| View::draw(config, picture.size(), &mut stream(Use::View, seed, epoch, i));
            (picture, self.settings.augment.as_ref().map_or(View::WHOLE, draw))
        };
        let views: Vec<(&Picture, View)> = batches[step].iter().map(view).collect();
        let min_visible = self.settings.augment.map_or(0.0, |config| config.min_visible);
        let targets: Vec<_> = views.iter().map(|(picture, view)| view.target(picture, min_visible)).collect();
        let config = self.detector.config();
        let normalisation = Normalisation { mean: config.mean, std: config.std };
        let batch = PictureBatch::new(&views, &normalisation);
        let images = tape.constant(Array::from_ndarray(self.detector.backend(), batch.images));
        let rng = &mut stream(Use::Sampling, seed, epoch, step);
        let losses = self.detector.losses(&images, &batch.sizes, &targets, &self.settings.targets, rng);

        let mut named = vec![("objectness", losses.objectness), ("proposals", losses.proposals)];
        if let Some([classes, boxes]) = losses.head {
            named.extend([("classes", classes), ("boxes", boxes)]);
        }
        let parts = named.iter().map(|(name, loss)| (*name, f64::from(loss.value().item()))).collect();
        let total = named.into_iter().map(|(_, loss)| loss).reduce(|sum, loss| add(&sum, &loss));
        Loss { total: total.expect("at least two parts"), parts }
    }

    fn evaluate(&self) -> DetectionScore {
        let found = detect(&self.detector, &self.validation);
        score(&self.detector.config().classes, &self.validation, &found)
    }
}
