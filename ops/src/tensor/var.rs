//! Variance over axes.

use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use super::reduction::{self, Reduction};
use crate::broadcast::{BroadcastKernel, Fold, fold, map};
use crate::lanes::Pointwise;

/// Variance over `axes` (`None`: all; negative ones count from the end), which stay as extents of 1
/// where `keepdim` is set. `unbiased` divides by `n - 1` instead of `n`.
///
/// # Formula
/// `y = sum (x - mean x)^2 / (n - unbiased)`, `n` the number of elements that go into one result.
///
/// # Shapes
/// `x`: any. `y`: the shape of `x` without the reduced axes.
///
/// # Gradient
/// `dx = 2 (x - mean x) / (n - unbiased) dy`
///
/// # Edge cases
/// The variance of nothing, and the unbiased one of a single element, is NaN.
///
/// # Panics
/// If an axis is out of range or given twice.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1.0, 2.0, 6.0, 3.0]).into());
/// assert!((termwise_ops::var(&x, None, false, true).value().item() - 14.0 / 3.0).abs() < 1e-12);
/// let y = termwise_ops::var(&x, None, true, false);
/// assert_eq!(y.value().as_slice(), [3.5]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[2.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [-2.0, -1.0, 3.0, 0.0]);
/// ```
#[track_caller]
pub fn var<B: VarKernel>(x: &Var<B>, axes: Option<&[isize]>, keepdim: bool, unbiased: bool) -> Var<B> {
    apply(Variance { shapes: Reduction::new("var", x.shape(), axes, keepdim), unbiased }, [x])
}

struct Variance {
    shapes: Reduction,
    unbiased: bool,
}

impl Variance {
    /// `1 / (n - unbiased)`, infinite where that makes the variance NaN.
    fn factor(&self) -> f64 {
        (self.shapes.count.saturating_sub(usize::from(self.unbiased)) as f64).recip()
    }
}

impl<B: VarKernel> Op<B, 1> for Variance {
    type Saved = [Array<B>; 2];

    fn name(&self) -> &'static str {
        "var"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let mean = B::sum_to(x, &self.shapes.kept, (self.shapes.count as f64).recip());
        let y = B::var_forward(x, &mean, self.factor());
        (y.reshape(&self.shapes.output), [x.clone(), mean])
    }

    fn backward(
        &self,
        [x, mean]: &Self::Saved,
        grad_output: &Array<B>,
        _: [bool; 1],
    ) -> [Option<Array<B>>; 1] {
        // y = factor sum (x - mean)^2  =>  dx = 2 factor (x - mean) dy; the sum of x - mean being 0,
        // nothing comes through the mean
        [Some(B::var_backward(x, mean, &grad_output.reshape(&self.shapes.kept), self.factor()))]
    }
}

/// Kernels of [`var`]. The arrays of one element for each result have the axes that were reduced
/// as extents of 1.
pub trait VarKernel: BroadcastKernel {
    /// `factor sum (x - mean)^2`.
    fn var_forward(x: &Array<Self>, mean: &Array<Self>, factor: f64) -> Array<Self>;

    /// `2 factor (x - mean) grad_output`.
    fn var_backward(
        x: &Array<Self>,
        mean: &Array<Self>,
        grad_output: &Array<Self>,
        factor: f64,
    ) -> Array<Self>;
}

/// The sum of squared differences from the pivot.
struct SquaredDifferences;

impl Fold for SquaredDifferences {
    #[inline(always)]
    fn start<V: Vector>(&self) -> V {
        V::zero()
    }

    #[inline(always)]
    fn step<V: Vector>(&self, so_far: V, x: V, mean: V) -> V {
        (x - mean).mul_add(x - mean, so_far)
    }

    #[inline(always)]
    fn merge<V: Vector>(&self, a: V, b: V) -> V {
        a + b
    }
}

/// `factor (x - mean) g`
#[derive(Clone, Copy)]
struct ScaledDifference(f64);

impl Pointwise<3> for ScaledDifference {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, mean, g]: [V; 3]) -> V {
        V::of(self.0) * (x - mean) * g
    }
}

impl<T: Scalar> VarKernel for Cpu<T> {
    fn var_forward(x: &Array<Self>, mean: &Array<Self>, factor: f64) -> Array<Self> {
        let mut y = fold(&SquaredDifferences, x.as_slice(), x.shape(), mean.shape(), Some(mean.as_slice()));
        y.iter_mut().for_each(|y| *y *= T::of(factor));
        Array::from_buffer(mean.shape(), y)
    }

    fn var_backward(
        x: &Array<Self>,
        mean: &Array<Self>,
        grad_output: &Array<Self>,
        factor: f64,
    ) -> Array<Self> {
        let kept = mean.shape();
        let operands = [(x.shape(), x.as_slice()), (kept, mean.as_slice()), (kept, grad_output.as_slice())];
        Array::from_buffer(x.shape(), map(x.shape(), operands, ScaledDifference(2.0 * factor)))
    }
}

/// Test cases of [`var`].
pub fn cases<B: VarKernel>() -> Vec<Case<B>> {
    let biased =
        reduction::cases("var", "biased", Samples::normal, |x, axes, keepdim| var(x, axes, keepdim, false));
    // One element has no unbiased variance.
    let unbiased =
        reduction::cases("var", "unbiased", Samples::normal, |x, axes, keepdim| var(x, axes, keepdim, true))
            .into_iter()
            .filter(|case| case.shape() != [1]);
    biased.into_iter().chain(unbiased).collect()
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn one_element_has_no_unbiased_variance() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[1], vec![3.0]));
        assert!(var(&x, None, false, true).value().item().is_nan());
        assert_eq!(var(&x, None, false, false).value().item(), 0.0);
    }

    #[test]
    fn a_large_mean_loses_no_digits() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::host(&[4], vec![1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0, 1e9 + 4.0]));
        assert_eq!(var(&x, None, false, false).value().item(), 1.25);
    }
}
