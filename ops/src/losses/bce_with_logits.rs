//! Binary cross-entropy on logits.
//!
//! `l = -w t log p - (1 - t) log(1 - p)`, `p = sigmoid(x)`, in the form
//! `w t softplus(-x) + (1 - t) softplus(x)`, `softplus(x) = log(1 + exp(x))`, which stays finite.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::Reduction;
use crate::broadcast::map;
use crate::lanes::Pointwise;
use crate::shape;

/// Binary cross-entropy with logits.
///
/// # Formula
/// With `p = sigmoid(x)`: `l = -w t log p - (1 - t) log(1 - p)`, `w` = `pos_weight` or 1; reduced.
///
/// # Shapes
/// `x` (logits), `target` (0 .. 1): any, the same. `pos_weight`: broadcasts to it, (C) weighs the last
/// axis. The loss: that shape or a scalar, by `reduction`.
///
/// # Gradient
/// `dx = [(1 - t) p - w t (1 - p)] dl`, `dt = [log(1 - p) - w log p] dl`; divided by the number of
/// elements for a mean. `pos_weight` is a constant.
///
/// # Edge cases
/// Finite for any finite logit.
///
/// # Panics
/// If the shapes of `x` and `target` differ or `pos_weight` does not broadcast to them.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::{Reduction, bce_with_logits};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, -1000.0]).into());
/// let target = tape.constant(ndarray::arr1(&[1.0, 1.0]).into());
/// let loss = bce_with_logits(&x, &target, None, Reduction::None);
/// assert_eq!(loss.value().as_slice(), [2f64.ln(), 1000.0]);
/// ```
#[track_caller]
pub fn bce_with_logits<B: BceWithLogitsKernel>(
    x: &Var<B>,
    target: &Var<B>,
    pos_weight: Option<&Array<B>>,
    reduction: Reduction,
) -> Var<B> {
    assert!(
        x.shape() == target.shape(),
        "bce_with_logits: input and target must have the same shape, the input is {:?}, the target {:?}",
        x.shape(),
        target.shape()
    );
    if let Some(weight) = pos_weight {
        assert!(
            shape::broadcast(weight.shape(), x.shape()).as_deref() == Some(x.shape()),
            "bce_with_logits: pos_weight {:?} does not broadcast to the input {:?}",
            weight.shape(),
            x.shape()
        );
    }
    apply(BceWithLogits { pos_weight: pos_weight.cloned(), reduction }, [x, target])
}

struct BceWithLogits<B: Backend> {
    pos_weight: Option<Array<B>>,
    reduction: Reduction,
}

impl<B: BceWithLogitsKernel> Op<B, 2> for BceWithLogits<B> {
    type Saved = (Array<B>, Array<B>);

    fn name(&self) -> &'static str {
        "bce_with_logits"
    }

    fn forward(&self, [x, target]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        let loss = B::bce_with_logits_forward(x, target, self.pos_weight.as_ref(), self.reduction);
        (loss, (x.clone(), target.clone()))
    }

    fn backward(
        &self,
        (x, target): &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // l = w t softplus(-x) + (1 - t) softplus(x), and softplus' = sigmoid
        let weight = self.pos_weight.as_ref();
        B::bce_with_logits_backward(x, target, weight, self.reduction, grad_output, needs)
    }
}

/// `log(1 + exp(x))` and `log(1 + exp(-x))`, never through an exponential that overflows.
#[inline(always)]
fn softplus<V: Vector>(x: V) -> (V, V) {
    let tail = math::ln_1p(math::exp_nonpositive(-x.abs()));
    (tail + V::select(x.lt(V::zero()), V::zero(), x), tail + V::select(x.lt(V::zero()), -x, V::zero()))
}

/// Binary cross-entropy of logit `x` against `t`, the positive part weighted by `w`.
#[inline(always)]
pub(super) fn bce<V: Vector>(x: V, t: V, w: V) -> V {
    let (negative, positive) = softplus(x);
    w * t * positive + (V::of(1.0) - t) * negative
}

/// The loss.
#[derive(Clone, Copy)]
struct Value;

impl Pointwise<3> for Value {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, t, w]: [V; 3]) -> V {
        bce(x, t, w)
    }
}

/// The derivative in `x` times the gradient.
#[derive(Clone, Copy)]
struct InLogit;

impl Pointwise<4> for InLogit {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, t, w, g]: [V; 4]) -> V {
        // 1 - p as the sigmoid of -x: exact where p rounds to 1
        ((V::of(1.0) - t) * math::sigmoid(x) - w * t * math::sigmoid(-x)) * g
    }
}

/// The derivative in `t` times the gradient.
#[derive(Clone, Copy)]
struct InTarget;

impl Pointwise<4> for InTarget {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, _, w, g]: [V; 4]) -> V {
        let (negative, positive) = softplus(x);
        (w * positive - negative) * g
    }
}

/// Kernels of [`bce_with_logits`].
pub trait BceWithLogitsKernel: Backend {
    /// The reduced loss.
    fn bce_with_logits_forward(
        x: &Array<Self>,
        target: &Array<Self>,
        pos_weight: Option<&Array<Self>>,
        reduction: Reduction,
    ) -> Array<Self>;

    /// The gradients in input and target that are needed.
    fn bce_with_logits_backward(
        x: &Array<Self>,
        target: &Array<Self>,
        pos_weight: Option<&Array<Self>>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2];
}

impl<T: Scalar> BceWithLogitsKernel for Cpu<T> {
    fn bce_with_logits_forward(
        x: &Array<Self>,
        target: &Array<Self>,
        pos_weight: Option<&Array<Self>>,
        reduction: Reduction,
    ) -> Array<Self> {
        let (shape, one) = (x.shape(), T::one());
        let losses = map(shape, operands(x, target, pos_weight, &one), Value);
        reduction.apply(shape, losses, T::of(x.len() as f64))
    }

    fn bce_with_logits_backward(
        x: &Array<Self>,
        target: &Array<Self>,
        pos_weight: Option<&Array<Self>>,
        reduction: Reduction,
        grad_output: &Array<Self>,
        needs: [bool; 2],
    ) -> [Option<Array<Self>>; 2] {
        let (shape, one) = (x.shape(), T::one());
        let upstream = reduction.spread(grad_output, T::of(x.len() as f64));
        let [x, target, weight] = operands(x, target, pos_weight, &one);
        let operands = [x, target, weight, upstream.operand(shape)];
        let grad_x = needs[0].then(|| Array::from_buffer(shape, map(shape, operands, InLogit)));
        let grad_target = needs[1].then(|| Array::from_buffer(shape, map(shape, operands, InTarget)));
        [grad_x, grad_target]
    }
}

/// Shape and elements of logits, targets and weights; `one` is the weight where there is none.
fn operands<'a, T: Scalar>(
    x: &'a Array<Cpu<T>>,
    target: &'a Array<Cpu<T>>,
    pos_weight: Option<&'a Array<Cpu<T>>>,
    one: &'a T,
) -> [(&'a [usize], &'a [T]); 3] {
    let weight = match pos_weight {
        Some(weight) => (weight.shape(), weight.as_slice()),
        None => (&[][..], std::slice::from_ref(one)),
    };
    [(x.shape(), x.as_slice()), (x.shape(), target.as_slice()), weight]
}

/// Test cases of [`bce_with_logits`].
pub fn cases<B: BceWithLogitsKernel>() -> Vec<Case<B>> {
    let case = |weighted: Option<usize>, scale: f64, reduction: Reduction, shape: &[usize]| {
        let label = format!("weight axes {weighted:?}, scale {scale}, {reduction:?}");
        Case::new("bce_with_logits", label, shape, move |shape, samples| {
            let x = ("x", samples.normal(shape) * scale);
            let target = ("target", samples.uniform(shape, 0.0, 1.0));
            let Some(axes) = weighted else {
                return Built::new([x, target], move |v| bce_with_logits(&v[0], &v[1], None, reduction));
            };
            let weight = samples.uniform(&shape[shape.len().checked_sub(axes)?..], 0.5, 3.0);
            Built::new([x, target], move |v| {
                let weight = Array::from_f64(v[0].tape().backend(), &weight);
                bce_with_logits(&v[0], &v[1], Some(&weight), reduction)
            })
        })
    };
    vec![
        case(None, 1.0, Reduction::Mean, &[1]),
        case(None, 2.0, Reduction::Mean, &[3, 5]),
        case(Some(1), 1.0, Reduction::Sum, &[2, 3, 3]),
        case(Some(2), 1.0, Reduction::None, &[4, 3]),
        case(None, 30.0, Reduction::Sum, &[7]),
        case(None, 1.0, Reduction::Mean, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn confident_mistakes_cost_their_logit_and_gradients_saturate() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[4], vec![1e3, -1e3, 1e3, -1e3]));
        let target = tape.constant(Array::host(&[4], vec![1.0, 1.0, 0.0, 0.0]));
        let loss = bce_with_logits(&x, &target, None, Reduction::None);
        assert_eq!(loss.value().as_slice(), [0.0, 1e3, 1e3, 0.0]);
        let gradients = tape.backward_with(&[(&loss, Array::host(&[4], vec![1.0; 4]))]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, -1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_positive_weight_scales_the_positive_part_alone() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[2, 2], vec![0.0; 4]));
        let target = tape.constant(Array::host(&[2, 2], vec![1.0, 1.0, 0.0, 0.0]));
        let weight = Array::host(&[2], vec![1.0, 3.0]);
        let loss = bce_with_logits(&x, &target, Some(&weight), Reduction::None);
        let ln2 = 2f64.ln();
        assert_eq!(loss.value().as_slice(), [ln2, 3.0 * ln2, ln2, ln2]);
    }

    #[test]
    #[should_panic(expected = "pos_weight [2] does not broadcast to the input [2, 3]")]
    fn a_weight_that_does_not_fit_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[2, 3], vec![0.0; 6]));
        bce_with_logits(&x, &x, Some(&Array::host(&[2], vec![1.0; 2])), Reduction::Mean);
    }
}
