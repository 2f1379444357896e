//! Logarithm of a sum of exponentials over axes.
//!
//! `y = m + ln sum exp(x - m)` with `m = max x`; the maximum changes nothing but keeps every
//! exponential at most 1.

use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::{Vector, math};
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use super::reduction::{self, Reduction};
use crate::broadcast::{BroadcastKernel, Max, SumExp, fold, map};
use crate::lanes::Pointwise;

/// Logarithm of the sum of exponentials over `axes` (`None`: all; negative ones count from the
/// end), which stay as extents of 1 where `keepdim` is set.
///
/// # Formula
/// `y = ln sum exp(x)`
///
/// # Shapes
/// `x`: any. `y`: the shape of `x` without the reduced axes.
///
/// # Gradient
/// `dx = exp(x - y) dy`, the softmax of `x` times `dy`.
///
/// # Edge cases
/// No overflow at any magnitude. Of nothing, or of `-inf` alone, it is `-inf`, with gradient 0.
///
/// # Panics
/// If an axis is out of range or given twice.
///
/// # Examples
/// ```
/// use ndarray::{arr0, arr1};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1000.0, 1000.0]).into());
/// let y = termwise_ops::logsumexp(&x, None, false);
/// assert_eq!(y.value().item(), 1000.0 + 2f64.ln());
/// let gradients = tape.backward(&y);
/// assert!(gradients.of(&x).unwrap().as_slice().iter().all(|g| (g - 0.5).abs() < 1e-13));
/// ```
#[track_caller]
pub fn logsumexp<B: LogsumexpKernel>(x: &Var<B>, axes: Option<&[isize]>, keepdim: bool) -> Var<B> {
    apply(Logsumexp { shapes: Reduction::new("logsumexp", x.shape(), axes, keepdim) }, [x])
}

struct Logsumexp {
    shapes: Reduction,
}

impl<B: LogsumexpKernel> Op<B, 1> for Logsumexp {
    type Saved = [Array<B>; 2];

    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::logsumexp_forward(x, &self.shapes.kept);
        (y.reshape(&self.shapes.output), [x.clone(), y])
    }

    fn backward(&self, [x, y]: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = ln sum exp(x)  =>  dx = exp(x) / sum exp(x) dy = exp(x - y) dy
        [Some(B::logsumexp_backward(x, y, &grad_output.reshape(&self.shapes.kept)))]
    }
}

/// Kernels of [`logsumexp`].
pub trait LogsumexpKernel: BroadcastKernel {
    /// `ln sum exp(x)` over the axes along which `kept` is 1, in shape `kept`.
    fn logsumexp_forward(x: &Array<Self>, kept: &[usize]) -> Array<Self>;

    /// Gradient in `x`; `y` and `grad_output` have the shape that forward made.
    fn logsumexp_backward(x: &Array<Self>, y: &Array<Self>, grad_output: &Array<Self>) -> Array<Self>;
}

/// `exp(x - y) g`, 0 where `x` is `-inf`, whatever `y` is.
#[derive(Clone, Copy)]
struct SoftmaxTimes;

impl Pointwise<3> for SoftmaxTimes {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, y, g]: [V; 3]) -> V {
        V::select(x.eq(V::of(f64::NEG_INFINITY)), V::zero(), math::exp(x - y) * g)
    }
}

impl<T: Scalar> LogsumexpKernel for Cpu<T> {
    fn logsumexp_forward(x: &Array<Self>, kept: &[usize]) -> Array<Self> {
        let mut max = fold(&Max, x.as_slice(), x.shape(), kept, None);
        // An infinite maximum would make inf - inf; exp(x) itself is right then (0 or infinite).
        max.iter_mut().filter(|max| max.is_infinite()).for_each(|max| *max = T::zero());
        let sums = fold(&SumExp, x.as_slice(), x.shape(), kept, Some(&max));
        max.iter_mut().zip(sums.iter()).for_each(|(max, sum)| *max += sum.ln());
        Array::from_buffer(kept, max)
    }

    fn logsumexp_backward(x: &Array<Self>, y: &Array<Self>, grad_output: &Array<Self>) -> Array<Self> {
        let kept = y.shape();
        let operands = [(x.shape(), x.as_slice()), (kept, y.as_slice()), (kept, grad_output.as_slice())];
        Array::from_buffer(x.shape(), map(x.shape(), operands, SoftmaxTimes))
    }
}

/// Test cases of [`logsumexp`].
pub fn cases<B: LogsumexpKernel>() -> Vec<Case<B>> {
    let large = |samples: &mut Samples, shape: &[usize]| samples.normal(shape) * 3.0 + 800.0;
    [
        reduction::cases("logsumexp", "", Samples::normal, logsumexp),
        reduction::cases("logsumexp", "around 800", large, logsumexp),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn minus_infinity_counts_for_nothing() {
        let tape = Tape::new(Cpu::<f64>::new());
        let none = f64::NEG_INFINITY;
        let x = tape.leaf(Array::host(&[2, 2], vec![none, none, none, 2.0]));
        let y = logsumexp(&x, Some(&[1]), false);
        assert_eq!(y.value().as_slice(), [none, 2.0]);
        let gradients = tape.backward_with(&[(&y, Array::host(&[2], vec![3.0, 5.0]))]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 0.0, 0.0, 5.0]);
    }
}
