//! Cross-entropy of logits against class labels, with log-softmax inside.
//!
//! `l = (1 - eps) w_y nll_y + eps / C sum_c w_c nll_c`, `nll_c = log sum_k exp(x_k) - x_c`, for each
//! position; `y` is its label, `C` the number of classes, `eps` the label smoothing, `w` class weights.
//! Where a gradient is wanted, forward computes it beside the loss, from the same exponentials and while the
//! logits are at hand; backward multiplies it by what comes from above, if that is not 1.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Op, Var, apply};

use super::Reduction;
pub use super::cross_entropy_kernel::{CrossEntropyKernel, Labels, Target};

/// Settings of [`cross_entropy`].
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{CrossEntropy, Reduction, cross_entropy};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let logits = tape.leaf(Array::host(&[2, 2], vec![0.0, 3f64.ln(), 0.0, 0.0])); // one to three, one to one
/// let labels = ndarray::arr1(&[1, 0]).into_dyn();
/// let settings = CrossEntropy { label_smoothing: 0.5, reduction: Reduction::None, ..CrossEntropy::default() };
/// let loss = cross_entropy(&logits, &labels, None, &settings);
/// // Three quarters of the target are the label's, one quarter is the other's.
/// let expected = [0.75 * (4f64 / 3.0).ln() + 0.25 * 4f64.ln(), 2f64.ln()];
/// assert!(loss.value().as_slice().iter().zip(expected).all(|(l, e)| (l - e).abs() < 1e-12));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// A label that marks positions to leave out; it may be that of a class. `None`: there is none.
    pub ignore_index: Option<i64>,
    /// The share of the target that is spread evenly over all classes: 0 .. 1.
    pub label_smoothing: f64,
    /// What is returned of the positions' losses. A mean divides by the number of positions that are
    /// not ignored, or by the sum of their labels' class weights.
    pub reduction: Reduction,
}

/// Cross-entropy of logits against class labels; the classes are axis 1.
///
/// # Formula
/// With `nll_c = log sum_k exp(x_k) - x_c`, label `y`, weights `w` (1 where there are none), smoothing
/// `eps`: `l = (1 - eps) w_y nll_y + eps / C sum_c w_c nll_c` for each position, 0 for an ignored one;
/// reduced.
///
/// # Shapes
/// `logits`: (N, C, ..); `target`: (N, ..), labels 0 .. C; `class_weight`: (C). The loss: (N, ..) or a
/// scalar, by the reduction.
///
/// # Gradient
/// With `p = softmax(x)`, `s = (1 - eps) w_y + eps / C sum_c w_c` and `[c = y]` 1 at the label:
/// `dx_c = (s p_c - (1 - eps) w_y [c = y] - eps / C w_c) dl`. Weights are constants.
///
/// # Edge cases
/// A mean over ignored positions alone (or of weight 0) is 0 with zero gradient. A logit of `-inf`
/// excludes its class; such a class must not be a label, nor get weight from smoothing. NaN stays NaN.
///
/// # Panics
/// If the shapes do not fit each other, the smoothing is outside 0 .. 1, or a label is neither a class
/// nor ignored: the message names label, position and number of classes.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{CrossEntropy, cross_entropy};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let logits = tape.leaf(Array::host(&[2, 2], vec![0.0, 3f64.ln(), 5.0, 5.0]));
/// let labels = ndarray::arr1(&[1, 255]).into_dyn();
/// let settings = CrossEntropy { ignore_index: Some(255), ..CrossEntropy::default() };
/// let loss = cross_entropy(&logits, &labels, None, &settings);
/// assert!((loss.value().item() - (4f64 / 3.0).ln()).abs() < 1e-15);
/// ```
#[track_caller]
pub fn cross_entropy<B: CrossEntropyKernel>(
    logits: &Var<B>,
    target: &ArrayD<i64>,
    class_weight: Option<&Array<B>>,
    settings: &CrossEntropy,
) -> Var<B> {
    let shape = logits.shape();
    assert!(
        shape.len() >= 2 && target.shape() == [&shape[..1], &shape[2..]].concat(),
        "cross_entropy: target must be (N, ..) for logits (N, C, ..), the logits are {shape:?}, the target {:?}",
        target.shape()
    );
    let classes = shape[1];
    if let Some(weight) = class_weight {
        assert!(
            weight.shape() == [classes],
            "cross_entropy: class_weight must be [{classes}] for logits {shape:?}, its shape is {:?}",
            weight.shape()
        );
    }
    let smoothing = settings.label_smoothing;
    assert!(
        (0.0..=1.0).contains(&smoothing),
        "cross_entropy: label_smoothing must be in 0 .. 1, it is {smoothing}"
    );
    let labels = Labels::new("cross_entropy", target, classes, settings.ignore_index);
    let class_weight = class_weight.cloned();
    apply(
        CrossEntropyOp {
            name: "cross_entropy",
            differentiate: logits.requires_grad(),
            target: Target { axis: 1, labels, class_weight, smoothing, reduction: settings.reduction },
        },
        [logits],
    )
}

/// The op of [`cross_entropy`] and of
/// [`label_smoothed_nll_loss`](super::label_smoothed_nll_loss()), classes on any axis.
pub(super) struct CrossEntropyOp<B: Backend> {
    pub(super) name: &'static str,
    /// Whether forward is to compute the gradient.
    pub(super) differentiate: bool,
    pub(super) target: Target<B>,
}

pub(super) struct CrossEntropySaved<B: Backend> {
    /// Of each position's loss in the logits, divided by what a mean divides by.
    gradient: Option<Array<B>>,
    /// The loss without smoothing, reduced like the loss.
    pub(super) nll: Array<B>,
}

impl<B: CrossEntropyKernel> Op<B, 1> for CrossEntropyOp<B> {
    type Saved = CrossEntropySaved<B>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, [logits]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        // nll_c = log sum_k exp(x_k) - x_c  =>  d nll_c / dx_k = p_k - [k = c]
        let ([loss, nll], gradient) = B::cross_entropy_forward(logits, &self.target, self.differentiate);
        (loss, CrossEntropySaved { gradient, nll })
    }

    fn backward(&self, saved: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        let gradient =
            saved.gradient.as_ref().expect("computed where the logits take part in differentiation");
        [Some(B::cross_entropy_backward(gradient, &self.target, grad_output))]
    }
}

/// Test cases of [`cross_entropy`].
pub fn cases<B: CrossEntropyKernel>() -> Vec<Case<B>> {
    let case = |weighted: bool, scale: f64, settings: CrossEntropy, shape: &[usize]| {
        let label = format!(
            "weights {weighted}, smoothing {}, ignore {:?}, scale {scale}, {:?}",
            settings.label_smoothing, settings.ignore_index, settings.reduction
        );
        Case::new("cross_entropy", label, shape, move |shape, samples| {
            if shape.len() < 2 || shape[1] == 0 {
                return None;
            }
            let logits = ("logits", samples.normal(shape) * scale);
            let target = samples.integers(&[&shape[..1], &shape[2..]].concat(), 0, shape[1] as i64);
            let weight = weighted.then(|| samples.uniform(&shape[1..2], 0.5, 2.0));
            let settings = settings.clone();
            Built::new([logits], move |v| {
                let weight = weight.as_ref().map(|w| Array::from_f64(v[0].tape().backend(), w));
                cross_entropy(&v[0], &target, weight.as_ref(), &settings)
            })
        })
    };
    let settings = |label_smoothing: f64, ignore_index: Option<i64>, reduction: Reduction| CrossEntropy {
        label_smoothing,
        ignore_index,
        reduction,
    };
    vec![
        case(false, 1.0, settings(0.0, None, Reduction::Mean), &[1, 1]),
        case(false, 1.0, settings(0.1, None, Reduction::Mean), &[1, 2]),
        case(false, 1.0, settings(0.1, Some(1), Reduction::Mean), &[2, 2, 66]),
        case(false, 1.0, settings(0.0, None, Reduction::Mean), &[5, 7]),
        case(true, 1.0, settings(0.1, Some(0), Reduction::Mean), &[6, 3]),
        case(true, 1.0, settings(0.3, None, Reduction::Sum), &[2, 37]),
        case(true, 1.0, settings(0.2, Some(1), Reduction::None), &[2, 3, 5]),
        case(false, 2.0, settings(0.1, Some(2), Reduction::Sum), &[2, 4, 3, 2]),
        case(false, 20.0, settings(0.0, None, Reduction::Sum), &[3, 4]),
        case(false, 1.0, settings(0.0, None, Reduction::Mean), &[0, 3]),
        case(false, 1.0, settings(0.0, None, Reduction::Mean), &[2, 3, 0]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    fn labels(values: &[i64]) -> ArrayD<i64> {
        ndarray::arr1(values).into_dyn()
    }

    #[test]
    fn ignored_positions_alone_cost_nothing_and_teach_nothing() {
        let tape = Tape::new(Cpu::<f64>::new());
        let logits = tape.leaf(Array::host(&[2, 2], vec![1.0, 2.0, 3.0, 5.0]));
        let settings = CrossEntropy { ignore_index: Some(-100), ..CrossEntropy::default() };
        let loss = cross_entropy(&logits, &labels(&[-100, -100]), None, &settings);
        assert_eq!(loss.value().item(), 0.0);
        assert_eq!(tape.backward(&loss).of(&logits).unwrap().as_slice(), [0.0; 4]);
    }

    #[test]
    fn the_mean_divides_by_the_weights_of_the_kept_labels() {
        let tape = Tape::new(Cpu::<f64>::new());
        // Equal logits: each position costs ln 2 times the weight of its label.
        let logits = tape.leaf(Array::host(&[3, 2], vec![0.0; 6]));
        let weight = Array::host(&[2], vec![1.0, 3.0]);
        let settings = CrossEntropy { reduction: Reduction::Sum, ..CrossEntropy::default() };
        let target = labels(&[0, 1, 1]);
        let sum = cross_entropy(&logits, &target, Some(&weight), &settings).value().item();
        assert!((sum - 7.0 * 2f64.ln()).abs() < 1e-14);
        let mean = cross_entropy(&logits, &target, Some(&weight), &CrossEntropy::default());
        assert!((mean.value().item() - 2f64.ln()).abs() < 1e-14);
    }

    /// Weights of 0.1 of half a million positions, added in `f32` one after the other, come to three per cent too much.
    #[test]
    fn the_weights_of_many_positions_are_added_without_drift() {
        let tape = Tape::new(Cpu::<f32>::new());
        let positions = 500_000;
        let logits = tape.constant(Array::host(&[positions, 2], vec![0.0; 2 * positions]));
        let weight = Array::host(&[2], vec![0.1, 0.1]);
        let target = labels(&vec![1; positions]);
        let mean = cross_entropy(&logits, &target, Some(&weight), &CrossEntropy::default());
        assert!((mean.value().item() - 2f32.ln()).abs() < 1e-5, "{}", mean.value().item());
    }

    #[test]
    fn logits_of_any_size_give_finite_losses() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = vec![1e30, -1e30, 0.0, f32::NEG_INFINITY, 1e6, 1e6 + 1.0];
        let logits = tape.leaf(Array::host(&[3, 2], x));
        let settings = CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() };
        let loss = cross_entropy(&logits, &labels(&[1, 0, 0]), None, &settings);
        let expected = [2e30, 0.0, 1.313_261_7];
        for (loss, expected) in loss.value().as_slice().iter().zip(expected) {
            assert!((loss - expected).abs() <= 1e-6 * expected, "{loss} {expected}");
        }
        let gradients = tape.backward_with(&[(&loss, Array::host(&[3], vec![1.0; 3]))]);
        assert!(gradients.of(&logits).unwrap().as_slice().iter().all(|g| g.is_finite()));
    }

    #[test]
    fn a_nan_is_not_hidden() {
        let tape = Tape::new(Cpu::<f32>::new());
        let logits = tape.leaf(Array::host(&[1, 3], vec![f32::NAN, 1.0, 2.0]));
        assert!(
            cross_entropy(&logits, &labels(&[1]), None, &CrossEntropy::default()).value().item().is_nan()
        );
    }

    #[test]
    #[should_panic(expected = "cross_entropy: label 3 at position [1, 0] is out of range for 3 classes")]
    fn a_label_out_of_range_is_named_with_its_position() {
        let tape = Tape::new(Cpu::<f32>::new());
        let logits = tape.leaf(Array::host(&[2, 3, 2], vec![0.0; 12]));
        let target = ndarray::arr2(&[[0, 1], [3, 2]]).into_dyn();
        cross_entropy(&logits, &target, None, &CrossEntropy::default());
    }

    #[test]
    #[should_panic(expected = "the logits are [2, 3], the target [3]")]
    fn shapes_that_do_not_fit_are_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        let logits = tape.leaf(Array::host(&[2, 3], vec![0.0; 6]));
        cross_entropy(&logits, &labels(&[0, 0, 0]), None, &CrossEntropy::default());
    }
}
