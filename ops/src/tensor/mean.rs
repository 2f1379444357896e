//! Mean over axes.

use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::{Array, Op, Var, apply};

use super::reduction::{self, Reduction};
use crate::broadcast::BroadcastKernel;

/// Mean over `axes` (`None`: all; negative ones count from the end), which stay as extents of 1 where
/// `keepdim` is set.
///
/// # Formula
/// `y = sum x / n`, `n` the number of elements that go into one result
///
/// # Shapes
/// `x`: any. `y`: the shape of `x` without the reduced axes.
///
/// # Gradient
/// `dx = dy / n`, repeated along the reduced axes.
///
/// # Edge cases
/// The mean of nothing is NaN. An empty list of axes reduces nothing.
///
/// # Panics
/// If an axis is out of range or given twice.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr2(&[[1.0, 2.0], [3.0, 4.0]]).into());
/// let y = termwise_ops::mean(&x, Some(&[0]), false);
/// assert_eq!(y.value().as_slice(), [2.0, 3.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[5.0, 7.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.5, 3.5, 2.5, 3.5]);
/// ```
#[track_caller]
pub fn mean<B: BroadcastKernel>(x: &Var<B>, axes: Option<&[isize]>, keepdim: bool) -> Var<B> {
    apply(Mean { shapes: Reduction::new("mean", x.shape(), axes, keepdim) }, [x])
}

struct Mean {
    shapes: Reduction,
}

impl Mean {
    fn factor(&self) -> f64 {
        // 1 / 0 is infinite, and so the mean of nothing NaN: the sum 0 times infinity.
        (self.shapes.count as f64).recip()
    }
}

impl<B: BroadcastKernel> Op<B, 1> for Mean {
    type Saved = ();

    fn name(&self) -> &'static str {
        "mean"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::sum_to(x, &self.shapes.kept, self.factor()).reshape(&self.shapes.output), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = sum x / n  =>  dx = dy / n, the same for every element summed
        let grad_output = grad_output.reshape(&self.shapes.kept);
        [Some(B::broadcast_to(&grad_output, &self.shapes.input, self.factor()))]
    }
}

/// Test cases of [`mean`].
pub fn cases<B: BroadcastKernel>() -> Vec<Case<B>> {
    reduction::cases("mean", "", Samples::normal, mean)
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    fn the_mean_of_nothing_is_nan() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::zeros(&Cpu::new(), &[0, 2]));
        assert!(mean(&x, None, false).value().item().is_nan());
    }
}
