//! How a detector is built and trained.

use serde::{Deserialize, Serialize};
use termwise_ops::attention::AttentionCode;

use super::anchors::AnchorConfig;
use super::proposals::ProposalConfig;
use crate::layers::AttentionSpec;

/// Everything needed to build a [`Detector`](super::Detector) again and to use it: the architecture of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorConfig {
    /// Always `"detection"`; tells the checkpoints of different tasks apart.
    pub task: DetectionKind,
    /// The mechanism in the last two stages.
    pub attention: AttentionCode,
    /// Names of the classes; the class of an object is an index into them.
    pub classes: Vec<String>,
    /// Pictures are scaled so that their longer side has so many pixels.
    pub side: usize,
    /// Per-channel mean that is subtracted from pictures in [0, 1].
    pub mean: [f32; 3],
    /// Per-channel standard deviation that they are divided by.
    pub std: [f32; 3],
    /// Channels of the first convolution; the stages have 2, 4 and 6 times as many.
    pub width: usize,
    /// Heads of the attention modules.
    pub num_heads: usize,
    /// Whether Transformer attention sees no further than dynamic convolution would.
    #[serde(default)]
    pub limit_range: bool,
    /// Channels of every level of the pyramid.
    pub channels: usize,
    /// Features of the two layers of the box head.
    pub hidden: usize,
    /// Whether final boxes are predicted for each class apart; otherwise one for all.
    pub class_specific: bool,
    /// The side of an object that is looked at on the level 1/16 (Lin et al. 2017, Eq. 1: there 224).
    pub canonical_side: f64,
    /// What proposals start from.
    pub anchors: AnchorConfig,
    /// How proposals are made when it is used.
    pub proposals: ProposalConfig,
    /// Which boxes it reports.
    pub report: ReportConfig,
}

impl DetectorConfig {
    /// The mechanism of its attention modules.
    pub(crate) fn attention_spec(&self) -> AttentionSpec {
        AttentionSpec { code: self.attention, num_heads: self.num_heads, limit_range: self.limit_range }
    }

    /// What is wrong with the first field that no detector can have: its name, what is expected there, what is found.
    ///
    /// # Errors
    /// The message, in one line.
    pub fn check(&self) -> Result<(), String> {
        let settings = DetectionSettings {
            attention: self.attention,
            side: self.side,
            width: self.width,
            num_heads: self.num_heads,
            limit_range: self.limit_range,
            channels: self.channels,
            hidden: self.hidden,
            class_specific: self.class_specific,
            anchors: self.anchors.clone(),
            ..DetectionSettings::new(self.attention)
        };
        settings.check()?;
        if self.classes.is_empty() {
            return Err("classes: expected at least one, found none".to_owned());
        }
        if !self.std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return Err(format!("std: expected three numbers above 0, found {:?}", self.std));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(format!("mean: expected three finite numbers, found {:?}", self.mean));
        }
        if !(self.canonical_side > 0.0 && self.canonical_side.is_finite()) {
            return Err(format!("canonical_side: expected a number above 0, found {}", self.canonical_side));
        }
        Ok(())
    }
}

/// The only value of [`DetectorConfig::task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetectionKind {
    /// Pictures to boxes with classes.
    #[serde(rename = "detection")]
    Detection,
}

/// Which boxes a detector reports.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportConfig {
    /// The least score.
    pub min_score: f64,
    /// IoU above which the lower-scored of two boxes of a class is dropped.
    pub nms_iou: f64,
    /// At most so many of a picture.
    pub count: usize,
}

/// How a detector is trained: what is particular to this task.
///
/// ```
/// use termwise_models::detection::DetectionSettings;
/// let settings = DetectionSettings::new("0010+deformable".parse().unwrap());
/// assert_eq!(settings.check(), Ok(()));
/// let config = settings.architecture(vec!["cat".to_owned()], [0.5; 3], [0.25; 3]);
/// assert_eq!(config.check(), Ok(()));
/// assert_eq!((config.side, config.canonical_side, config.report.count), (320, 128.0, 100));
/// let error = DetectionSettings { num_heads: 5, ..settings }.check().unwrap_err();
/// assert_eq!(error, "num_heads: expected a divisor of width = 32, found 5");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectionSettings {
    /// The mechanism in the last two stages.
    pub attention: AttentionCode,
    /// Pictures of a step.
    pub batch: usize,
    /// See [`DetectorConfig::side`].
    pub side: usize,
    /// See [`DetectorConfig::width`].
    pub width: usize,
    /// See [`DetectorConfig::num_heads`].
    pub num_heads: usize,
    /// See [`DetectorConfig::limit_range`].
    pub limit_range: bool,
    /// See [`DetectorConfig::channels`].
    pub channels: usize,
    /// See [`DetectorConfig::hidden`].
    pub hidden: usize,
    /// See [`DetectorConfig::class_specific`].
    pub class_specific: bool,
    /// See [`DetectorConfig::anchors`].
    pub anchors: AnchorConfig,
    /// How pictures vary in training; `None`: not at all.
    pub augment: Option<AugmentConfig>,
    /// What each part of the loss is computed on.
    pub targets: TargetConfig,
    /// Seed of initial values, order, augmentation and sampling.
    pub seed: u64,
}

impl DetectionSettings {
    /// The standard recipe for a mechanism. It goes with AdamW at a peak rate of 2e-3 (warm-up over 5 % of the training,
    /// then a cosine), weight decay 1e-3, gradients clipped to a norm of 5, and a running average of the weights of
    /// decay 0.998 that is evaluated in their place.
    pub fn new(attention: AttentionCode) -> Self {
        DetectionSettings {
            attention,
            batch: 4,
            side: 320,
            width: 32,
            num_heads: 4,
            limit_range: false,
            channels: 64,
            hidden: 256,
            class_specific: false,
            anchors: AnchorConfig::default(),
            augment: Some(AugmentConfig::default()),
            targets: TargetConfig::default(),
            seed: 0,
        }
    }

    /// What is wrong with the first field that makes no sense: its name, what is expected there, what is found.
    ///
    /// # Errors
    /// The message, in one line.
    pub fn check(&self) -> Result<(), String> {
        let between = |field: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(format!("{field}: expected a number from {low} to {high}, found {value}"))
        };
        let count = |field: &str, value: usize, high: usize| between(field, value as f64, 1.0, high as f64);
        count("batch", self.batch, 1024)?;
        between("side", self.side as f64, 32.0, 4096.0)?;
        count("width", self.width, 1024)?;
        count("num_heads", self.num_heads, self.width)?;
        if !self.width.is_multiple_of(self.num_heads) {
            let (width, heads) = (self.width, self.num_heads);
            return Err(format!("num_heads: expected a divisor of width = {width}, found {heads}"));
        }
        count("channels", self.channels, 1024)?;
        count("hidden", self.hidden, 8192)?;
        let AnchorConfig { sizes, ratios } = &self.anchors;
        if sizes.len() != 4 {
            return Err(format!("anchors.sizes: expected lists for 4 levels, found {}", sizes.len()));
        }
        let lengths: Vec<usize> = sizes.iter().map(Vec::len).filter(|&len| len > 0).collect();
        if lengths.is_empty() || lengths.iter().any(|len| *len != lengths[0]) {
            let expected = "lists of equally many sizes, or empty ones, and not all empty";
            return Err(format!("anchors.sizes: expected {expected}, found {sizes:?}"));
        }
        for &size in sizes.iter().flatten() {
            between("anchors.sizes", size, 1.0, 8192.0)?;
        }
        count("anchors.ratios: their number", ratios.len(), 64)?;
        for &ratio in ratios {
            between("anchors.ratios", ratio, 0.01, 100.0)?;
        }
        if let Some(augment) = &self.augment {
            between("augment.flip_horizontal", augment.flip_horizontal, 0.0, 1.0)?;
            between("augment.flip_vertical", augment.flip_vertical, 0.0, 1.0)?;
            between("augment.scale", augment.scale, 1.0, 10.0)?;
            between("augment.brightness", augment.brightness, 0.0, 1.0)?;
            between("augment.contrast", augment.contrast, 0.0, 1.0)?;
            between("augment.saturation", augment.saturation, 0.0, 1.0)?;
            between("augment.min_visible", augment.min_visible, 0.0, 1.0)?;
        }
        let TargetConfig { anchors, anchor_share, proposals, boxes, box_share } = &self.targets;
        count("targets.anchors", *anchors, 1 << 20)?;
        between("targets.anchor_share", *anchor_share, 0.0, 1.0)?;
        count("targets.proposals.per_level", proposals.per_level, 1 << 20)?;
        count("targets.proposals.count", proposals.count, 1 << 20)?;
        between("targets.proposals.nms_iou", proposals.nms_iou, 0.0, 1.0)?;
        between("targets.proposals.min_side", proposals.min_side, 0.0, 4096.0)?;
        count("targets.boxes", *boxes, 1 << 20)?;
        between("targets.box_share", *box_share, 0.0, 1.0)
    }

    /// The architecture for some classes and colours.
    pub fn architecture(&self, classes: Vec<String>, mean: [f32; 3], std: [f32; 3]) -> DetectorConfig {
        DetectorConfig {
            task: DetectionKind::Detection,
            attention: self.attention,
            classes,
            side: self.side,
            mean,
            std,
            width: self.width,
            num_heads: self.num_heads,
            limit_range: self.limit_range,
            channels: self.channels,
            hidden: self.hidden,
            class_specific: self.class_specific,
            canonical_side: 128.0,
            anchors: self.anchors.clone(),
            proposals: ProposalConfig { per_level: 400, nms_iou: 0.7, count: 200, min_side: 1.0 },
            report: ReportConfig { min_score: 0.01, nms_iou: 0.5, count: 100 },
        }
    }
}

/// Which anchors and proposals a step trains on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// Anchors of a picture.
    pub anchors: usize,
    /// The largest share of them with an object.
    pub anchor_share: f64,
    /// How proposals are made.
    pub proposals: ProposalConfig,
    /// Proposals of a picture.
    pub boxes: usize,
    /// The largest share of them with an object.
    pub box_share: f64,
}

impl Default for TargetConfig {
    fn default() -> Self {
        TargetConfig {
            anchors: 256,
            anchor_share: 0.5,
            proposals: ProposalConfig { per_level: 400, nms_iou: 0.7, count: 200, min_side: 1.0 },
            boxes: 96,
            box_share: 0.33,
        }
    }
}

/// How pictures vary in training.
///
/// ```
/// use rand::SeedableRng;
/// use termwise_models::detection::{AugmentConfig, View};
/// let still = AugmentConfig {
///     flip_horizontal: 1.0, // always
///     flip_vertical: 0.0,   // never
///     scale: 1.0,
///     brightness: 0.0,
///     contrast: 0.0,
///     saturation: 0.0,
///     min_visible: 0.3,
/// };
/// let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// assert_eq!(View::draw(&still, (20, 30), rng), View { flip_horizontal: true, ..View::WHOLE });
/// let view = View::draw(&AugmentConfig { scale: 2.0, contrast: 0.25, ..still }, (20, 30), rng);
/// assert!((0.5..=2.0).contains(&view.scale) && (0.75..=1.25).contains(&view.contrast));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// The probability of a mirror image, left for right.
    pub flip_horizontal: f64,
    /// The probability of a picture upside down.
    pub flip_vertical: f64,
    /// The scale is drawn between `1 / scale` and `scale`, evenly on a logarithmic axis.
    pub scale: f64,
    /// The factor of brightness is drawn from `1 -+ brightness`.
    pub brightness: f64,
    /// The factor of contrast is drawn from `1 -+ contrast`.
    pub contrast: f64,
    /// The factor of saturation is drawn from `1 -+ saturation`.
    pub saturation: f64,
    /// The share of an object that must remain in the picture; one with less is left out.
    pub min_visible: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        AugmentConfig {
            flip_horizontal: 0.5,
            flip_vertical: 0.5,
            scale: 1.35,
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
            min_visible: 0.3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        let settings = || DetectionSettings::new("w/o".parse().unwrap());
        assert_eq!(settings().check(), Ok(()));
        let wrong = DetectionSettings { batch: 0, ..settings() };
        assert_eq!(wrong.check().unwrap_err(), "batch: expected a number from 1 to 1024, found 0");
        let wrong = DetectionSettings { num_heads: 5, ..settings() };
        assert_eq!(wrong.check().unwrap_err(), "num_heads: expected a divisor of width = 32, found 5");
        let mut wrong = settings();
        wrong.anchors.sizes[1].pop();
        assert!(
            wrong.check().unwrap_err().starts_with("anchors.sizes: expected lists of equally many sizes")
        );
        let mut wrong = settings();
        wrong.targets.box_share = f64::NAN;
        let message = "targets.box_share: expected a number from 0 to 1, found NaN";
        assert_eq!(wrong.check().unwrap_err(), message);
    }
}
