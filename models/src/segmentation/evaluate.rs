//! Predictions of a segmenter, their score, and what its attention looks at.

use ndarray::{Array2, Array3, Axis, s};
use termwise_autograd::{Array, Tape};
use termwise_datasets::Sample;
use termwise_datasets::batch::{Batch, Normalisation};
use termwise_ops::Kernels;
use termwise_ops::metrics::{ConfusionMatrix, SegmentationMetrics};

use super::{ModuleMaps, Segmenter};
use crate::layers::Mode;

/// Scores and predictions of a segmenter on some samples.
pub struct Evaluation {
    /// Mean IoU, pixel accuracy and the figures of each class.
    pub metrics: SegmentationMetrics,
    /// The predicted label map of each sample. (H, W)
    pub predictions: Vec<Array2<u8>>,
}

/// Predicts every sample, `batch` at a time, and compares with its labels; ignored pixels do not count.
///
/// # Panics
/// If samples within a batch differ in size.
pub fn evaluate<B: Kernels<Scalar = f32>>(
    segmenter: &Segmenter<B>,
    samples: &[Sample],
    batch: usize,
) -> Evaluation {
    let config = segmenter.config();
    let mut confusion = ConfusionMatrix::new(config.classes.len(), Some(i64::from(config.ignore)));
    let mut predictions = Vec::with_capacity(samples.len());
    for chunk in samples.chunks(batch.max(1)) {
        for (sample, prediction) in chunk.iter().zip(predict(segmenter, chunk)) {
            confusion.update(&sample.labels, &prediction);
            predictions.push(prediction);
        }
    }
    Evaluation { metrics: confusion.metrics(), predictions }
}

/// The class with the largest score at each pixel, of equal scores the first. (H, W) for each sample
///
/// # Panics
/// If there is no sample, or the samples differ in size.
pub fn predict<B: Kernels<Scalar = f32>>(segmenter: &Segmenter<B>, samples: &[Sample]) -> Vec<Array2<u8>> {
    let tape = Tape::inference(segmenter.backend().clone());
    let images = tape.constant(images(segmenter, samples));
    let scores = segmenter.forward(&images, Mode::Eval);
    let scores = scores.value().to_ndarray();
    scores
        .axis_iter(Axis(0))
        .map(|scores| {
            let (h, w) = (scores.shape()[1], scores.shape()[2]);
            let mut best = Array2::zeros((h, w));
            let mut largest = scores.slice(s![0, .., ..]).to_owned();
            for class in 1..scores.shape()[0] {
                let score = scores.slice(s![class, .., ..]);
                for ((best, largest), &score) in best.iter_mut().zip(&mut largest).zip(&score) {
                    if score > *largest {
                        (*best, *largest) = (class as u8, score);
                    }
                }
            }
            best
        })
        .collect()
}

/// Samples as one normalised array. (N, 3, H, W)
fn images<B: Kernels<Scalar = f32>>(segmenter: &Segmenter<B>, samples: &[Sample]) -> Array<B> {
    let config = segmenter.config();
    let normalisation = Normalisation { mean: config.mean, std: config.std };
    Array::from_ndarray(segmenter.backend(), Batch::stack(samples, &normalisation, config.ignore).images)
}

/// What one attention module looks at from one query pixel, averaged over its heads.
pub struct QueryMaps {
    /// Stage and block.
    pub module: String,
    /// Height and width of the module's map.
    pub size: (usize, usize),
    /// Row and column of the query on that map.
    pub query: (usize, usize),
    /// Energies of E1 .. E4 over the keys; `None` for terms that are off. (h, w)
    pub energies: [Option<Array2<f64>>; 4],
    /// Weights after the softmax over the keys. (h, w)
    pub weights: Array2<f64>,
}

/// The maps of every Transformer attention module for the query at `point`, (y, x) as shares of the
/// image's height and width.
pub fn query_maps<B: Kernels<Scalar = f32>>(
    segmenter: &Segmenter<B>,
    sample: &Sample,
    point: (f64, f64),
) -> Vec<QueryMaps> {
    let tape = Tape::inference(segmenter.backend().clone());
    let images = tape.constant(images(segmenter, std::slice::from_ref(sample)));
    let all = segmenter.attention_maps(&images);
    all.into_iter()
        .map(|ModuleMaps { name, size: (h, w), maps }| {
            let query = ((point.0 * h as f64) as usize, (point.1 * w as f64) as usize);
            let query = (query.0.min(h - 1), query.1.min(w - 1));
            let map = |array: &Array<B>| {
                let array: Array3<f64> =
                    array.to_f64().index_axis_move(Axis(0), 0).into_dimensionality().expect("(M, Q, K)");
                // All queries share a row where the weights do not depend on the query.
                let row = (query.0 * w + query.1).min(array.dim().1 - 1);
                let mean = array.slice(s![.., row, ..]).mean_axis(Axis(0)).expect("at least one head");
                mean.into_shape_with_order((h, w)).expect("one weight for each key")
            };
            QueryMaps {
                module: name,
                size: (h, w),
                query,
                energies: maps.energies.each_ref().map(|e| e.as_ref().map(map)),
                weights: map(&maps.weights),
            }
        })
        .collect()
}
