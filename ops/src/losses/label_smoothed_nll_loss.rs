//! Label-smoothed cross-entropy in the parametrisation of fairseq, for translation.
//!
//! `l = (1 - eps - eps_i) nll_y + eps_i sum_c nll_c`, `eps_i = eps / (V - 1)`, over a vocabulary of V:
//! `eps` is shared out among the V - 1 *wrong* classes. [`cross_entropy`](super::cross_entropy()) shares
//! its smoothing among all classes; the two are equal at a smoothing of `eps V / (V - 1)` there.
//!
//! Source: fairseq, `criterions/label_smoothed_cross_entropy.py`, `label_smoothed_nll_loss`.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Var, apply_saving};

use super::Reduction;
use super::cross_entropy::{CrossEntropyKernel, CrossEntropyOp, Labels, Target};

/// Label-smoothed cross-entropy of logits, and the plain cross-entropy beside it.
///
/// # Formula
/// With `nll_c = log sum_k exp(x_k) - x_c`, label `y` and `eps_i = epsilon / (V - 1)`:
/// `l = (1 - epsilon - eps_i) nll_y + eps_i sum_c nll_c`, 0 where the label is `ignore_index`; reduced.
/// The second value is `nll_y`, reduced alike; no gradient flows through it.
///
/// # Shapes
/// `logits`: (.., V); `target`: (..), labels 0 .. V. Both values: (..) or scalars, by `reduction`; a
/// mean is over the labels that are not ignored.
///
/// # Gradient
/// With `p = softmax(x)` and `[c = y]` 1 at the label:
/// `dx_c = (p_c - (1 - epsilon - eps_i) [c = y] - eps_i) dl`.
///
/// # Edge cases
/// A mean over ignored labels alone is 0 with zero gradient.
///
/// # Panics
/// If the shapes do not fit each other, V is less than 2, `epsilon` is outside `0 .. (V - 1) / V`, or a
/// label is neither in the vocabulary nor ignored.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{Reduction, label_smoothed_nll_loss};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let logits = tape.leaf(Array::host(&[1, 2], vec![0.0, 3f64.ln()]));
/// let label = ndarray::arr1(&[1]).into_dyn();
/// let (loss, nll) = label_smoothed_nll_loss(&logits, &label, 0.1, None, Reduction::Sum);
/// assert!((nll.item() - (4f64 / 3.0).ln()).abs() < 1e-15);
/// assert!((loss.value().item() - (0.9 * (4f64 / 3.0).ln() + 0.1 * 4f64.ln())).abs() < 1e-15);
/// ```
#[track_caller]
pub fn label_smoothed_nll_loss<B: CrossEntropyKernel>(
    logits: &Var<B>,
    target: &ArrayD<i64>,
    epsilon: f64,
    ignore_index: Option<i64>,
    reduction: Reduction,
) -> (Var<B>, Array<B>) {
    let shape = logits.shape();
    let axis = shape.len().wrapping_sub(1);
    assert!(
        !shape.is_empty() && target.shape() == &shape[..axis] && shape[axis] >= 2,
        "label_smoothed_nll_loss: target must be (..) for logits (.., V), V at least 2; \
         the logits are {shape:?}, the target {:?}",
        target.shape()
    );
    let vocabulary = shape[axis];
    let smoothing = epsilon * vocabulary as f64 / (vocabulary as f64 - 1.0);
    assert!(
        (0.0..=1.0).contains(&smoothing),
        "label_smoothed_nll_loss: epsilon must be in 0 .. (V - 1) / V for V = {vocabulary}, it is {epsilon}"
    );
    let name = "label_smoothed_nll_loss";
    let labels = Labels::new(name, target, vocabulary, ignore_index);
    let target = Target { axis, labels, class_weight: None, smoothing, reduction };
    let op = CrossEntropyOp { name, differentiate: logits.requires_grad(), target };
    let (loss, saved) = apply_saving(op, [logits]);
    (loss, saved.nll.clone())
}

/// Test cases of [`label_smoothed_nll_loss`].
pub fn cases<B: CrossEntropyKernel>() -> Vec<Case<B>> {
    let case = |epsilon: f64, ignore: Option<i64>, reduction: Reduction, shape: &[usize]| {
        let label = format!("epsilon {epsilon}, ignore {ignore:?}, {reduction:?}");
        Case::new("label_smoothed_nll_loss", label, shape, move |shape, samples| {
            let (&vocabulary, leading) = shape.split_last()?;
            if vocabulary < 2 || epsilon > 1.0 - 1.0 / vocabulary as f64 {
                return None;
            }
            let target = samples.integers(leading, 0, vocabulary as i64);
            Built::new([("logits", samples.normal(shape) * 2.0)], move |v| {
                label_smoothed_nll_loss(&v[0], &target, epsilon, ignore, reduction).0
            })
        })
    };
    vec![
        case(0.1, None, Reduction::Sum, &[1, 2]),
        case(0.1, Some(1), Reduction::Sum, &[5, 7]),
        case(0.2, Some(0), Reduction::Mean, &[2, 3, 5]),
        case(0.0, None, Reduction::None, &[4, 3]),
        case(0.1, None, Reduction::Mean, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    fn the_formula_of_fairseq_term_by_term() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = [0.3, -1.0, 2.0, 0.0];
        let logits = tape.leaf(Array::host(&[2, 4], [x, [9.0; 4]].concat()));
        let target = ndarray::arr1(&[1, 3]).into_dyn();
        let (loss, nll) = label_smoothed_nll_loss(&logits, &target, 0.3, Some(3), Reduction::Sum);
        let log_sum = x.iter().map(|x| x.exp()).sum::<f64>().ln();
        let all: f64 = x.iter().map(|x| log_sum - x).sum();
        assert!((nll.item() - (log_sum + 1.0)).abs() < 1e-14);
        assert!((loss.value().item() - ((1.0 - 0.3 - 0.1) * (log_sum + 1.0) + 0.1 * all)).abs() < 1e-14);
    }
}
