//! Sum over axes.

use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::{Array, Op, Var, apply};

use super::reduction::{self, Reduction};
use crate::broadcast::BroadcastKernel;

/// Sum over `axes` (`None`: all; negative ones count from the end), which stay as extents of 1 where
/// `keepdim` is set.
///
/// # Formula
/// `y = sum x`
///
/// # Shapes
/// `x`: any. `y`: the shape of `x` without the reduced axes.
///
/// # Gradient
/// `dx = dy`, repeated along the reduced axes.
///
/// # Edge cases
/// The sum of nothing is 0. An empty list of axes reduces nothing.
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
/// let y = termwise_ops::sum(&x, Some(&[0]), false);
/// assert_eq!(y.value().as_slice(), [4.0, 6.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[5.0, 7.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [5.0, 7.0, 5.0, 7.0]);
/// ```
#[track_caller]
pub fn sum<B: BroadcastKernel>(x: &Var<B>, axes: Option<&[isize]>, keepdim: bool) -> Var<B> {
    apply(Sum { shapes: Reduction::new("sum", x.shape(), axes, keepdim) }, [x])
}

struct Sum {
    shapes: Reduction,
}

impl<B: BroadcastKernel> Op<B, 1> for Sum {
    type Saved = ();

    fn name(&self) -> &'static str {
        "sum"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::sum_to(x, &self.shapes.kept, 1.0).reshape(&self.shapes.output), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = sum x  =>  dx = dy, the same for every element summed
        let grad_output = grad_output.reshape(&self.shapes.kept);
        [Some(B::broadcast_to(&grad_output, &self.shapes.input, 1.0))]
    }
}

/// Test cases of [`sum`].
pub fn cases<B: BroadcastKernel>() -> Vec<Case<B>> {
    reduction::cases("sum", "", Samples::normal, sum)
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "sum: axis -1 is given twice in Some([1, -1]) for shape [2, 3]")]
    fn an_axis_given_twice_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        sum(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), Some(&[1, -1]), false);
    }

    #[test]
    fn the_sum_of_nothing_is_zero() {
        let tape = Tape::new(Cpu::<f32>::new());
        let x = tape.leaf(Array::zeros(&Cpu::new(), &[2, 0]));
        assert_eq!(sum(&x, Some(&[1]), false).value().as_slice(), [0.0, 0.0]);
    }
}
