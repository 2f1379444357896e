//! Kernels of the cross-entropies.

use ndarray::ArrayD;
use termwise_autograd::{Array, Cpu, Scalar};

use super::Reduction;
use crate::activations::SoftmaxKernel;
use crate::{par, shape, sums};

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

    /// Weighted sum of the distances of a row of logits from `max`.
    fn distances(&self, row: &[T], max: T) -> T {
        let [sum] = match self.class_weight {
            Some(weights) => sums::sum_pairs(row, weights, &|x, weight| [weight * (max - x)]),
            None => sums::sum_pairs(row, row, &|x, _| [max - x]),
        };
        sum
    }

    /// What a mean divides by.
    fn count(&self, labels: &Labels) -> T {
        labels.classes.iter().flatten().map(|&class| self.of_class(class)).sum()
    }
}

/// Raises each maximum to the value beside it, where that is larger.
fn raise<T: Scalar>(max: &mut [T], values: &[T]) {
    for (max, &value) in max.iter_mut().zip(values) {
        *max = if value > *max { value } else { *max };
    }
}

/// Positions that are worked on together.
const TILE: usize = 64;

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
            let labels = &labels.classes[o * inner..][..inner];
            for (tile, (losses, labels)) in losses.chunks_mut(TILE).zip(labels.chunks(TILE)).enumerate() {
                // The positions of a tile lie side by side in the row of each class.
                let row = |class: usize| {
                    let start = (o * classes + class) * inner + tile * TILE;
                    start..start + labels.len()
                };
                let (mut max, mut likeliest) = ([T::neg_infinity(); TILE], [T::zero(); TILE]);
                // Sum of the target's share of each class times its distance from the maximum.
                let mut smooth = [T::zero(); TILE];
                if inner == 1 {
                    let all = row(0).start..row(0).start + classes;
                    (max[0], likeliest[0]) = (sums::max(&x[all.clone()]), sums::max(&p[all.clone()]));
                    if smoothing != 0.0 {
                        smooth[0] = weights.everywhere * weights.distances(&x[all], max[0]);
                    }
                } else {
                    for class in 0..classes {
                        raise(&mut max, &x[row(class)]);
                        raise(&mut likeliest, &p[row(class)]);
                    }
                    for class in (0..classes).filter(|_| smoothing != 0.0) {
                        let weight = weights.everywhere * weights.of_class(class);
                        for ((sum, &x), &max) in smooth.iter_mut().zip(&x[row(class)]).zip(&max) {
                            *sum += weight * (max - x);
                        }
                    }
                }
                for (j, (out, label)) in losses.iter_mut().zip(labels).enumerate() {
                    let Some(label) = *label else { continue };
                    // The likeliest class has p = 1 / sum_k exp(x_k - max), at least 1 / C unless it is NaN.
                    let log_sum = if likeliest[j] > T::zero() { -likeliest[j].ln() } else { T::nan() };
                    // (max - x) + log_sum, not (max + log_sum) - x: large logits keep their digits.
                    let plain = weights.of_class(label) * (max[j] - x[row(label).start + j] + log_sum);
                    let smooth = smooth[j] + weights.everywhere * weights.total * log_sum;
                    *out = [weights.on_label * plain + smooth, plain];
                }
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
