//! Running sum along one axis.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::{par, shape};

/// Running sum along `axis` (negative counts from the end).
///
/// # Formula
/// `y_i = x_0 + .. + x_i`
///
/// # Shapes
/// `x` and `y`: any of rank at least 1, the same.
///
/// # Gradient
/// `dx_i = dy_i + dy_(i+1) + ..`, the running sum from the end.
///
/// # Panics
/// If `axis` is out of range.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1.0, 2.0, 4.0]).into());
/// let y = termwise_ops::cumsum(&x, 0);
/// assert_eq!(y.value().as_slice(), [1.0, 3.0, 7.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 2.0, 4.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [7.0, 6.0, 4.0]);
/// ```
#[track_caller]
pub fn cumsum<B: CumsumKernel>(x: &Var<B>, axis: isize) -> Var<B> {
    apply(Cumsum { axis: shape::axis("cumsum", axis, x.shape()) }, [x])
}

struct Cumsum {
    axis: usize,
}

impl<B: CumsumKernel> Op<B, 1> for Cumsum {
    type Saved = ();

    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::cumsum_forward(x, self.axis), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // x_i is in every y_j with j >= i  =>  dx_i = sum of dy_j over j >= i
        [Some(B::cumsum_backward(grad_output, self.axis))]
    }
}

/// Kernels of [`cumsum`].
pub trait CumsumKernel: Backend {
    /// Running sum from the start of `axis`.
    fn cumsum_forward(x: &Array<Self>, axis: usize) -> Array<Self>;

    /// Running sum from the end of `axis`.
    fn cumsum_backward(grad_output: &Array<Self>, axis: usize) -> Array<Self>;
}

/// Running sums of the rows of `inner` elements in each slab of `len` rows, visited in the order that
/// `row` gives for steps 0 .. len.
fn running<T: Scalar>(
    x: &Array<Cpu<T>>,
    axis: usize,
    row: impl Fn(usize, usize) -> usize + Sync,
) -> Array<Cpu<T>> {
    let (_, len, inner) = shape::split_at_axis(x.shape(), axis);
    let mut y = Buffer::from(x.as_slice());
    par::for_each_chunk(&mut y, len * inner, len * inner, |_, y| {
        for step in 1..len {
            let (from, to) = (row(step - 1, len) * inner, row(step, len) * inner);
            for j in 0..inner {
                let so_far = y[from + j];
                y[to + j] += so_far;
            }
        }
    });
    Array::from_buffer(x.shape(), y)
}

impl<T: Scalar> CumsumKernel for Cpu<T> {
    fn cumsum_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        running(x, axis, |step, _| step)
    }

    fn cumsum_backward(grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        running(grad_output, axis, |step, len| len - 1 - step)
    }
}

/// Test cases of [`cumsum`].
pub fn cases<B: CumsumKernel>() -> Vec<Case<B>> {
    let case = |axis: isize, shape: &[usize]| {
        Case::new("cumsum", format!("axis {axis}"), shape, move |shape, samples| {
            (axis < shape.len() as isize && -axis <= shape.len() as isize).then_some(())?;
            Built::new([("x", samples.normal(shape))], move |v| cumsum(&v[0], axis))
        })
    };
    vec![case(0, &[1]), case(1, &[4, 6]), case(0, &[2, 3, 4]), case(-2, &[2, 5, 3]), case(-1, &[3, 0])]
}
