//! The detector: Faster R-CNN on a feature pyramid.

use rand::Rng;
use serde::Serialize;
use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::Kernels;

use super::box_head::BoxHead;
use super::boxes::Corners;
use super::config::{DetectorConfig, TargetConfig};
use super::rpn::{Rpn, RpnOutput};
use crate::Init;
use crate::layers::{AttentionInput, Backbone, Fpn, Mode};

/// Height and width of the pictures that the detector is given are multiples of this.
pub const STRIDE: usize = 16;

/// What is to be found in a picture, in pixels of what the detector gets to see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// The objects, each with area.
    pub boxes: Vec<Corners>,
    /// Class of each object.
    pub classes: Vec<usize>,
    /// Boxes around groups: nothing in them is background.
    pub crowds: Vec<Corners>,
}

/// An object that was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// Index of the class.
    pub class: usize,
    /// The probability of the class, as the detector sees it.
    pub score: f64,
    /// Where.
    pub bounds: Corners,
}

/// The parts of the loss.
pub struct DetectorLosses<B: Kernels> {
    /// Which anchors hold an object: binary cross-entropy, the mean over the sampled anchors.
    pub objectness: Var<B>,
    /// Where, from the anchors: smooth L1 of those with an object, divided by the number of sampled anchors.
    pub proposals: Var<B>,
    /// Which class each proposal has (cross-entropy, the mean over the sampled proposals), and where exactly (smooth L1
    /// of those with an object, divided by the number of sampled proposals); `None` where none could be sampled.
    pub head: Option<[Var<B>; 2]>,
}

/// Pictures to boxes with classes and scores.
///
/// ```text
/// picture -> backbone -> pyramid (1/4 1/8 1/16 1/32) -> anchors -> proposals
///                            |                                        |
///                            +--------> 7x7 of each proposal <--------+ -> classes, boxes
/// ```
///
/// Sources: Ren et al., "Faster R-CNN", NeurIPS 2015; Lin et al., "Feature Pyramid Networks", CVPR 2017; RoIAlign of
/// He et al., "Mask R-CNN", ICCV 2017.
///
/// A detector of one anchor, as large as the picture, all of whose predictions are those of its biases:
///
/// ```
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::Init;
/// use termwise_models::detection::{AnchorConfig, DetectionSettings, Detector};
/// let anchors = AnchorConfig { sizes: vec![vec![], vec![], vec![], vec![32.0]], ratios: vec![1.0] };
/// let settings = DetectionSettings::new("w/o".parse().unwrap());
/// let settings = DetectionSettings { width: 4, channels: 4, hidden: 4, anchors, ..settings };
/// let config = settings.architecture(vec!["cat".to_owned()], [0.5; 3], [0.25; 3]);
/// let detector = Detector::new(config, &mut Init::new(Cpu::<f32>::new(), 0));
/// for (name, param) in detector.parameters() {
///     if ["rpn.deltas", "head.deltas", "head.classes"].iter().any(|part| name.starts_with(part)) {
///         param.set(Array::zeros(&Cpu::new(), &param.shape()));
///     }
///     if name == "head.classes.bias" {
///         param.set(Array::host(&[2], vec![0.0, 3f32.ln()])); // background, cat: one to three
///     }
/// }
/// let picture = Tape::inference(Cpu::new()).constant(Array::zeros(&Cpu::new(), &[1, 3, 32, 32]));
/// let found = detector.detect(&picture, &[(32.0, 20.0)]); // its last twelve columns are padding
/// let cat = found[0][0];
/// assert_eq!((found[0].len(), cat.class, cat.bounds), (1, 0, [0.0, 0.0, 20.0, 32.0]));
/// assert!((cat.score - 0.75).abs() < 1e-6);
/// ```
pub struct Detector<B: Kernels> {
    config: DetectorConfig,
    backend: B,
    backbone: Backbone<B>,
    pyramid: Fpn<B>,
    rpn: Rpn<B>,
    head: BoxHead<B>,
}

impl<B: Kernels> Detector<B> {
    /// A detector with fresh parameters.
    ///
    /// # Panics
    /// If there is no class, or the anchors fit no level.
    #[track_caller]
    pub fn new(config: DetectorConfig, init: &mut Init<B>) -> Self {
        assert!(!config.classes.is_empty(), "Detector: expected at least one class");
        assert!(
            config.anchors.sizes.len() == 4,
            "Detector: anchors for 4 levels, found {}",
            config.anchors.sizes.len()
        );
        let widths = Backbone::<B>::widths(config.width);
        Detector {
            backend: init.backend().clone(),
            backbone: Backbone::new(config.width, config.attention_spec(), init),
            pyramid: Fpn::new(&widths[1..], config.channels, init),
            rpn: Rpn::new(config.channels, config.anchors.clone(), init),
            head: BoxHead::new(&config, init),
            config,
        }
    }

    /// Multiply-adds of all attention for one picture scaled to H x W, forward; see
    /// [`attention_flops`](crate::layers::attention_flops).
    pub fn attention_flops(&self, size: (usize, usize)) -> f64 {
        Backbone::<B>::attention_flops(self.config.width, self.config.attention_spec(), size)
    }

    /// Where it is computed.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// How it was built.
    pub fn config(&self) -> &DetectorConfig {
        &self.config
    }

    /// Every Transformer attention on the way of normalised pictures (N, 3, H, W), and what it is given, in evaluation
    /// mode.
    pub fn attention_inputs(&self, images: &Var<B>) -> Vec<AttentionInput<'_, B>> {
        self.backbone.attention_inputs(images).0
    }

    fn look(&self, images: &Var<B>, mode: Mode) -> (Vec<Var<B>>, RpnOutput<B>) {
        let size = (images.shape()[2], images.shape()[3]);
        assert!(
            size.0.is_multiple_of(STRIDE) && size.1.is_multiple_of(STRIDE),
            "Detector: height and width must be multiples of {STRIDE}, they are {size:?}"
        );
        let features = self.backbone.forward(images, mode);
        let levels = self.pyramid.forward(&features[1..], mode);
        let output = self.rpn.forward(&levels, size);
        (levels, output)
    }

    /// The loss on normalised pictures (N, 3, H, W), in training mode. `sizes`: (height, width) of each without its
    /// padding.
    ///
    /// # Panics
    /// If H or W is no multiple of [`STRIDE`].
    #[track_caller]
    pub fn losses(
        &self,
        images: &Var<B>,
        sizes: &[(f64, f64)],
        targets: &[Target],
        config: &TargetConfig,
        rng: &mut impl Rng,
    ) -> DetectorLosses<B> {
        let (levels, output) = self.look(images, Mode::Train);
        let [objectness, proposals] = output.losses(targets, config, rng);
        let proposed = output.proposals(sizes, &config.proposals);
        let head = self.head.losses(&levels, &proposed, targets, config, rng);
        DetectorLosses { objectness, proposals, head }
    }

    /// What is found in normalised pictures (N, 3, H, W), in evaluation mode, by descending score.
    ///
    /// # Panics
    /// As [`losses`](Self::losses).
    #[track_caller]
    pub fn detect(&self, images: &Var<B>, sizes: &[(f64, f64)]) -> Vec<Vec<Detection>> {
        let (levels, output) = self.look(images, Mode::Eval);
        let proposals = output.proposals(sizes, &self.config.proposals);
        self.head.detect(&levels, &proposals, sizes, &self.config.report)
    }
}

impl<B: Kernels> Module<B> for Detector<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        self.backbone.visit(parameters);
        parameters.module("pyramid", &self.pyramid);
        parameters.module("rpn", &self.rpn);
        parameters.module("head", &self.head);
    }
}
