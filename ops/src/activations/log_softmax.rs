//! Logarithm of the softmax along one axis.
//!
//! `y_i = x_i - m - ln sum_j exp(x_j - m)` with `m = max x`: exact where the softmax itself underflows.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::softmax_kernel::{self as kernel, Kind};
use crate::shape;

/// Logarithm of the softmax along `axis` (negative counts from the end).
///
/// # Formula
/// `y_i = x_i - ln sum_j exp(x_j)`, `j` over the axis.
///
/// # Shapes
/// `x` and `y`: any of rank at least 1, the same.
///
/// # Gradient
/// `dx_i = dy_i - exp(y_i) sum_j dy_j`
///
/// # Edge cases
/// `-inf` gives `-inf`. A slice that is `-inf` throughout gives NaN: there is no distribution over
/// nothing.
///
/// # Panics
/// If `axis` is out of range.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[1000.0, 0.0]).into());
/// let y = termwise_ops::log_softmax(&x, -1);
/// assert_eq!(y.value().as_slice(), [0.0, -1000.0]);
/// ```
#[track_caller]
pub fn log_softmax<B: LogSoftmaxKernel>(x: &Var<B>, axis: isize) -> Var<B> {
    let axis = shape::axis("log_softmax", axis, x.shape());
    apply(LogSoftmax { axis }, [x])
}

struct LogSoftmax {
    axis: usize,
}

impl<B: LogSoftmaxKernel> Op<B, 1> for LogSoftmax {
    type Saved = Array<B>;

    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::log_softmax_forward(x, self.axis);
        (y.clone(), y)
    }

    fn backward(&self, y: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = x - ln sum exp(x)  =>  dx = dy - softmax(x) sum dy, and softmax(x) = exp(y)
        [Some(B::log_softmax_backward(y, grad_output, self.axis))]
    }
}

/// Kernels of [`log_softmax`].
pub trait LogSoftmaxKernel: Backend {
    /// Logarithm of the softmax of `x` along `axis`.
    fn log_softmax_forward(x: &Array<Self>, axis: usize) -> Array<Self>;

    /// Gradient in `x` from the output `y` of forward.
    fn log_softmax_backward(y: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self>;
}

impl<T: Scalar> LogSoftmaxKernel for Cpu<T> {
    fn log_softmax_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        kernel::forward(Kind::Log, x.as_slice(), x.shape(), axis)
    }

    fn log_softmax_backward(y: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        kernel::backward(Kind::Log, y, grad_output, axis)
    }
}

/// Test cases of [`log_softmax`].
pub fn cases<B: LogSoftmaxKernel>() -> Vec<Case<B>> {
    let case = |axis: isize, offset: f64, shape: &[usize]| {
        Case::new("log_softmax", format!("axis {axis}, around {offset}"), shape, move |shape, samples| {
            if axis >= shape.len() as isize || -axis > shape.len() as isize {
                return None;
            }
            Built::new([("x", samples.normal(shape) + offset)], move |v| log_softmax(&v[0], axis))
        })
    };
    vec![
        case(-1, 0.0, &[1]),
        case(-1, 0.0, &[4, 7]),
        case(1, -3.0, &[2, 5, 3, 4]),
        case(0, 0.0, &[6, 3]),
        case(-1, 0.0, &[0, 3]),
        case(-1, 1000.0, &[3, 5]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn masked_and_huge_entries_stay_exact() {
        let tape = Tape::new(Cpu::<f32>::new());
        let y = log_softmax(&tape.leaf(ndarray::arr1(&[f32::NEG_INFINITY, 1e38, -1e38]).into()), 0);
        assert_eq!(y.value().as_slice(), [f32::NEG_INFINITY, 0.0, -2e38]);
    }
}
