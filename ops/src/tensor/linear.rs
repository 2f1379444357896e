//! Affine map of the last axis: `y = x W^T + b`, the fully connected layer.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::broadcast::BroadcastKernel;
use crate::gemm::{gemm, gemm_bias, matrix, matrix_mut};

/// Affine map of the last axis.
///
/// # Formula
/// `y_o = sum_i x_i weight_oi + bias_o`
///
/// # Shapes
/// `x` (..., I) of rank at least 1, `weight` (O, I), `bias` (O), `y` (..., O).
///
/// # Gradient
/// `dx = dy weight`; `dweight = dy^T x` and `dbias = sum dy` over all rows.
///
/// # Panics
/// If the shapes do not fit each other.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1.0, 2.0]).into());
/// let weight = tape.leaf(arr2(&[[1.0, 1.0], [0.0, -1.0], [2.0, 0.5]]).into()); // (O, I)
/// let bias = tape.leaf(arr1(&[0.5, 0.0, 0.0]).into());
/// let y = termwise_ops::linear(&x, &weight, Some(&bias));
/// assert_eq!(y.value().as_slice(), [3.5, -2.0, 3.0]);
/// ```
#[track_caller]
pub fn linear<B: LinearKernel>(x: &Var<B>, weight: &Var<B>, bias: Option<&Var<B>>) -> Var<B> {
    let (shape_x, shape_w) = (x.shape(), weight.shape());
    assert!(
        shape_w.len() == 2,
        "linear: weight must be (out, in), its shape is {shape_w:?}; x is {shape_x:?}"
    );
    assert!(
        shape_x.last() == Some(&shape_w[1]),
        "linear: the last extent of x must be the in extent of weight: x is {shape_x:?}, weight (out, in) is {shape_w:?}"
    );
    if let Some(bias) = bias {
        assert!(
            bias.shape() == [shape_w[0]],
            "linear: bias must have the out extent of weight: bias is {:?}, weight (out, in) is {shape_w:?}",
            bias.shape()
        );
    }
    apply(Linear, [x, weight, &x.optional(bias)])
}

struct Linear;

impl<B: LinearKernel> Op<B, 3> for Linear {
    type Saved = [Array<B>; 2];

    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, [x, weight, bias]: [&Array<B>; 3]) -> (Array<B>, Self::Saved) {
        (B::linear_forward(x, weight, bias.present()), [x.clone(), weight.clone()])
    }

    fn backward(
        &self,
        [x, weight]: &Self::Saved,
        grad_output: &Array<B>,
        [need_x, need_weight, need_bias]: [bool; 3],
    ) -> [Option<Array<B>>; 3] {
        // y = x W^T + b  =>  dx = dy W,  dW = dy^T x,  db = sum over rows of dy
        [
            need_x.then(|| B::linear_backward_x(grad_output, weight)),
            need_weight.then(|| B::linear_backward_weight(grad_output, x)),
            need_bias.then(|| B::sum_to(grad_output, &weight.shape()[..1], 1.0)),
        ]
    }
}

/// Kernels of [`linear`].
pub trait LinearKernel: BroadcastKernel {
    /// `x weight^T + bias`.
    fn linear_forward(x: &Array<Self>, weight: &Array<Self>, bias: Option<&Array<Self>>) -> Array<Self>;

    /// `grad_output weight`.
    fn linear_backward_x(grad_output: &Array<Self>, weight: &Array<Self>) -> Array<Self>;

    /// `grad_output^T x` over all rows.
    fn linear_backward_weight(grad_output: &Array<Self>, x: &Array<Self>) -> Array<Self>;
}

/// Number of rows when everything but the last axis is one axis, and the last extent.
fn rows<B: Backend>(x: &Array<B>) -> (usize, usize) {
    let (last, leading) = x.shape().split_last().expect("rank at least 1");
    (leading.iter().product(), *last)
}

/// The shape of `x` with another last extent.
fn with_last<B: Backend>(x: &Array<B>, last: usize) -> Vec<usize> {
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("rank at least 1") = last;
    shape
}

impl<T: Scalar> LinearKernel for Cpu<T> {
    fn linear_forward(x: &Array<Self>, weight: &Array<Self>, bias: Option<&Array<Self>>) -> Array<Self> {
        let ((count, inputs), outputs) = (rows(x), weight.shape()[0]);
        let mut y = Buffer::arbitrary(count * outputs);
        let (x_rows, weight) =
            (matrix(x.as_slice(), count, inputs), matrix(weight.as_slice(), outputs, inputs).reversed_axes());
        let mut out = matrix_mut(&mut y, count, outputs);
        match bias {
            Some(bias) => gemm_bias(x_rows, weight, bias.as_slice(), &mut out),
            None => gemm(T::one(), x_rows, weight, T::zero(), &mut out),
        }
        Array::from_buffer(&with_last(x, outputs), y)
    }

    fn linear_backward_x(grad_output: &Array<Self>, weight: &Array<Self>) -> Array<Self> {
        let ((count, outputs), inputs) = (rows(grad_output), weight.shape()[1]);
        let mut grad = Buffer::arbitrary(count * inputs);
        let (g, weight) =
            (matrix(grad_output.as_slice(), count, outputs), matrix(weight.as_slice(), outputs, inputs));
        gemm(T::one(), g, weight, T::zero(), &mut matrix_mut(&mut grad, count, inputs));
        Array::from_buffer(&with_last(grad_output, inputs), grad)
    }

    fn linear_backward_weight(grad_output: &Array<Self>, x: &Array<Self>) -> Array<Self> {
        let ((count, outputs), (_, inputs)) = (rows(grad_output), rows(x));
        let mut grad = Buffer::arbitrary(outputs * inputs);
        let (g, x_rows) =
            (matrix(grad_output.as_slice(), count, outputs), matrix(x.as_slice(), count, inputs));
        gemm(T::one(), g.reversed_axes(), x_rows, T::zero(), &mut matrix_mut(&mut grad, outputs, inputs));
        Array::from_buffer(&[outputs, inputs], grad)
    }
}

/// Test cases of [`linear`], each made from the shape of `x` with the out extent appended.
pub fn cases<B: LinearKernel>() -> Vec<Case<B>> {
    let case = |with_bias: bool, shape: &[usize]| {
        let label = if with_bias { "bias" } else { "no bias" };
        Case::new("linear", label, shape, move |shape, samples| {
            let (&outputs, shape_x) = shape.split_last()?;
            let inputs = *shape_x.last()?;
            let x = ("x", samples.normal(shape_x));
            let weight = ("weight", samples.normal(&[outputs, inputs]));
            if with_bias {
                let bias = ("bias", samples.normal(&[outputs]));
                Built::new([x, weight, bias], |v| linear(&v[0], &v[1], Some(&v[2])))
            } else {
                Built::new([x, weight], |v| linear(&v[0], &v[1], None))
            }
        })
    };
    vec![
        case(true, &[1, 1]),
        case(true, &[8, 3]),
        case(true, &[5, 7, 3]),
        case(false, &[2, 3, 6, 5]),
        case(true, &[2, 2, 3, 4, 9]),
        case(true, &[0, 4, 3]),
        case(true, &[3, 0, 2]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    #[should_panic(
        expected = "linear: bias must have the out extent of weight: bias is [2], weight (out, in) is [3, 2]"
    )]
    fn bias_of_wrong_extent_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        let var = |shape: &[usize]| tape.leaf(Array::zeros(&Cpu::new(), shape));
        linear(&var(&[4, 2]), &var(&[3, 2]), Some(&var(&[2])));
    }
}
