//! Kernels of the cross-entropies.

use ndarray::ArrayD;
use termwise_autograd::{Array, Cpu, Scalar};

use super::Reduction;
use crate::activations::SoftmaxKernel;
use crate::{par, shape};

/// The labels of all positions, each a class or ignored.
#[derive(Clone, Debug)]
pub struct Labels {
    /// Extents of the positions.
    pub shape: Vec<usize>,
    /// The class of each position in row-major order, `None` where the position is ignored.
    pub classes: Vec<Option<usize>>,
}

impl Labels {
    /// Sorts labels into classes and ignored ones.
    ///
    /// # Panics
    /// If a label is neither in `0 .. num_classes` nor `ignore_index`.
    #[track_caller]
    pub fn new(op: &str, target: &ArrayD<i64>, num_classes: usize, ignore_index: Option<i64>) -> Self {
        let mut classes = Vec::with_capacity(target.len());
        for (index, &label) in target.indexed_iter() {
            classes.push(if Some(label) == ignore_index {
                None
            } else if (0..num_classes as i64).contains(&label) {
                Some(label as usize)
            } else {
                let at = ndarray::Dimension::slice(&index);
                panic!(
                    "{op}: label {label} at position {at:?} is out of range for {num_classes} classes \
                     (ignore_index: {ignore_index:?})"
                );
            });
        }
        Labels { shape: target.shape().to_vec(), classes }
    }
}

/// Kernels of [`cross_entropy`](super::cross_entropy()) and
/// [`label_smoothed_nll_loss`](super::label_smoothed_nll_loss()).
pub trait CrossEntropyKernel: SoftmaxKernel {
    /// The reduced loss, and the same without smoothing. `probabilities` is the softmax over `axis`.
    fn cross_entropy_forward(
        logits: &Array<Self>,
        probabilities: &Array<Self>,
        axis: usize,
        labels: &Labels,
        class_weight: Option<&Array<Self>>,
        smoothing: f64,
        reduction: Reduction,
    ) -> [Array<Self>; 2];

    /// Gradient in the logits.
    fn cross_entropy_backward(
        probabilities: &Array<Self>,
        axis: usize,
        labels: &Labels,
        class_weight: Option<&Array<Self>>,
        smoothing: f64,
        reduction: Reduction,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

/// What the target puts on each class: `on_label` on the label's class, and `everywhere` on every
/// class, both times the class's weight.
struct TargetWeights<'a, T> {
    on_label: T,
    everywhere: T,
    class_weight: Option<&'a [T]>,
    /// Sum of the class weights.
    total: T,
}

impl<'a, T: Scalar> TargetWeights<'a, T> {
    fn new(class_weight: Option<&'a Array<Cpu<T>>>, smoothing: f64, num_classes: usize) -> Self {
        let class_weight = class_weight.map(Array::as_slice);
        let count = num_classes as f64;
        let total = class_weight.map_or(T::of(count), |weights| weights.iter().copied().sum());
        TargetWeights {
            on_label: T::of(1.0 - smoothing),
            everywhere: T::of(smoothing / count),
            class_weight,
            total,
        }
    }

    fn of_class(&self, class: usize) -> T {
        self.class_weight.map_or(T::one(), |weights| weights[class])
    }

    /// What a mean divides by.
    fn count(&self, labels: &Labels) -> T {
        labels.classes.iter().flatten().map(|&class| self.of_class(class)).sum()
    }
}

impl<T: Scalar> CrossEntropyKernel for Cpu<T> {
    fn cross_entropy_forward(
        logits: &Array<Self>,
        probabilities: &Array<Self>,
        axis: usize,
        labels: &Labels,
        class_weight: Option<&Array<Self>>,
        smoothing: f64,
        reduction: Reduction,
    ) -> [Array<Self>; 2] {
        let (outer, classes, inner) = shape::split_at_axis(logits.shape(), axis);
        let weights = TargetWeights::new(class_weight, smoothing, classes);
        let (x, p) = (logits.as_slice(), probabilities.as_slice());
        let mut losses = vec![[T::zero(); 2]; outer * inner];
        par::for_each_chunk(&mut losses, inner, classes * inner * 4, |o, losses| {
            for (j, out) in losses.iter_mut().enumerate() {
                let Some(label) = labels.classes[o * inner + j] else { continue };
                let at = |class: usize| (o * classes + class) * inner + j;
                let max = (0..classes).fold(T::neg_infinity(), |max, c| max.max(x[at(c)]));
                // The likeliest class has p = 1 / sum_k exp(x_k - max), which never underflows.
                let log_sum = -(0..classes).fold(T::zero(), |max, c| max.max(p[at(c)])).ln();
                // (max - x) + log_sum, not (max + log_sum) - x: large logits keep their digits.
                let nll = |class: usize| max - x[at(class)] + log_sum;
                let on_label = weights.of_class(label) * nll(label);
                let mut everywhere = T::zero();
                if smoothing != 0.0 {
                    everywhere = (0..classes).map(|c| weights.of_class(c) * nll(c)).sum();
                }
                *out = [weights.on_label * on_label + weights.everywhere * everywhere, on_label];
            }
        });
        let count = weights.count(labels);
        [0, 1].map(|which| {
            let losses = losses.iter().map(|both| both[which]).collect();
            reduction.apply(&labels.shape, losses, count)
        })
    }

    fn cross_entropy_backward(
        probabilities: &Array<Self>,
        axis: usize,
        labels: &Labels,
        class_weight: Option<&Array<Self>>,
        smoothing: f64,
        reduction: Reduction,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        let (_, classes, inner) = shape::split_at_axis(probabilities.shape(), axis);
        let weights = TargetWeights::new(class_weight, smoothing, classes);
        let upstream = reduction.spread(grad_output, weights.count(labels));
        let mut grad = probabilities.as_slice().to_vec();
        par::for_each_chunk(&mut grad, classes * inner, classes * inner * 4, |o, grad| {
            let labels = &labels.classes[o * inner..][..inner];
            // dx_c = (s p_c - (1 - eps) w_y [c = y] - eps / C w_c) dl, with dl = 0 where ignored
            let upstream: Vec<T> =
                (0..inner).map(|j| labels[j].map_or(T::zero(), |_| upstream.at(o * inner + j))).collect();
            let scale: Vec<T> = labels
                .iter()
                .zip(&upstream)
                .map(|(label, &upstream)| {
                    let weight = label.map_or(T::zero(), |class| weights.of_class(class));
                    (weights.on_label * weight + weights.everywhere * weights.total) * upstream
                })
                .collect();
            for (c, grad) in grad.chunks_exact_mut(inner).enumerate() {
                let share = weights.everywhere * weights.of_class(c);
                for ((grad, &scale), &upstream) in grad.iter_mut().zip(&scale).zip(&upstream) {
                    *grad = *grad * scale - share * upstream;
                }
            }
            for (j, label) in labels.iter().enumerate() {
                if let Some(class) = *label {
                    grad[class * inner + j] -= weights.on_label * weights.of_class(class) * upstream[j];
                }
            }
        });
        Array::host(probabilities.shape(), grad)
    }
}
