//! Mean intersection over union and the accuracies of semantic segmentation, from a confusion
//! matrix that is counted picture by picture.
//!
//! With `h[t, p]` the number of pixels labelled t and predicted p,
//!
//! ```text
//! iou[k]       = h[k, k] / (sum_p h[k, p] + sum_t h[t, k] - h[k, k])
//! class_acc[k] = h[k, k] / sum_p h[k, p]
//! pixel_acc    = sum_k h[k, k] / sum h
//! ```
//!
//! and `miou`, `mean_acc` the means over the classes for which the quotient is defined.
//! Source: the evaluation of Long et al., CVPR 2015, as in torchvision's segmentation reference.

use ndarray::{Array2, ArrayRef, Axis, Dimension, Zip};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What a quotient without a denominator is reported as.
const UNDEFINED: f64 = -1.0;

/// Pixels counted by label (rows) and prediction (columns).
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_ops::metrics::ConfusionMatrix;
///
/// let mut confusion = ConfusionMatrix::new(3, Some(255));
/// confusion.update(&array![[0u8, 0, 1], [1, 2, 255]], &array![[0u8, 1, 1], [1, 1, 0]]);
/// assert_eq!(confusion.counts(), array![[1, 1, 0], [0, 2, 0], [0, 1, 0]]);
///
/// let metrics = confusion.metrics();
/// assert_eq!(metrics.iou, [0.5, 0.5, 0.0]);
/// assert_eq!(metrics.pixel_acc, 3.0 / 5.0);
/// assert_eq!(metrics.mean_acc, (0.5 + 1.0 + 0.0) / 3.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    counts: Array2<u64>, // (num_classes, num_classes)
    ignore_index: Option<i64>,
}

impl ConfusionMatrix {
    /// No pixel yet. Pixels labelled `ignore_index` will not be counted, whatever the prediction;
    /// it may be one of the classes.
    ///
    /// # Panics
    /// If `num_classes` is 0.
    #[track_caller]
    pub fn new(num_classes: usize, ignore_index: Option<i64>) -> Self {
        assert!(num_classes > 0, "ConfusionMatrix: num_classes is 0");
        Self { counts: Array2::zeros((num_classes, num_classes)), ignore_index }
    }

    /// Counts the pixels of one or more pictures.
    ///
    /// # Shapes
    /// `label` and `prediction` any one shape, e.g. (N, H, W)
    ///
    /// # Panics
    /// If the shapes differ, or a label or the prediction of a counted pixel is not a class.
    #[track_caller]
    pub fn update<L, P, D>(&mut self, label: &ArrayRef<L, D>, prediction: &ArrayRef<P, D>)
    where
        L: Copy + Into<i64>,
        P: Copy + Into<i64>,
        D: Dimension,
    {
        assert!(
            label.shape() == prediction.shape(),
            "ConfusionMatrix::update: shapes differ: label is {:?}, prediction is {:?}",
            label.shape(),
            prediction.shape()
        );
        let num_classes = self.counts.nrows();
        let class_of = |id: i64| usize::try_from(id).ok().filter(|&class| class < num_classes);
        let mut stray = None;
        Zip::from(label).and(prediction).for_each(|&label, &prediction| {
            let (label, prediction) = (label.into(), prediction.into());
            if self.ignore_index == Some(label) {
                return;
            }
            match (class_of(label), class_of(prediction)) {
                (Some(row), Some(column)) => self.counts[[row, column]] += 1,
                _ => stray = stray.or(Some((label, prediction))),
            }
        });
        if let Some((label, prediction)) = stray {
            panic!(
                "ConfusionMatrix::update: a pixel has label {label}, prediction {prediction}; \
                 expected classes 0 to {} or the ignored label {:?}",
                num_classes - 1,
                self.ignore_index
            );
        }
    }

    /// Adds the pixels counted by `other`.
    ///
    /// # Panics
    /// If the two differ in the number of classes or in the ignored label.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        assert!(
            self.counts.dim() == other.counts.dim() && self.ignore_index == other.ignore_index,
            "ConfusionMatrix::merge: {} classes, ignoring {:?}, and {} classes, ignoring {:?}",
            self.counts.nrows(),
            self.ignore_index,
            other.counts.nrows(),
            other.ignore_index
        );
        self.counts += &other.counts;
    }

    /// The counts (num_classes, num_classes): row = label, column = prediction.
    pub fn counts(&self) -> &Array2<u64> {
        &self.counts
    }

    /// The figures of all pixels so far.
    pub fn metrics(&self) -> SegmentationMetrics {
        let correct = self.counts.diag();
        let labelled = self.counts.sum_axis(Axis(1));
        let predicted = self.counts.sum_axis(Axis(0));
        let union = &labelled + &predicted - correct;

        let quotients = |denominators: &ndarray::Array1<u64>| -> Vec<f64> {
            correct.iter().zip(denominators).map(|(&part, &whole)| quotient(part, whole)).collect()
        };
        let (iou, class_acc) = (quotients(&union), quotients(&labelled));
        SegmentationMetrics {
            valid: union.iter().map(|&pixels| pixels > 0).collect(),
            miou: mean_of_defined(&iou),
            pixel_acc: quotient(correct.sum(), labelled.sum()),
            mean_acc: mean_of_defined(&class_acc),
            iou,
            class_acc,
        }
    }
}

/// The figures that a [`ConfusionMatrix`] gives, in [0, 1]; -1 where nothing was there to divide by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationMetrics {
    /// Intersection over union per class.
    pub iou: Vec<f64>,
    /// Whether a class has an IoU: it is labelled or predicted somewhere.
    pub valid: Vec<bool>,
    /// Mean of `iou` over the valid classes.
    pub miou: f64,
    /// Share of all pixels predicted right.
    pub pixel_acc: f64,
    /// Share of the pixels labelled with a class that are predicted right.
    pub class_acc: Vec<f64>,
    /// Mean of `class_acc` over the classes that are labelled somewhere.
    pub mean_acc: f64,
}

fn quotient(part: u64, whole: u64) -> f64 {
    if whole == 0 { UNDEFINED } else { part as f64 / whole as f64 }
}

fn mean_of_defined(values: &[f64]) -> f64 {
    let defined: Vec<f64> = values.iter().copied().filter(|&value| value != UNDEFINED).collect();
    if defined.is_empty() { UNDEFINED } else { defined.iter().sum::<f64>() / defined.len() as f64 }
}
