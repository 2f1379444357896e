//! What a score is made of, item by item, so that it can be computed again for any choice of the items.

use ndarray::ArrayRef2;
use serde::{Deserialize, Serialize};
use termwise_ops::metrics::{BleuOptions, BleuStatistics, JudgedDetections};

/// The items of a validation set and what a model made of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Pictures with a class for each pixel.
    Segmentation(Vec<PixelCounts>),
    /// Pictures with boxes.
    Detection(JudgedDetections),
    /// Sentences, lower-cased.
    Translation(Vec<BleuStatistics>),
}

/// The pixels of one picture for each class; pixels without a class do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelCounts {
    /// That are of the class and were taken for it.
    pub both: Vec<u32>,
    /// That are of the class.
    pub truth: Vec<u32>,
    /// That were taken for it.
    pub predicted: Vec<u32>,
}

impl PixelCounts {
    /// Counts one picture: two maps of class ids (H, W); where the truth is `ignore` nothing counts.
    ///
    /// # Panics
    /// If the maps differ in size or a class is not below `num_classes`.
    #[track_caller]
    pub fn new(truth: &ArrayRef2<u8>, predicted: &ArrayRef2<u8>, num_classes: usize, ignore: u8) -> Self {
        assert!(
            truth.dim() == predicted.dim(),
            "PixelCounts: maps of {:?} and {:?}",
            truth.dim(),
            predicted.dim()
        );
        let mut counts = [(); 3].map(|()| vec![0; num_classes]);
        for (&truth, &predicted) in truth.iter().zip(predicted).filter(|(truth, _)| **truth != ignore) {
            counts[0][usize::from(truth)] += u32::from(truth == predicted);
            counts[1][usize::from(truth)] += 1;
            counts[2][usize::from(predicted)] += 1;
        }
        let [both, truth, predicted] = counts;
        PixelCounts { both, truth, predicted }
    }
}

impl Evidence {
    /// How many items there are: pictures or sentences.
    pub fn len(&self) -> usize {
        match self {
            Evidence::Segmentation(pictures) => pictures.len(),
            Evidence::Detection(judged) => judged.num_images(),
            Evidence::Translation(sentences) => sentences.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score where item `i` counts `weights[i]` times: mean IoU or AP in percent, or BLEU.
    ///
    /// # Panics
    /// If there are not as many weights as items.
    #[track_caller]
    pub fn score(&self, weights: &[u32]) -> f64 {
        assert!(weights.len() == self.len(), "Evidence: {} weights for {} items", weights.len(), self.len());
        match self {
            Evidence::Segmentation(pictures) => 100.0 * mean_iou(pictures, weights),
            Evidence::Detection(judged) => 100.0 * judged.ap(weights),
            Evidence::Translation(sentences) => {
                let options = BleuOptions::default();
                let mut sum = BleuStatistics::new(options.max_order);
                for (sentence, &weight) in sentences.iter().zip(weights) {
                    (0..weight).for_each(|_| sum.merge(sentence));
                }
                sum.score(options.smoothing, options.effective_order).score
            }
        }
    }

    /// The score of all items, each once.
    pub fn score_of_all(&self) -> f64 {
        self.score(&vec![1; self.len()])
    }
}

/// The mean over the classes that occur of the pixels in both, divided by those in either.
fn mean_iou(pictures: &[PixelCounts], weights: &[u32]) -> f64 {
    let classes = pictures.first().map_or(0, |picture| picture.truth.len());
    let sum = |class: usize, of: fn(&PixelCounts) -> &Vec<u32>| -> f64 {
        pictures.iter().zip(weights).map(|(picture, &w)| f64::from(w) * f64::from(of(picture)[class])).sum()
    };
    let iou = |class| {
        let both = sum(class, |p| &p.both);
        let either = sum(class, |p| &p.truth) + sum(class, |p| &p.predicted) - both;
        (either > 0.0).then(|| both / either)
    };
    let ious: Vec<f64> = (0..classes).filter_map(iou).collect();
    ious.iter().sum::<f64>() / ious.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use termwise_ops::metrics::ConfusionMatrix;

    use super::*;

    #[test]
    fn mean_iou_is_that_of_the_confusion_matrix_for_any_weights() {
        let maps = [
            (array![[0u8, 1, 2], [1, 1, 9]], array![[0u8, 1, 1], [2, 1, 0]]),
            (array![[2u8, 2, 0], [0, 9, 0]], array![[2u8, 0, 0], [0, 1, 0]]),
        ];
        let counts = maps.iter().map(|(truth, predicted)| PixelCounts::new(truth, predicted, 4, 9));
        let evidence = Evidence::Segmentation(counts.collect());
        for weights in [[1, 1], [3, 1], [0, 2]] {
            let mut matrix = ConfusionMatrix::new(4, Some(9));
            for ((truth, predicted), times) in maps.iter().zip(weights) {
                (0..times).for_each(|_| matrix.update(truth, predicted));
            }
            let expected = 100.0 * matrix.metrics().miou;
            assert!((evidence.score(&weights) - expected).abs() < 1e-12, "{weights:?}");
        }
    }
}
