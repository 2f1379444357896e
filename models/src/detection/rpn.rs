//! The region proposal network: at every position of every level, which anchors hold an object, and where.

use ndarray::{ArrayD, Axis};
use rand::Rng;
use termwise_autograd::{Array, Module, Parameters, Tape, Var};
use termwise_ops::losses::{Reduction, bce_with_logits, smooth_l1_loss};
use termwise_ops::tensor::{cat, index_select, permute, reshape, scale};
use termwise_ops::{Kernels, relu};

use super::anchors::AnchorConfig;
use super::boxes::{BoxCoder, Corners};
use super::config::TargetConfig;
use super::matching::{Match, Matcher, sample};
use super::model::Target;
use super::proposals::{LevelPrediction, Proposal, ProposalConfig, propose};
use crate::Init;
use crate::layers::Conv2d;

/// Where the quadratic part of the smooth L1 loss ends.
pub(super) const BETA: f64 = 1.0 / 9.0;

const MATCHER: Matcher = Matcher { foreground: 0.7, background: 0.3, low_quality: true };

/// A 3x3 convolution, and two 1x1 convolutions that predict for the anchors of each position: one logit, and four
/// numbers that move and stretch it. All levels share them.
///
/// ```
/// use rand::SeedableRng;
/// use termwise_autograd::{Array, Cpu, Module, Tape};
/// use termwise_models::Init;
/// use termwise_models::detection::{AnchorConfig, ProposalConfig, Rpn, Target, TargetConfig};
/// let anchors = AnchorConfig { sizes: vec![vec![], vec![8.0]], ratios: vec![1.0] };
/// let rpn = Rpn::new(2, anchors, &mut Init::new(Cpu::<f64>::new(), 0));
/// for (_, param) in rpn.parameters() {
///     param.set(Array::zeros(&Cpu::new(), &param.shape())); // undecided, and the anchors as they are
/// }
/// let tape = Tape::new(Cpu::new());
/// let level = |size: usize| tape.constant(Array::zeros(&Cpu::new(), &[1, 2, size, size]));
/// let output = rpn.forward(&[level(4), level(2)], (16, 16)); // 1/4 without anchors, 1/8 with one a position
/// assert_eq!(output.logits.value().as_slice(), [0.0; 4]);
/// let config = ProposalConfig { per_level: 4, nms_iou: 0.7, count: 2, min_side: 1.0 };
/// let proposals = &output.proposals(&[(16.0, 16.0)], &config)[0];
/// assert_eq!(proposals[1].bounds, [8.0, 0.0, 16.0, 8.0]); // the second of the first row
/// let target = Target { boxes: vec![[8.0, 0.0, 16.0, 8.0]], classes: vec![0], crowds: vec![] };
/// let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let [objectness, boxes] = output.losses(&[target], &TargetConfig::default(), rng);
/// assert!((objectness.value().item() - 2f64.ln()).abs() < 1e-12);
/// assert_eq!(boxes.value().item(), 0.0); // the anchor is the object's box
/// ```
pub struct Rpn<B: Kernels> {
    conv: Conv2d<B>,
    objectness: Conv2d<B>,
    deltas: Conv2d<B>,
    anchors: AnchorConfig,
}

/// What the network says about the pictures of a batch, with all levels in one list of anchors.
pub struct RpnOutput<B: Kernels> {
    /// (N, A)
    pub logits: Var<B>,
    /// (N, A, 4)
    pub deltas: Var<B>,
    /// The anchors of each level. Their numbers add up to A.
    pub anchors: Vec<Vec<Corners>>,
}

impl<B: Kernels> Rpn<B> {
    /// Fresh parameters for levels of `channels`.
    ///
    /// # Panics
    /// As [`AnchorConfig::per_position`].
    pub fn new(channels: usize, anchors: AnchorConfig, init: &mut Init<B>) -> Self {
        let count = anchors.per_position();
        Rpn {
            conv: Conv2d::new([channels, channels], 3, 1, init).with_bias(init),
            objectness: Conv2d::new([channels, count], 1, 1, init).scaled(0.1).with_bias(init),
            deltas: Conv2d::new([channels, 4 * count], 1, 1, init).scaled(0.1).with_bias(init),
            anchors,
        }
    }

    /// Applies the network to the pyramid of pictures of (height, width), padding included.
    ///
    /// # Panics
    /// If there is no list of anchors for a level, or a level has other channels.
    #[track_caller]
    pub fn forward(&self, levels: &[Var<B>], (height, _): (usize, usize)) -> RpnOutput<B> {
        let (mut logits, mut deltas, mut anchors) = (Vec::new(), Vec::new(), Vec::new());
        for (i, level) in levels.iter().enumerate().filter(|&(i, _)| !self.anchors.sizes[i].is_empty()) {
            let (n, h, w) = (level.shape()[0], level.shape()[2], level.shape()[3]);
            // The map of a level is rounded up, the stride is a power of two.
            let stride = (height as f64 / h as f64).log2().round().exp2();
            let x = relu(&self.conv.forward(level));
            // (N, A', H, W) to (N, H W A'), in the order of the anchors.
            let flat = |x: Var<B>, shape: &[usize]| reshape(&permute(&x, &[0, 2, 3, 1]), shape);
            let level_anchors = self.anchors.level(i, (h, w), stride);
            let count = level_anchors.len();
            logits.push(flat(self.objectness.forward(&x), &[n, count]));
            deltas.push(flat(self.deltas.forward(&x), &[n, count, 4]));
            anchors.push(level_anchors);
        }
        let joined = |xs: &[Var<B>]| cat(&xs.iter().collect::<Vec<_>>(), 1);
        RpnOutput { logits: joined(&logits), deltas: joined(&deltas), anchors }
    }
}

impl<B: Kernels> RpnOutput<B> {
    /// The proposals of each picture, whose sizes without padding are (height, width). Constants: no gradient flows
    /// through them.
    pub fn proposals(&self, sizes: &[(f64, f64)], config: &ProposalConfig) -> Vec<Vec<Proposal>> {
        let (logits, deltas) = (self.logits.value().to_f64(), self.deltas.value().to_f64());
        let rows = logits.axis_iter(Axis(0)).zip(deltas.axis_iter(Axis(0)));
        let of_picture = |((logits, deltas), &size): ((ndarray::ArrayViewD<f64>, _), &(f64, f64))| {
            let deltas: ndarray::ArrayViewD<f64> = deltas;
            let (mut logits, mut deltas) =
                (logits.to_slice().expect("row-major"), deltas.to_slice().expect("row-major"));
            let mut levels = Vec::new();
            for anchors in &self.anchors {
                let (of_level, rest) = logits.split_at(anchors.len());
                let (moves, rest_of_moves) = deltas.split_at(4 * anchors.len());
                levels.push(LevelPrediction { anchors, logits: of_level, deltas: moves });
                (logits, deltas) = (rest, rest_of_moves);
            }
            propose(&levels, size, config)
        };
        rows.zip(sizes).map(of_picture).collect()
    }

    /// The loss of the logits (binary cross-entropy) and of the boxes (smooth L1) on sampled anchors, both divided by
    /// the number of sampled anchors.
    pub fn losses(&self, targets: &[Target], config: &TargetConfig, rng: &mut impl Rng) -> [Var<B>; 2] {
        let anchors: Vec<Corners> = self.anchors.concat();
        let (mut sampled, mut labels) = (Vec::new(), Vec::new());
        let (mut positives, mut deltas) = (Vec::new(), Vec::new());
        for (picture, target) in targets.iter().enumerate() {
            let matches = MATCHER.assign(&anchors, &target.boxes, &target.crowds);
            let drawn = sample(&matches, config.anchors, config.anchor_share, rng);
            let row = |i: usize| (picture * anchors.len() + i) as i64;
            for &i in &drawn.positives {
                let Match::Object(object) = matches[i] else { unreachable!("sampled as a match") };
                positives.push(row(i));
                deltas.extend(BoxCoder::PROPOSALS.encode(&anchors[i], &target.boxes[object]));
            }
            sampled.extend(drawn.positives.iter().chain(&drawn.negatives).map(|&i| row(i)));
            labels.extend(drawn.positives.iter().map(|_| 1.0).chain(drawn.negatives.iter().map(|_| 0.0)));
        }
        let tape = self.logits.tape();
        let total = targets.len() * anchors.len();
        let count = sampled.len().max(1) as f64;

        let logits = index_select(&reshape(&self.logits, &[total]), &indices(sampled), 0);
        let labels = constant(tape, &[labels.len()], &labels);
        let objectness = bce_with_logits(&logits, &labels, None, Reduction::Sum);

        let predicted = index_select(&reshape(&self.deltas, &[total, 4]), &indices(positives), 0);
        let wanted = constant(tape, &[deltas.len() / 4, 4], &deltas);
        let boxes = smooth_l1_loss(&predicted, &wanted, BETA, Reduction::Sum);
        [scale(&objectness, 1.0 / count), scale(&boxes, 1.0 / count)]
    }
}

/// A list of indices for [`index_select`].
pub(super) fn indices(list: Vec<i64>) -> ArrayD<i64> {
    ndarray::Array1::from(list).into_dyn()
}

/// Numbers that take no part in differentiation.
pub(super) fn constant<B: Kernels>(tape: &Tape<B>, shape: &[usize], values: &[f64]) -> Var<B> {
    let values = ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many values as the shape says");
    tape.constant(Array::from_f64(tape.backend(), &values))
}

impl<B: Kernels> Module<B> for Rpn<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        parameters.module("conv", &self.conv);
        parameters.module("objectness", &self.objectness);
        parameters.module("deltas", &self.deltas);
    }
}
