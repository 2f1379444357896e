//! Training of a detector: what one step is, and how good the result is.

use termwise_autograd::{Array, Tape};
use termwise_datasets::batch::{EpochShuffler, Normalisation};
use termwise_datasets::stream;
use termwise_ops::{Kernels, add};

use super::config::{DetectionSettings, DetectorConfig};
use super::evaluate::{DetectionScore, detect, score};
use super::model::Detector;
use super::picture::{Picture, measure};
use super::view::{PictureBatch, View};
use crate::Init;
use crate::training::{Loss, Recipe, Task};

/// A detector in training, and its pictures.
///
/// Its loss is the sum of `objectness`, `proposals`, `classes` and `boxes`, the parts of
/// [`DetectorLosses`](super::DetectorLosses).
///
/// ```
/// use ndarray::Array3;
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_datasets::BoundingBox;
/// use termwise_datasets::detection::{DetectionObject, DetectionSample};
/// use termwise_models::detection::{DetectionSettings, DetectionTask, Picture};
/// use termwise_models::training::Task;
/// let bounds = BoundingBox { x0: 0.0, y0: 0.0, x1: 20.0, y1: 20.0 };
/// let object = DetectionObject { class: 2, bounds, area: 400.0, crowd: false, difficult: false, mask: None };
/// let (name, image) = ("cat".to_owned(), Array3::from_elem((3, 32, 32), 0.5));
/// let sample = DetectionSample { image_id: 0, name, image, objects: vec![object] };
/// let settings = DetectionSettings::new("w/o".parse().unwrap());
/// let settings = DetectionSettings { side: 32, width: 4, channels: 4, hidden: 4, batch: 1, ..settings };
/// let classes = ["dog", "cow", "cat"].map(str::to_owned).to_vec();
/// let pictures = vec![Picture::new(&sample, 32)];
/// let task = DetectionTask::new(Cpu::<f32>::new(), settings, classes, pictures.clone(), pictures);
/// for (name, param) in task.model().parameters() {
///     if name.starts_with("rpn.objectness") || name.starts_with("head.classes") {
///         param.set(Array::zeros(&Cpu::new(), &param.shape())); // undecided
///     }
/// }
/// let loss = task.loss(&Tape::new(Cpu::new()), 0, 0);
/// let names: Vec<&str> = loss.parts.iter().map(|part| part.0).collect();
/// assert_eq!(names, ["objectness", "proposals", "classes", "boxes"]);
/// assert!((loss.parts[0].1 - 2f64.ln()).abs() < 1e-5); // an object or none
/// assert!((loss.parts[2].1 - 4f64.ln()).abs() < 1e-5); // one of three classes or none
/// ```
pub struct DetectionTask<B: Kernels> {
    settings: DetectionSettings,
    detector: Detector<B>,
    train: Vec<Picture>,
    validation: Vec<Picture>,
    shuffler: EpochShuffler,
}

/// The random stream of how a picture is changed; the other tasks' numbers mean nothing here.
const VIEW: u64 = 1;
/// That of which anchors and proposals are learned from.
const SAMPLING: u64 = 2;

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
            let draw =
                |config| View::draw(config, picture.size(), &mut stream(VIEW, seed, epoch as u64, i as u64));
            (picture, self.settings.augment.as_ref().map_or(View::WHOLE, draw))
        };
        let views: Vec<(&Picture, View)> = batches[step].iter().map(view).collect();
        let min_visible = self.settings.augment.map_or(0.0, |config| config.min_visible);
        let targets: Vec<_> = views.iter().map(|(picture, view)| view.target(picture, min_visible)).collect();
        let config = self.detector.config();
        let normalisation = Normalisation { mean: config.mean, std: config.std };
        let batch = PictureBatch::new(&views, &normalisation);
        let images = tape.constant(Array::from_ndarray(self.detector.backend(), batch.images));
        let rng = &mut stream(SAMPLING, seed, epoch as u64, step as u64);
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
