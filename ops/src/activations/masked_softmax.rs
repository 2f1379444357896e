//! Softmax along one axis over the entries that a mask leaves in.
//!
//! `y_i = exp(x_i - m) / sum_j exp(x_j - m)`, `j` over the entries left in and `m` their maximum; masked
//! entries get 0.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Cpu, Op, Scalar, Var, apply};

use super::softmax::SoftmaxKernel;
use super::softmax_kernel::{self as kernel, Kind};
use crate::broadcast::{assert_broadcasts_to, map};
use crate::lanes::Pointwise;
use crate::shape;

/// Softmax along `axis` (negative counts from the end) over the entries that `mask` leaves in.
///
/// # Formula
/// `y_i = exp(x_i) / sum_j exp(x_j)`, `j` over the entries of the axis where `mask` is false; 0 where
/// `mask` is true.
///
/// # Shapes
/// `x` and `y`: any of rank at least 1, the same. `mask`: any that broadcasts to it, true = left out.
///
/// # Gradient
/// `dx_i = y_i (dy_i - sum_j dy_j y_j)`, which is 0 at masked entries.
///
/// # Edge cases
/// A slice where nothing is left in, every entry being masked or `-inf`, gives zeros with gradient 0.
/// What is masked is not looked at: it may be NaN.
///
/// # Panics
/// If `axis` is out of range or `mask` does not broadcast to the shape of `x`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[2, 3], vec![5.0, 1.0, 1.0, 2.0, 2.0, 2.0]));
/// let mask = ndarray::arr2(&[[true, false, false], [true, true, true]]).into_dyn();
/// let y = termwise_ops::masked_softmax(&x, &mask, -1);
/// assert_eq!(y.value().as_slice(), [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]);
/// ```
#[track_caller]
pub fn masked_softmax<B: MaskedSoftmaxKernel>(x: &Var<B>, mask: &ArrayD<bool>, axis: isize) -> Var<B> {
    let axis = shape::axis("masked_softmax", axis, x.shape());
    assert_broadcasts_to("masked_softmax", "mask", mask.shape(), x.shape());
    apply(MaskedSoftmax { mask: mask.clone(), axis }, [x])
}

struct MaskedSoftmax {
    mask: ArrayD<bool>,
    axis: usize,
}

impl<B: MaskedSoftmaxKernel> Op<B, 1> for MaskedSoftmax {
    type Saved = Array<B>;

    fn name(&self) -> &'static str {
        "masked_softmax"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        let y = B::masked_softmax_forward(x, &self.mask, self.axis);
        (y.clone(), y)
    }

    fn backward(&self, y: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = softmax over what is left in  =>  dx = y (dy - <dy, y>), 0 where y is
        [Some(B::softmax_backward(y, grad_output, self.axis))]
    }
}

/// Kernel of [`masked_softmax`]; its backward is that of the softmax.
pub trait MaskedSoftmaxKernel: SoftmaxKernel {
    /// Softmax of `x` along `axis` where `mask`, broadcast to `x`, is false; 0 elsewhere.
    fn masked_softmax_forward(x: &Array<Self>, mask: &ArrayD<bool>, axis: usize) -> Array<Self>;
}

/// `x` where `out` is 0, else `-inf`, which takes weight `exp(-inf) = 0`.
#[derive(Clone, Copy)]
struct LeftIn;

impl Pointwise<2> for LeftIn {
    #[inline(always)]
    fn at<V: Vector>(&self, [out, x]: [V; 2]) -> V {
        V::select(out.eq(V::zero()), x, V::of(f64::NEG_INFINITY))
    }
}

impl<T: Scalar> MaskedSoftmaxKernel for Cpu<T> {
    fn masked_softmax_forward(x: &Array<Self>, mask: &ArrayD<bool>, axis: usize) -> Array<Self> {
        let shape = x.shape();
        // As numbers, so that the mask is broadcast like an operand.
        let out: Vec<T> = mask.iter().map(|&out| if out { T::one() } else { T::zero() }).collect();
        let left_in = map(shape, [(mask.shape(), &out), (shape, x.as_slice())], LeftIn);
        kernel::forward(Kind::OrZero, &left_in, shape, axis)
    }
}

/// Test cases of [`masked_softmax`]; the mask has the shape of `x` but for one axis, along which it is
/// repeated.
pub fn cases<B: MaskedSoftmaxKernel>() -> Vec<Case<B>> {
    let case = |axis: isize, probability: f64, repeated: usize, shape: &[usize]| {
        let label = format!("axis {axis}, {probability} masked, mask repeated along {repeated}");
        Case::new("masked_softmax", label, shape, move |shape, samples| {
            if axis >= shape.len() as isize || -axis > shape.len() as isize {
                return None;
            }
            let mut mask_shape = shape.to_vec();
            *mask_shape.get_mut(repeated)? = 1;
            let mask = samples.mask(&mask_shape, probability);
            let x = samples.normal(shape);
            Built::new([("x", x)], move |v| masked_softmax(&v[0], &mask, axis))
        })
    };
    vec![
        case(-1, 0.0, 0, &[1]),
        case(-1, 1.0, 0, &[3]),
        case(-1, 0.4, 1, &[2, 3, 3, 5]),
        case(1, 0.4, 0, &[2, 5, 4]),
        case(0, 0.8, 1, &[5, 7]),
        case(-1, 0.5, 0, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn what_is_masked_is_never_looked_at() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(arr1(&[f64::NAN, f64::INFINITY, 3.0]).into());
        let y = masked_softmax(&x, &arr1(&[true, true, false]).into_dyn(), 0);
        assert_eq!(y.value().as_slice(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_slice_masked_throughout_has_no_gradient() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(arr1(&[1.0, 2.0]).into());
        let y = masked_softmax(&x, &arr1(&[true, true]).into_dyn(), 0);
        let gradients = tape.backward_with(&[(&y, arr1(&[3.0, 4.0]).into())]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "masked_softmax: mask of shape [2, 3] does not broadcast to [3]")]
    fn a_mask_that_does_not_fit_is_named() {
        let tape = Tape::new(Cpu::<f64>::new());
        let mask = ArrayD::from_elem(vec![2, 3], false);
        masked_softmax(&tape.leaf(arr1(&[1.0, 2.0, 3.0]).into()), &mask, 0);
    }
}
