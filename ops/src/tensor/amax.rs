//! Maximum over axes.

use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use super::reduction::{self, Reduction};
use crate::broadcast::{BroadcastKernel, Fold, Max, fold, map};
use crate::lanes::Pointwise;

/// Maximum over `axes` (`None`: all; negative ones count from the end), which stay as extents of 1
/// where `keepdim` is set.
///
/// # Formula
/// `y = max x`
///
/// # Shapes
/// `x`: any. `y`: the shape of `x` without the reduced axes.
///
/// # Gradient
/// `dx = dy / t` where `x = y`, `t` being the number of such elements, else 0.
///
/// # Edge cases
/// Elements that tie for the maximum share its gradient evenly. A NaN makes the maximum NaN.
///
/// # Panics
/// If an axis is out of range or given twice, or there is no element to take the maximum of.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr2(&[[1.0, 5.0], [7.0, 7.0]]).into());
/// let y = termwise_ops::amax(&x, Some(&[1]), false);
/// assert_eq!(y.value().as_slice(), [5.0, 7.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[3.0, 2.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 3.0, 1.0, 1.0]);
/// ```
#[track_caller]
pub fn amax<B: AmaxKernel>(x: &Var<B>, axes: Option<&[isize]>, keepdim: bool) -> Var<B> {
    let shapes = Reduction::new("amax", x.shape(), axes, keepdim);
    let possible = shapes.count > 0 || shapes.output.contains(&0);
    assert!(possible, "amax: no elements to take a maximum of: shape {:?}, axes {axes:?}", x.shape());
    apply(Amax { shapes }, [x])
}

struct Amax {
    shapes: Reduction,
}

impl<B: AmaxKernel> Op<B, 1> for Amax {
    type Saved = [Array<B>; 2];

    fn name(&self) -> &'static str {
        "amax"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::amax_forward(x, &self.shapes.kept);
        (y.reshape(&self.shapes.output), [x.clone(), y])
    }

    fn backward(&self, [x, y]: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = max x  =>  dx = dy where x = y, shared by the elements that tie
        [Some(B::amax_backward(x, y, &grad_output.reshape(&self.shapes.kept)))]
    }
}

/// Kernels of [`amax`].
pub trait AmaxKernel: BroadcastKernel {
    /// The maximum over the axes along which `kept` is 1, in shape `kept`.
    fn amax_forward(x: &Array<Self>, kept: &[usize]) -> Array<Self>;

    /// Gradient in `x`; `y` and `grad_output` have the shape that forward made.
    fn amax_backward(x: &Array<Self>, y: &Array<Self>, grad_output: &Array<Self>) -> Array<Self>;
}

/// Counts the elements equal to the pivot.
struct Ties;

impl Fold for Ties {
    #[inline(always)]
    fn start<V: Vector>(&self) -> V {
        V::zero()
    }

    #[inline(always)]
    fn step<V: Vector>(&self, so_far: V, x: V, pivot: V) -> V {
        V::select(x.eq(pivot), so_far + V::of(1.0), so_far)
    }

    #[inline(always)]
    fn merge<V: Vector>(&self, a: V, b: V) -> V {
        a + b
    }
}

/// `share` where `x` is the maximum `y`, else 0.
#[derive(Clone, Copy)]
struct ShareOfMaximum;

impl Pointwise<3> for ShareOfMaximum {
    #[inline(always)]
    fn at<V: Vector>(&self, [x, y, share]: [V; 3]) -> V {
        V::select(x.eq(y), share, V::zero())
    }
}

impl<T: Scalar> AmaxKernel for Cpu<T> {
    fn amax_forward(x: &Array<Self>, kept: &[usize]) -> Array<Self> {
        Array::from_buffer(kept, fold(&Max, x.as_slice(), x.shape(), kept, None))
    }

    fn amax_backward(x: &Array<Self>, y: &Array<Self>, grad_output: &Array<Self>) -> Array<Self> {
        let (kept, y) = (y.shape(), y.as_slice());
        let mut share = fold(&Ties, x.as_slice(), x.shape(), kept, Some(y));
        share.iter_mut().zip(grad_output.as_slice()).for_each(|(share, &g)| *share = g / *share);
        let operands = [(x.shape(), x.as_slice()), (kept, y), (kept, &share)];
        Array::from_buffer(x.shape(), map(x.shape(), operands, ShareOfMaximum))
    }
}

/// Test cases of [`amax`]: no two elements equal.
pub fn cases<B: AmaxKernel>() -> Vec<Case<B>> {
    reduction::cases("amax", "", Samples::distinct, amax)
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn nan_is_the_maximum() {
        let tape = Tape::new(Cpu::<f64>::new());
        for place in 0..11 {
            let mut values = vec![1.0; 11];
            values[place] = f64::NAN;
            let y = amax(&tape.leaf(Array::host(&[11], values)), None, false);
            assert!(y.value().item().is_nan(), "NaN at {place}");
        }
    }

    #[test]
    #[should_panic(expected = "amax: no elements to take a maximum of: shape [2, 0], axes Some([1])")]
    fn the_maximum_of_nothing_is_refused() {
        let tape = Tape::new(Cpu::<f64>::new());
        amax(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 0])), Some(&[1]), false);
    }
}
