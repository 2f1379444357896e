//! The second look: each proposal is cut out of the pyramid, classified, and moved.

use ndarray::{Array2, Axis};
use rand::Rng;
use termwise_autograd::{Module, Parameters, Var};
use termwise_ops::losses::{CrossEntropy, Reduction, cross_entropy, smooth_l1_loss};
use termwise_ops::metrics::batched_nms;
use termwise_ops::spatial::{RoiAlign, roi_align};
use termwise_ops::tensor::{cat, index_select, reshape, scale};
use termwise_ops::{Kernels, relu, softmax};

use super::boxes::{BoxCoder, Corners, clip, extent};
use super::config::{DetectorConfig, ReportConfig, TargetConfig};
use super::matching::{Match, Matcher, sample};
use super::model::{Detection, Target};
use super::proposals::Proposal;
use super::rpn::{BETA, constant, indices};
use crate::Init;
use crate::layers::Linear;

/// Side of the map that each proposal is resampled to.
const BINS: usize = 7;
/// Samples per bin and axis.
const SAMPLES: i64 = 2;
/// Levels that proposals are looked at on: 1/4, 1/8, 1/16.
const LEVELS: usize = 3;

const MATCHER: Matcher = Matcher { foreground: 0.5, background: 0.5, low_quality: false };

/// The level on which a box is looked at: 0 for 1/4, 1 for 1/8, 2 for 1/16.
///
/// # Formula
/// `k = floor(4 + log2(sqrt(w h) / canonical_side))`, limited to 2 .. 4; level 0 is k = 2. Lin et al. 2017, Eq. 1.
///
/// # Examples
/// ```
/// use termwise_models::detection::assigned_level;
/// let level = |side: f64| assigned_level(&[0.0, 0.0, side, side], 128.0);
/// assert_eq!([level(128.0), level(127.0), level(64.0), level(63.0)], [2, 1, 1, 0]);
/// assert_eq!([level(1000.0), level(1.0)], [2, 0]); // limits
/// ```
pub fn assigned_level(bounds: &Corners, canonical_side: f64) -> usize {
    let (w, h) = extent(bounds);
    let k = (4.0 + ((w * h).sqrt() / canonical_side).log2()).floor();
    k.clamp(2.0, 4.0) as usize - 2
}

/// Proposals that are looked at together: index of the picture, and box.
type Region = (usize, Corners);

/// Two fully connected layers on the map of each proposal, then scores of the classes and of background (index 0),
/// and four numbers that move and stretch the proposal, for each class apart or for all.
pub struct BoxHead<B: Kernels> {
    hidden: [Linear<B>; 2],
    classes: Linear<B>,
    deltas: Linear<B>,
    num_classes: usize,
    class_specific: bool,
    canonical_side: f64,
}

impl<B: Kernels> BoxHead<B> {
    /// Fresh parameters.
    pub fn new(config: &DetectorConfig, init: &mut Init<B>) -> Self {
        let num_classes = config.classes.len();
        let moved = if config.class_specific { num_classes } else { 1 };
        let (input, hidden) = (config.channels * BINS * BINS, config.hidden);
        BoxHead {
            hidden: [Linear::new(input, hidden, true, init), Linear::new(hidden, hidden, true, init)],
            classes: Linear::new(hidden, num_classes + 1, true, init).scaled(0.1),
            deltas: Linear::new(hidden, 4 * moved, true, init).scaled(0.1),
            num_classes,
            class_specific: config.class_specific,
            canonical_side: config.canonical_side,
        }
    }

    /// Logits (R, classes + 1) and deltas (R, 4 or 4 classes) of regions that are sorted by level.
    fn forward(&self, levels: &[Var<B>], regions: &[Region]) -> (Var<B>, Var<B>) {
        let mut maps = Vec::new();
        for (i, level) in levels.iter().take(LEVELS).enumerate() {
            let rows: Vec<[f64; 5]> = regions
                .iter()
                .filter(|(_, b)| assigned_level(b, self.canonical_side) == i)
                .map(|&(picture, [x1, y1, x2, y2])| [picture as f64, x1, y1, x2, y2])
                .collect();
            if !rows.is_empty() {
                let settings = RoiAlign {
                    output_size: [BINS; 2],
                    spatial_scale: 0.25 / f64::from(1 << i),
                    sampling_ratio: SAMPLES,
                    aligned: true,
                };
                maps.push(roi_align(level, &Array2::from(rows).into_dyn(), &settings));
            }
        }
        let maps = cat(&maps.iter().collect::<Vec<_>>(), 0); // (R, C, 7, 7)
        let x = reshape(&maps, &[regions.len(), maps.shape()[1..].iter().product()]);
        let x = self.hidden.iter().fold(x, |x, layer| relu(&layer.forward(&x)));
        (self.classes.forward(&x), self.deltas.forward(&x))
    }

    fn sort(&self, regions: &mut [impl AsRef<Corners>]) {
        regions.sort_by_key(|region| assigned_level(region.as_ref(), self.canonical_side));
    }

    /// The loss of the classes (cross-entropy) and of the boxes (smooth L1) on sampled proposals, the objects
    /// themselves among them; both divided by the number of samples. `None` where nothing is sampled.
    pub fn losses(
        &self,
        levels: &[Var<B>],
        proposals: &[Vec<Proposal>],
        targets: &[Target],
        config: &TargetConfig,
        rng: &mut impl Rng,
    ) -> Option<[Var<B>; 2]> {
        let mut samples = Vec::new();
        for (picture, (proposals, target)) in proposals.iter().zip(targets).enumerate() {
            let boxes: Vec<Corners> =
                proposals.iter().map(|p| p.bounds).chain(target.boxes.iter().copied()).collect();
            let matches = MATCHER.assign(&boxes, &target.boxes, &target.crowds);
            let drawn = sample(&matches, config.boxes, config.box_share, rng);
            samples.extend(drawn.positives.iter().chain(&drawn.negatives).map(|&i| Sample {
                picture,
                bounds: boxes[i],
                object: match matches[i] {
                    Match::Object(object) => Some((target.classes[object], target.boxes[object])),
                    _ => None,
                },
            }));
        }
        if samples.is_empty() {
            return None;
        }
        self.sort(&mut samples);
        let regions: Vec<Region> = samples.iter().map(|s| (s.picture, s.bounds)).collect();
        let (logits, deltas) = self.forward(levels, &regions);

        let label = |s: &Sample| s.object.map_or(0, |(class, _)| class as i64 + 1);
        let labels = indices(samples.iter().map(label).collect());
        let classes = cross_entropy(&logits, &labels, None, &CrossEntropy::default());

        let (mut rows, mut wanted) = (Vec::new(), Vec::new());
        let moved = if self.class_specific { self.num_classes } else { 1 };
        for (i, s) in samples.iter().enumerate() {
            let Some((class, object)) = s.object else { continue };
            rows.push((i * moved + if self.class_specific { class } else { 0 }) as i64);
            wanted.extend(BoxCoder::FINAL.encode(&s.bounds, &object));
        }
        let predicted = index_select(&reshape(&deltas, &[samples.len() * moved, 4]), &indices(rows), 0);
        let wanted = constant(deltas.tape(), &[wanted.len() / 4, 4], &wanted);
        let boxes = smooth_l1_loss(&predicted, &wanted, BETA, Reduction::Sum);
        Some([classes, scale(&boxes, 1.0 / samples.len() as f64)])
    }

    /// The boxes of each picture, in its pixels, by descending score.
    pub fn detect(
        &self,
        levels: &[Var<B>],
        proposals: &[Vec<Proposal>],
        sizes: &[(f64, f64)],
        config: &ReportConfig,
    ) -> Vec<Vec<Detection>> {
        let mut samples: Vec<Sample> = Vec::new();
        for (picture, proposals) in proposals.iter().enumerate() {
            samples.extend(proposals.iter().map(|p| Sample { picture, bounds: p.bounds, object: None }));
        }
        let mut candidates: Vec<Vec<Detection>> = vec![Vec::new(); sizes.len()];
        if !samples.is_empty() {
            self.sort(&mut samples);
            let regions: Vec<Region> = samples.iter().map(|s| (s.picture, s.bounds)).collect();
            let (logits, deltas) = self.forward(levels, &regions);
            let (scores, deltas) = (softmax(&logits, 1).value().to_f64(), deltas.value().to_f64());
            let rows = scores.axis_iter(Axis(0)).zip(deltas.axis_iter(Axis(0)));
            for ((picture, bounds), (scores, deltas)) in regions.into_iter().zip(rows) {
                for class in 0..self.num_classes {
                    let score = scores[class + 1];
                    // Not what is NaN either.
                    if score >= config.min_score {
                        let at = if self.class_specific { 4 * class } else { 0 };
                        let moves = std::array::from_fn(|k| deltas[at + k]);
                        let bounds = clip(&BoxCoder::FINAL.decode(&bounds, moves), sizes[picture]);
                        if extent(&bounds).0 > 0.0 && extent(&bounds).1 > 0.0 {
                            candidates[picture].push(Detection { class, score, bounds });
                        }
                    }
                }
            }
        }
        candidates.iter().map(|found| best(found, config)).collect()
    }
}

/// Non-maximum suppression within each class, then the best of all.
fn best(found: &[Detection], config: &ReportConfig) -> Vec<Detection> {
    let boxes: Array2<f64> = Array2::from(found.iter().map(|d| d.bounds).collect::<Vec<_>>());
    let scores: Vec<f64> = found.iter().map(|d| d.score).collect();
    let classes: Vec<i64> = found.iter().map(|d| d.class as i64).collect();
    let kept = batched_nms(&boxes, &scores, &classes, config.nms_iou);
    kept.into_iter().take(config.count).map(|i| found[i]).collect()
}

/// A proposal, and the class and box of the object that it is matched to.
struct Sample {
    picture: usize,
    bounds: Corners,
    object: Option<(usize, Corners)>,
}

impl AsRef<Corners> for Sample {
    fn as_ref(&self) -> &Corners {
        &self.bounds
    }
}

impl<B: Kernels> Module<B> for BoxHead<B> {
    fn visit<'a>(&'a self, parameters: &mut Parameters<'a, B>) {
        for (i, layer) in self.hidden.iter().enumerate() {
            parameters.module(&format!("hidden{i}"), layer);
        }
        parameters.module("classes", &self.classes);
        parameters.module("deltas", &self.deltas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_the_formula() {
        let level = |w: f64, h: f64| assigned_level(&[10.0, 20.0, 10.0 + w, 20.0 + h], 224.0);
        assert_eq!(level(224.0, 224.0), 2, "k = 4");
        assert_eq!(level(223.9, 224.0), 1, "k = 3");
        assert_eq!(level(448.0, 112.0), 2, "by area, not by side");
        assert_eq!(level(112.0, 112.0), 1, "k = 3");
        assert_eq!(level(111.0, 112.0), 0, "k = 2");
        assert_eq!((level(5.0, 5.0), level(0.0, 3.0), level(5000.0, 5000.0)), (0, 0, 2), "limits");
    }

    #[test]
    fn suppression_is_within_classes_and_the_best_remain() {
        let detection = |class, score, x: f64| Detection { class, score, bounds: [x, 0.0, x + 10.0, 10.0] };
        let found =
            [detection(0, 0.5, 0.0), detection(0, 0.9, 1.0), detection(1, 0.7, 0.0), detection(0, 0.6, 50.0)];
        let config = ReportConfig { min_score: 0.0, nms_iou: 0.5, count: 10 };
        assert_eq!(best(&found, &config), [found[1], found[2], found[3]]);
        assert_eq!(best(&found, &ReportConfig { count: 1, ..config }), [found[1]]);
    }
}
