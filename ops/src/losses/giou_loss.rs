//! Generalised intersection over union of two lists of boxes, as a loss.
//!
//! `l = 1 - (I / (U + eps) - (A - U) / (A + eps))`, with `I` the area of the intersection of the two
//! boxes, `U` that of their union and `A` that of the smallest box around both.
//!
//! Source: Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019; `eps` as in torchvision.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::Reduction;
use crate::par;

/// Generalised IoU loss of pairs of boxes.
///
/// # Formula
/// `l = 1 - I / (U + eps) + (A - U) / (A + eps)`: intersection, union, smallest enclosing box; reduced.
///
/// # Shapes
/// `boxes1`, `boxes2`: (.., 4) as x1, y1, x2, y2 with x1 <= x2, y1 <= y2, the same; the loss: (..) or a
/// scalar, by `reduction`.
///
/// # Gradient
/// In both lists of boxes, through all areas:
/// `dI = -1 / (U + eps)`, `dU = I / (U + eps)^2 - 1 / (A + eps)`, `dA = (U + eps) / (A + eps)^2`.
///
/// # Edge cases
/// Boxes that do not overlap still attract each other, through `A`. Where two corners coincide each of
/// them gets half of the gradient of the minimum or maximum.
///
/// # Panics
/// If the shapes differ or the last axis is not 4.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Reduction, giou_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let a = tape.leaf(Array::host(&[1, 4], vec![0.0, 0.0, 2.0, 1.0]));
/// let b = tape.leaf(Array::host(&[1, 4], vec![1.0, 0.0, 4.0, 1.0]));
/// // intersection 1, union 4, enclosing box 4
/// let loss = giou_loss(&a, &b, 0.0, Reduction::Sum);
/// assert_eq!(loss.value().item(), 0.75);
/// ```
#[track_caller]
pub fn giou_loss<B: GiouLossKernel>(
    boxes1: &Var<B>,
    boxes2: &Var<B>,
    eps: f64,
    reduction: Reduction,
) -> Var<B> {
    assert!(
        boxes1.shape() == boxes2.shape() && boxes1.shape().last() == Some(&4),
        "giou_loss: both lists of boxes must be (.., 4), the same; they are {:?} and {:?}",
        boxes1.shape(),
        boxes2.shape()
    );
    apply(GiouLoss { eps, reduction }, [boxes1, boxes2])
}

struct GiouLoss {
    eps: f64,
    reduction: Reduction,
}

impl<B: GiouLossKernel> Op<B, 2> for GiouLoss {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        "giou_loss"
    }

    fn forward(&self, [boxes1, boxes2]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        let loss = B::giou_loss_forward(boxes1, boxes2, self.eps, self.reduction);
        (loss, (boxes1.clone(), boxes2.clone()))
    }

    fn backward(
        &self,
        (boxes1, boxes2): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        B::giou_loss_backward(boxes1, boxes2, self.eps, self.reduction, grad_output, needs)
    }
}

/// Kernels of [`giou_loss`].
pub trait GiouLossKernel: Backend {
    /// The reduced loss.
    fn giou_loss_forward(
        boxes1: &Array<Self>,
        boxes2: &Array<Self>,
        eps: f64,
        reduction: Reduction,
    ) -> Array<Self>;

    /// The gradients in the two lists of boxes that are needed.
    fn giou_loss_backward(
        boxes1: &Array<Self>,
        boxes2: &Array<Self>,
        eps: f64,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

type Box4<'a, T> = &'a [T; 4];

/// Sides and areas of one pair of boxes.
struct Pair<T> {
    /// Width and height of the intersection, 0 where there is none.
    inner: [T; 2],
    /// Width and height of the enclosing box.
    outer: [T; 2],
    intersection: T,
    union: T,
    enclosing: T,
}

impl<T: Scalar> Pair<T> {
    fn new(a: Box4<T>, b: Box4<T>) -> Self {
        let area = |b: Box4<T>| (b[2] - b[0]) * (b[3] - b[1]);
        let inner = [0, 1].map(|axis| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(T::zero()));
        let outer = [0, 1].map(|axis| a[axis + 2].max(b[axis + 2]) - a[axis].min(b[axis]));
        let intersection = inner[0] * inner[1];
        let union = area(a) + area(b) - intersection;
        Pair { inner, outer, intersection, union, enclosing: outer[0] * outer[1] }
    }

    fn loss(&self, eps: T) -> T {
        let (union, enclosing) = (self.union + eps, self.enclosing + eps);
        T::one() - self.intersection / union + (self.enclosing - self.union) / enclosing
    }

    /// Gradient of the loss in box `a`.
    fn gradient(&self, a: Box4<T>, b: Box4<T>, eps: T) -> [T; 4] {
        let (union, enclosing) = (self.union + eps, self.enclosing + eps);
        // l = 1 - I / (U + eps) + (A - U) / (A + eps), U = area(a) + area(b) - I
        let d_union = self.intersection / (union * union) - enclosing.recip();
        let d_intersection = -union.recip() - d_union;
        let d_enclosing = union / (enclosing * enclosing);
        let half = T::of(0.5);
        // The derivative of max(p, q) in p; that of min(p, q) is larger(q, p).
        let larger = |p: T, q: T| {
            if p > q {
                T::one()
            } else if p == q {
                half
            } else {
                T::zero()
            }
        };
        let mut grad = [T::zero(); 4];
        for axis in [0, 1] {
            let (low, high, other) = (axis, axis + 2, 1 - axis);
            // area(a) = (x2 - x1) (y2 - y1)
            let d_side = d_union * (a[other + 2] - a[other]);
            // I = iw ih, iw = max(min(x2, x2') - max(x1, x1'), 0)
            let overlap = self.inner[0] > T::zero() && self.inner[1] > T::zero();
            let d_inner = if overlap { d_intersection * self.inner[other] } else { T::zero() };
            // A = ow oh, ow = max(x2, x2') - min(x1, x1')
            let d_outer = d_enclosing * self.outer[other];
            grad[low] = -d_side - d_inner * larger(a[low], b[low]) - d_outer * larger(b[low], a[low]);
            grad[high] = d_side + d_inner * larger(b[high], a[high]) + d_outer * larger(a[high], b[high]);
        }
        grad
    }
}

/// Rough operations per pair of boxes.
const WORK: usize = 64;

impl<T: Scalar> GiouLossKernel for Cpu<T> {
    fn giou_loss_forward(
        boxes1: &Array<Self>,
        boxes2: &Array<Self>,
        eps: f64,
        reduction: Reduction,
    ) -> Array<Self> {
        let (a, b) = (boxes1.as_slice().as_chunks::<4>().0, boxes2.as_slice().as_chunks::<4>().0);
        let losses = par::map(a.len(), WORK, |i| Pair::new(&a[i], &b[i]).loss(T::of(eps)));
        let shape = &boxes1.shape()[..boxes1.ndim() - 1];
        reduction.apply(shape, losses, T::of(a.len() as f64))
    }

    fn giou_loss_backward(
        boxes1: &Array<Self>,
        boxes2: &Array<Self>,
        eps: f64,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (a, b) = (boxes1.as_slice().as_chunks::<4>().0, boxes2.as_slice().as_chunks::<4>().0);
        let upstream = reduction.spread(grad_output, T::of(a.len() as f64));
        let gradient = |needed: bool, a: &[[T; 4]], b: &[[T; 4]]| {
            needed.then(|| {
                let mut grad = Buffer::arbitrary(boxes1.len());
                par::for_each_chunk(&mut grad, 4, WORK, |i, grad| {
                    let gradient = Pair::new(&a[i], &b[i]).gradient(&a[i], &b[i], T::of(eps));
                    grad.copy_from_slice(&gradient.map(|g| g * upstream.at(i)));
                });
                Array::from_buffer(boxes1.shape(), grad)
            })
        };
        // The loss is symmetric in the two boxes.
        [gradient(needs[0], a, b), gradient(needs[1], b, a)]
    }
}

/// Test cases of [`giou_loss`]: pairs that overlap, contain each other and lie apart; no two corners
/// are closer than 0.05, where minimum and maximum change places.
pub fn cases<B: GiouLossKernel>() -> Vec<Case<B>> {
    let case = |spread: f64, reduction: Reduction, shape: &[usize]| {
        let label = format!("centres within {spread}, {reduction:?}");
        Case::new("giou_loss", label, shape, move |shape, samples| {
            if shape.last() != Some(&4) {
                return None;
            }
            let mut boxes = [samples.normal(shape), samples.normal(shape)];
            let pairs = shape.iter().product::<usize>() / 4;
            for pair in 0..pairs {
                loop {
                    let made = [0, 1].map(|_| {
                        let centre = samples.uniform(&[2], 0.0, spread);
                        let half = samples.uniform(&[2], 0.3, 1.5);
                        [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
                    });
                    let apart = |i: usize, j: usize| (made[0][i] - made[1][j]).abs() >= 0.05;
                    if (0..4).all(|i| apart(i, i) && apart(i, (i + 2) % 4)) {
                        for (boxes, made) in boxes.iter_mut().zip(made) {
                            let flat = boxes.as_slice_mut().expect("a new array is contiguous");
                            flat[4 * pair..4 * pair + 4].copy_from_slice(&made);
                        }
                        break;
                    }
                }
            }
            let [boxes1, boxes2] = boxes;
            Built::new([("boxes1", boxes1), ("boxes2", boxes2)], move |v| {
                giou_loss(&v[0], &v[1], 1e-7, reduction)
            })
        })
    };
    vec![
        case(1.0, Reduction::Mean, &[1, 4]),
        case(1.0, Reduction::Sum, &[7, 4]),
        case(6.0, Reduction::Mean, &[2, 3, 4]),
        case(3.0, Reduction::None, &[5, 4]),
        case(1.0, Reduction::Mean, &[0, 4]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn equal_boxes_cost_nothing_and_boxes_far_apart_almost_two() {
        let tape = Tape::new(Cpu::<f64>::new());
        let a = tape.leaf(Array::host(&[2, 4], vec![0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 1.0]));
        let b = tape.leaf(Array::host(&[2, 4], vec![0.0, 0.0, 1.0, 2.0, 99.0, 99.0, 100.0, 100.0]));
        let loss = giou_loss(&a, &b, 0.0, Reduction::None);
        assert_eq!(loss.value().as_slice(), [0.0, 1.0 + 9998.0 / 10_000.0]);
    }

    #[test]
    fn boxes_that_do_not_touch_attract_each_other() {
        let tape = Tape::new(Cpu::<f64>::new());
        let a = tape.leaf(Array::host(&[1, 4], vec![0.0, 0.0, 1.0, 1.0]));
        let b = tape.leaf(Array::host(&[1, 4], vec![3.0, 0.0, 4.0, 1.0]));
        let gradients = tape.backward(&giou_loss(&a, &b, 0.0, Reduction::Sum));
        // l = 1 + (4 - 2) / 4; a.x1 to the left adds to A and to U alike: d = -(dA + dU) ... = -(2/16 - 1/4)
        assert_eq!(gradients.of(&a).unwrap().as_slice()[0], 0.125);
        // a.x2 to the right adds to U only: dU = -1/A = -1/4
        assert_eq!(gradients.of(&a).unwrap().as_slice()[2], -0.25);
    }
}
