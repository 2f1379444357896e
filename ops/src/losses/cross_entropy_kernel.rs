//! Kernels of the cross-entropies.

use ndarray::ArrayD;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector, math};
use termwise_autograd::{Array, Backend, Cpu, Scalar};

use super::Reduction;
use crate::broadcast::map;
use crate::lanes::Pointwise;
use crate::{par, rows, shape};

/// The labels of all positions, each a class or ignored.
#[derive(Clone, Debug)]
pub struct Labels {
    /// Extents of the positions.
    pub shape: Vec<usize>,
    /// The class of each position in row-major order; [`Labels::IGNORED`] is none.
    pub classes: Buffer<u32>,
}

impl Labels {
    /// Stands for the class of a position that is ignored.
    pub const IGNORED: u32 = u32::MAX;

    /// Sorts labels into classes and ignored ones.
    ///
    /// # Panics
    /// If a label is neither in `0 .. num_classes` nor `ignore_index`.
    #[track_caller]
    pub fn new(op: &str, target: &ArrayD<i64>, num_classes: usize, ignore_index: Option<i64>) -> Self {
        let class = |label: i64| u32::try_from(label).ok().filter(|&class| (class as usize) < num_classes);
        let mut classes = Buffer::arbitrary(target.len());
        let target = target.as_standard_layout();
        for (i, &label) in target.as_slice().expect("in standard layout").iter().enumerate() {
            let class = if Some(label) == ignore_index { None } else { class(label) };
            if class.is_none() && Some(label) != ignore_index {
                let at = position(i, target.shape());
                panic!(
                    "{op}: label {label} at position {at:?} is out of range for {num_classes} classes \
                     (ignore_index: {ignore_index:?})"
                );
            }
            classes[i] = class.unwrap_or(Labels::IGNORED);
        }
        Labels { shape: target.shape().to_vec(), classes }
    }
}

/// The class of a position, if it has one.
#[inline(always)]
fn class_of(label: u32) -> Option<usize> {
    (label != Labels::IGNORED).then_some(label as usize)
}

/// The index along each axis of the element at a row-major place.
fn position(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (index, extent) in position.iter_mut().zip(shape).rev() {
        (*index, place) = (place % extent, place / extent);
    }
    position
}

/// What the logits of a cross-entropy are compared with.
#[derive(Clone, Debug)]
pub struct Target<B: Backend> {
    /// The axis of the classes.
    pub axis: usize,
    /// The label of each position.
    pub labels: Labels,
    /// One for each class, `None` for 1.
    pub class_weight: Option<Array<B>>,
    /// The share that is spread evenly over all classes.
    pub smoothing: f64,
    /// What is returned of the positions' losses.
    pub reduction: Reduction,
}

/// Kernels of [`cross_entropy`](super::cross_entropy()) and
/// [`label_smoothed_nll_loss`](super::label_smoothed_nll_loss()).
pub trait CrossEntropyKernel: Backend {
    /// The reduced loss, and the same without smoothing. Where `differentiate` is set, also the gradient
    /// of each position's loss in the logits, divided by what a mean divides by.
    fn cross_entropy_forward(
        logits: &Array<Self>,
        target: &Target<Self>,
        differentiate: bool,
    ) -> ([Array<Self>; 2], Option<Array<Self>>);

    /// The gradient that forward made times `grad_output`: one number, or one for each position.
    fn cross_entropy_backward(
        gradient: &Array<Self>,
        target: &Target<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self>;
}

/// What the target puts on each class: `on_label` on the label's class, and `everywhere` on every
/// class, both times the class's weight.
#[derive(Clone, Copy)]
struct TargetWeights<'a, T> {
    on_label: T,
    everywhere: T,
    class_weight: Option<&'a [T]>,
    /// Sum of the class weights.
    total: T,
}

impl<'a, T: Scalar> TargetWeights<'a, T> {
    fn new(target: &'a Target<Cpu<T>>, num_classes: usize) -> Self {
        let class_weight = target.class_weight.as_ref().map(Array::as_slice);
        let count = num_classes as f64;
        let total = class_weight.map_or(T::of(count), |weights| weights.iter().copied().sum());
        TargetWeights {
            on_label: T::of(1.0 - target.smoothing),
            everywhere: T::of(target.smoothing / count),
            class_weight,
            total,
        }
    }

    #[inline(always)]
    fn of_class(&self, class: usize) -> T {
        self.class_weight.map_or(T::one(), |weights| weights[class])
    }

    /// The weights of the classes from `first` on.
    #[inline(always)]
    fn of_classes<V: Vector<Element = T>>(&self, first: usize) -> V {
        self.class_weight.map_or(V::of(1.0), |weights| V::from_slice(&weights[first..]))
    }

    /// The factor of the softmax in the gradient.
    #[inline(always)]
    fn of_softmax(&self, label: usize) -> T {
        self.on_label * self.of_class(label) + self.everywhere * self.total
    }

    /// The loss and the plain loss of a position from `max - x` of its label, the logarithm of the sum of
    /// `exp(x - max)` and the weighted sum of `max - x` over all classes.
    #[inline(always)]
    fn losses(&self, label: usize, distance: T, log_sum: T, distances: T) -> (T, T) {
        // (max - x) + log_sum, not (max + log_sum) - x: large logits keep their digits.
        let plain = self.of_class(label) * (distance + log_sum);
        let smooth = self.everywhere * (distances + self.total * log_sum);
        (self.on_label * plain + smooth, plain)
    }

    /// What a mean divides by. Summed in `f64`: the pixels of a batch of pictures are too many for `f32`.
    fn count(&self, labels: &Labels) -> T {
        let classes = labels.classes.iter().filter_map(|&label| class_of(label));
        T::of(classes.map(|class| self.of_class(class).as_f64()).sum())
    }
}

impl<T: Scalar> CrossEntropyKernel for Cpu<T> {
    fn cross_entropy_forward(
        logits: &Array<Self>,
        target: &Target<Self>,
        differentiate: bool,
    ) -> ([Array<Self>; 2], Option<Array<Self>>) {
        let (outer, classes, inner) = shape::split_at_axis(logits.shape(), target.axis);
        let weights = TargetWeights::new(target, classes);
        let (labels, count) = (&target.labels, weights.count(&target.labels));
        let unit = match target.reduction {
            Reduction::Mean if count != T::zero() => count.recip(),
            Reduction::Mean => T::zero(),
            Reduction::None | Reduction::Sum => T::one(),
        };
        let positions = outer * inner;
        let (mut losses, mut plain) = (Buffer::arbitrary(positions), Buffer::arbitrary(positions));
        let mut grad = Buffer::arbitrary(if differentiate { logits.len() } else { 0 });
        // A task takes some slabs of classes times neighbouring positions.
        let slabs = par::rows_per_block(classes * inner);
        let work = 24 * slabs * classes * inner;
        let run = |task: usize, losses: &mut [T], plain: &mut [T], grad: &mut [T]| {
            let first = task * slabs * inner;
            let logits = &logits.as_slice()[first * classes..(first + losses.len()) * classes];
            let labels = &labels.classes[first..first + losses.len()];
            simd::run(Forward { logits, labels, classes, inner, weights, unit, losses, plain, grad });
        };
        let (chunk, slab) = (slabs * inner, slabs * classes * inner);
        if differentiate {
            let outs = [(&mut losses[..], chunk), (&mut plain[..], chunk), (&mut grad[..], slab)];
            par::for_each_chunks(outs, work, |task, [losses, plain, grad]| run(task, losses, plain, grad));
        } else {
            let outs = [(&mut losses[..], chunk), (&mut plain[..], chunk)];
            par::for_each_chunks(outs, work, |task, [losses, plain]| run(task, losses, plain, &mut []));
        }
        let reduced = [losses, plain].map(|losses| target.reduction.apply(&labels.shape, losses, count));
        (reduced, differentiate.then(|| Array::from_buffer(logits.shape(), grad)))
    }

    fn cross_entropy_backward(
        gradient: &Array<Self>,
        target: &Target<Self>,
        grad_output: &Array<Self>,
    ) -> Array<Self> {
        if target.reduction != Reduction::None && grad_output.as_slice()[0] == T::one() {
            return gradient.clone();
        }
        let mut upstream = target.labels.shape.clone();
        match target.reduction {
            Reduction::None => upstream.insert(target.axis, 1),
            Reduction::Mean | Reduction::Sum => upstream.clear(),
        }
        let shape = gradient.shape();
        let operands = [(shape, gradient.as_slice()), (&upstream[..], grad_output.as_slice())];
        Array::from_buffer(shape, map(shape, operands, Product))
    }
}

/// `a b`
#[derive(Clone, Copy)]
struct Product;

impl Pointwise<2> for Product {
    #[inline(always)]
    fn at<V: Vector>(&self, [a, b]: [V; 2]) -> V {
        a * b
    }
}

/// Losses and gradients of slabs of `classes` rows of `inner` positions.
struct Forward<'a, T> {
    logits: &'a [T],
    labels: &'a [u32],
    classes: usize,
    inner: usize,
    weights: TargetWeights<'a, T>,
    /// What each position's gradient is multiplied with.
    unit: T,
    losses: &'a mut [T],
    plain: &'a mut [T],
    /// Empty where it is not wanted.
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(mut self) {
        if self.inner == 1 {
            for row in 0..self.labels.len() {
                self.row::<V>(row);
            }
        } else {
            for slab in 0..self.labels.len() / self.inner {
                for first in (0..self.inner).step_by(TILE) {
                    self.columns::<V>(slab, first..self.inner.min(first + TILE));
                }
            }
        }
    }
}

/// Positions that are worked on together where they lie side by side.
const TILE: usize = 256;

impl<T: Scalar> Forward<'_, T> {
    /// One position whose classes lie side by side.
    #[inline(always)]
    fn row<V: Vector<Element = T>>(&mut self, row: usize) {
        let weights = self.weights;
        let classes = row * self.classes..(row + 1) * self.classes;
        let x = &self.logits[classes.clone()];
        let grad = if self.grad.is_empty() { &mut [][..] } else { &mut self.grad[classes] };
        let Some(label) = class_of(self.labels[row]) else {
            grad.fill(T::zero());
            (self.losses[row], self.plain[row]) = (T::zero(), T::zero());
            return;
        };
        let max = rows::max::<V>(x);
        let sum = match grad.is_empty() {
            true => rows::sum_exp::<V>(x, max),
            false => rows::exp_shifted::<V>(x, max, grad),
        };
        let smoothed = weights.everywhere != T::zero();
        let distances = if smoothed { distances::<V>(x, max, &weights) } else { T::zero() };
        (self.losses[row], self.plain[row]) = weights.losses(label, max - x[label], sum.ln(), distances);
        if grad.is_empty() {
            return;
        }
        // dx_c = s p_c - eps / C w_c - (1 - eps) w_y [c = y]
        let factor = weights.of_softmax(label) * self.unit / sum;
        if smoothed {
            let (factor, share) = (V::splat(factor), V::splat(weights.everywhere * self.unit));
            for i in (0..grad.len()).step_by(V::LANES) {
                let e = V::from_slice(&grad[i..]);
                (e * factor - share * weights.of_classes(i)).write_to(&mut grad[i..]);
            }
        } else {
            rows::scale::<V>(grad, factor);
        }
        grad[label] -= weights.on_label * weights.of_class(label) * self.unit;
    }

    /// Neighbouring positions, whose logits of one class lie side by side.
    #[inline(always)]
    fn columns<V: Vector<Element = T>>(&mut self, slab: usize, tile: std::ops::Range<usize>) {
        let (zero, weights, width) = (T::zero(), self.weights, tile.len());
        let start = slab * self.classes * self.inner;
        let row =
            |class: usize| start + class * self.inner + tile.start..start + class * self.inner + tile.end;
        let (mut max, mut sum) = ([T::neg_infinity(); TILE], [zero; TILE]);
        let (mut distances, mut log_sum) = ([zero; TILE], [zero; TILE]);
        // Gradient of the loss in the mean's numerator and in the softmax; 0 where the position is ignored.
        let (mut unit, mut factor) = ([zero; TILE], [zero; TILE]);
        let (max, sum) = (&mut max[..width], &mut sum[..width]);
        let (distances, log_sum) = (&mut distances[..width], &mut log_sum[..width]);
        let (unit, factor) = (&mut unit[..width], &mut factor[..width]);
        for class in 0..self.classes {
            let x = &self.logits[row(class)];
            for (max, x) in max.chunks_mut(V::LANES).zip(x.chunks(V::LANES)) {
                V::from_slice(x).max(V::from_slice(max)).write_to(max);
            }
        }
        let smoothed = weights.everywhere != zero;
        for class in 0..self.classes {
            let x = &self.logits[row(class)];
            let weight = V::splat(weights.of_class(class));
            for i in (0..width).step_by(V::LANES) {
                let shifted = V::from_slice(&x[i..]) - V::from_slice(&max[i..]);
                let e = math::exp_nonpositive(shifted);
                (V::from_slice(&sum[i..]) + e).write_to(&mut sum[i..]);
                if smoothed {
                    let so_far = V::from_slice(&distances[i..]);
                    shifted.neg_mul_add(weight, so_far).write_to(&mut distances[i..]);
                }
                if !self.grad.is_empty() {
                    e.write_to(&mut self.grad[row(class)][i..]);
                }
            }
        }
        for (log_sum, sum) in log_sum.chunks_mut(V::LANES).zip(sum.chunks_mut(V::LANES)) {
            math::ln(V::from_slice(sum)).write_to(log_sum);
            (V::of(1.0) / V::from_slice(sum)).write_to(sum);
        }
        for j in 0..width {
            let position = slab * self.inner + tile.start + j;
            (self.losses[position], self.plain[position]) = (zero, zero);
            if let Some(label) = class_of(self.labels[position]) {
                let distance = max[j] - self.logits[row(label)][j];
                (self.losses[position], self.plain[position]) =
                    weights.losses(label, distance, log_sum[j], distances[j]);
                unit[j] = self.unit;
                factor[j] = weights.of_softmax(label) * self.unit;
            }
        }
        if self.grad.is_empty() {
            return;
        }
        // dx_c = s p_c - eps / C w_c - (1 - eps) w_y [c = y], 0 where the position is ignored
        for class in 0..self.classes {
            let grad = &mut self.grad[row(class)];
            let share = V::splat(weights.everywhere * weights.of_class(class));
            for i in (0..width).step_by(V::LANES) {
                let p = V::from_slice(&grad[i..]) * V::from_slice(&sum[i..]);
                let (factor, unit) = (V::from_slice(&factor[i..]), V::from_slice(&unit[i..]));
                let value = unit.neg_mul_add(share, p * factor);
                V::select(unit.eq(V::zero()), V::zero(), value).write_to(&mut grad[i..]);
            }
        }
        for j in 0..width {
            if let Some(label) = class_of(self.labels[slab * self.inner + tile.start + j]) {
                self.grad[row(label)][j] -= weights.on_label * weights.of_class(label) * unit[j];
            }
        }
    }
}

/// Weighted sum of the distances of a row of logits from `max`.
#[inline(always)]
fn distances<V: Vector>(
    x: &[V::Element],
    max: V::Element,
    weights: &TargetWeights<V::Element>,
) -> V::Element {
    let mut sum = V::zero();
    for i in (0..x.len()).step_by(V::LANES) {
        let term = weights.of_classes::<V>(i) * (V::splat(max) - V::from_slice(&x[i..]));
        sum += term.with_rest(x.len() - i, V::zero());
    }
    sum.sum()
}
