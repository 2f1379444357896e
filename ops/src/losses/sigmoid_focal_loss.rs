//! Focal loss on logits: binary cross-entropy in which easy elements count little.
//!
//! `l = alpha_t (1 - p_t)^gamma ce`, with `p = sigmoid(x)`, `p_t = p t + (1 - p)(1 - t)`,
//! `alpha_t = alpha t + (1 - alpha)(1 - t)` and `ce` the binary cross-entropy of `x` against `t`.
//!
//! Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::{Vector, math};

use super::Reduction;
use super::bce_with_logits::bce;
use super::pointwise::{PointwiseLoss, PointwiseLossKernel, pointwise_loss};

/// Sigmoid focal loss.
///
/// # Formula
/// With `p = sigmoid(x)`, `p_t = p t + (1 - p)(1 - t)`, `ce = -t log p - (1 - t) log(1 - p)`:
/// `l = alpha_t (1 - p_t)^gamma ce`, `alpha_t = alpha t + (1 - alpha)(1 - t)`, and `alpha_t = 1` for
/// a negative `alpha`; reduced.
///
/// # Shapes
/// `x` (logits), `target` (0 .. 1): any, the same; the loss: that shape or a scalar, by `reduction`.
///
/// # Gradient
/// Through the cross-entropy and through the modulating factor, in `x` and in `target`:
/// `dx = alpha_t [(1 - p_t)^gamma (p - t) - gamma (1 - p_t)^(gamma - 1) (2t - 1) p (1 - p) ce] dl`.
///
/// # Edge cases
/// Finite for any finite logit. `gamma = 0` with a negative `alpha` is
/// [`bce_with_logits`](super::bce_with_logits()). `mean` divides by the number of elements.
///
/// # Panics
/// If the shapes differ or `gamma` is negative or NaN.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// use termwise_ops::{Reduction, sigmoid_focal_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0]).into());
/// let target = tape.constant(ndarray::arr1(&[1.0]).into());
/// let loss = sigmoid_focal_loss(&x, &target, 0.25, 2.0, Reduction::Sum);
/// assert!((loss.value().item() - 0.25 * 0.25 * 2f64.ln()).abs() < 1e-15);
/// ```
#[track_caller]
pub fn sigmoid_focal_loss<B: PointwiseLossKernel>(
    x: &Var<B>,
    target: &Var<B>,
    alpha: f64,
    gamma: f64,
    reduction: Reduction,
) -> Var<B> {
    assert!(gamma >= 0.0, "sigmoid_focal_loss: gamma must be at least 0, it is {gamma}");
    pointwise_loss(SigmoidFocalLoss { alpha, gamma }, x, target, reduction)
}

#[derive(Clone, Copy)]
struct SigmoidFocalLoss {
    alpha: f64,
    gamma: f64,
}

impl SigmoidFocalLoss {
    /// `alpha_t` and its derivative in `t`.
    #[inline(always)]
    fn weight<V: Vector>(&self, t: V) -> (V, V) {
        let one = V::of(1.0);
        if self.alpha < 0.0 {
            return (one, V::zero());
        }
        let alpha = V::of(self.alpha);
        (alpha * t + (one - alpha) * (one - t), alpha + alpha - one)
    }

    /// `1 - p_t`, as `(1 - p) t + p (1 - t)`: without a difference that cancels where `p_t` is near 1.
    #[inline(always)]
    fn miss<V: Vector>(x: V, t: V) -> V {
        math::sigmoid(-x) * t + math::sigmoid(x) * (V::of(1.0) - t)
    }
}

impl PointwiseLoss for SigmoidFocalLoss {
    const NAME: &'static str = "sigmoid_focal_loss";

    fn parameters(&self) -> [f64; 2] {
        [self.alpha, self.gamma]
    }

    #[inline(always)]
    fn value<V: Vector>(&self, x: V, t: V) -> V {
        self.weight(t).0 * math::pow(Self::miss(x, t), self.gamma) * bce(x, t, V::of(1.0))
    }

    #[inline(always)]
    fn derivatives<V: Vector>(&self, x: V, t: V) -> [V; 2] {
        let (one, gamma) = (V::of(1.0), self.gamma);
        let (weight, weight_t) = self.weight(t);
        let (p, one_minus_p, ce) = (math::sigmoid(x), math::sigmoid(-x), bce(x, t, one));
        // miss = (1 - p) t + p (1 - t)  =>  in x: -(2t - 1) p (1 - p), in t: (1 - p) - p
        let miss = Self::miss(x, t);
        let (miss_x, miss_t) = ((one - t - t) * p * one_minus_p, one_minus_p - p);
        // m = miss^gamma  =>  gamma miss^(gamma - 1); at miss = 0 the factor ce is 0 as well
        let modulation = math::pow(miss, gamma);
        let slope = if gamma == 0.0 {
            V::zero()
        } else {
            V::select(ce.eq(V::zero()), V::zero(), V::of(gamma) * math::pow(miss, gamma - 1.0))
        };
        // ce = -t log p - (1 - t) log(1 - p)  =>  in x: p - t, in t: -x
        let dx = weight * (modulation * (p - t) + slope * miss_x * ce);
        let dt = weight_t * modulation * ce + weight * (slope * miss_t * ce - modulation * x);
        [dx, dt]
    }
}

/// Test cases of [`sigmoid_focal_loss`], with hard and with soft targets.
pub fn cases<B: PointwiseLossKernel>() -> Vec<Case<B>> {
    let case = |alpha: f64, gamma: f64, reduction: Reduction, shape: &[usize]| {
        let label = format!("alpha {alpha}, gamma {gamma}, {reduction:?}");
        Case::new("sigmoid_focal_loss", label, shape, move |shape, samples| {
            let x = samples.normal(shape) * 2.0;
            let target = samples.uniform(shape, 0.1, 0.9);
            Built::new([("x", x), ("target", target)], move |v| {
                sigmoid_focal_loss(&v[0], &v[1], alpha, gamma, reduction)
            })
        })
    };
    let hard = Case::new("sigmoid_focal_loss", "targets 0 and 1", &[4, 3], |shape, samples| {
        let x = ("x", samples.normal(shape) * 2.0);
        let target = samples.mask(shape, 0.3).mapv(f64::from);
        Built::new([x], move |v: &[Var<B>]| {
            let tape = v[0].tape();
            let target = tape.constant(termwise_autograd::Array::from_f64(tape.backend(), &target));
            sigmoid_focal_loss(&v[0], &target, 0.25, 2.0, Reduction::Mean)
        })
    });
    vec![
        case(0.25, 2.0, Reduction::Mean, &[1]),
        case(0.25, 2.0, Reduction::Sum, &[3, 5]),
        case(-1.0, 2.0, Reduction::Mean, &[2, 3, 3]),
        case(0.5, 1.5, Reduction::None, &[4, 3]),
        case(0.5, 0.0, Reduction::Sum, &[5]),
        hard,
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Array, Cpu, Tape};

    use super::*;

    #[test]
    fn extreme_logits_stay_finite() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::host(&[4], vec![1e3, -1e3, 1e3, -1e3]));
        let target = tape.leaf(Array::host(&[4], vec![1.0, 1.0, 0.0, 0.0]));
        for gamma in [0.0, 0.5, 1.0, 2.0] {
            let loss = sigmoid_focal_loss(&x, &target, -1.0, gamma, Reduction::None);
            assert_eq!(loss.value().as_slice(), [0.0, 1e3, 1e3, 0.0], "gamma {gamma}");
            for (x, t) in [(1e3f32, 1.0), (-1e3, 1.0), (1e3, 0.0), (-1e3, 0.0)] {
                let [dx, dt] = SigmoidFocalLoss { alpha: -1.0, gamma }.derivatives(x, t);
                assert!(dx.is_finite() && dt.is_finite(), "gamma {gamma}, x {x}, t {t}: {dx} {dt}");
            }
        }
    }
}
