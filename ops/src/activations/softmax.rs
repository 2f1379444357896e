//! Softmax along one axis.
//!
//! `y_i = exp(x_i - max x) / sum_j exp(x_j - max x)`; subtracting the maximum changes nothing but keeps
//! every exponential at most 1.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::softmax_kernel::{self as kernel, Kind};
use crate::shape;

/// Softmax along `axis` (negative counts from the end).
///
/// # Formula
/// `y_i = exp(x_i) / sum_j exp(x_j)`, `j` over the axis.
///
/// # Shapes
/// `x` and `y`: any of rank at least 1, the same.
///
/// # Gradient
/// `dx_i = y_i (dy_i - sum_j dy_j y_j)`
///
/// # Edge cases
/// `-inf` gets weight 0. A slice that is `-inf` throughout gives NaN: there is no distribution over
/// nothing. (Masked attention handles that case itself.)
///
/// # Panics
/// If `axis` is out of range.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[0.0, 3f64.ln()]).into());
/// let y = termwise_ops::softmax(&x, -1);
/// assert!((y.value().as_slice()[1] - 0.75).abs() < 1e-15);
/// ```
#[track_caller]
pub fn softmax<B: SoftmaxKernel>(x: &Var<B>, axis: isize) -> Var<B> {
    let axis = shape::axis("softmax", axis, x.shape());
    apply(Softmax { axis }, [x])
}

struct Softmax {
    axis: usize,
}

impl<B: SoftmaxKernel> Op<B, 1> for Softmax {
    type Saved = Array<B>;

    fn name(&self) -> &'static str {
        "softmax"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::softmax_forward(x, self.axis);
        (y.clone(), y)
    }

    fn backward(&self, y: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = softmax(x)  =>  dx = y (dy - <dy, y>)
        [Some(B::softmax_backward(y, grad_output, self.axis))]
    }
}

/// Kernels of [`softmax`].
pub trait SoftmaxKernel: Backend {
    /// Softmax of `x` along `axis`.
    fn softmax_forward(x: &Array<Self>, axis: usize) -> Array<Self>;

    /// Gradient in `x` from the output `y` of forward.
    fn softmax_backward(y: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self>;
}

impl<T: Scalar> SoftmaxKernel for Cpu<T> {
    fn softmax_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        kernel::forward(Kind::Plain, x.as_slice(), x.shape(), axis)
    }

    fn softmax_backward(y: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        kernel::backward(Kind::Plain, y, grad_output, axis)
    }
}

/// Test cases of [`softmax`].
pub fn cases<B: SoftmaxKernel>() -> Vec<Case<B>> {
    let case = |axis: isize, offset: f64, shape: &[usize]| {
        Case::new("softmax", format!("axis {axis}, around {offset}"), shape, move |shape, samples| {
            if axis >= shape.len() as isize || -axis > shape.len() as isize {
                return None;
            }
            Built::new([("x", samples.normal(shape) + offset)], move |v| softmax(&v[0], axis))
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
        let x = [f32::NEG_INFINITY, 1e38, 1e38, -1e38];
        let y = softmax(&tape.leaf(ndarray::arr1(&x).into()), 0);
        assert_eq!(y.value().as_slice(), [0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    #[should_panic(expected = "softmax: axis 2 is out of range for shape [2, 3]")]
    fn axis_out_of_range_names_the_shape() {
        let tape = Tape::new(Cpu::<f32>::new());
        softmax(&tape.leaf(Array::host(&[2, 3], vec![0.0; 6])), 2);
    }
}
