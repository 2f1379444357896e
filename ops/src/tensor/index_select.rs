//! Whole slices picked by an index along one axis.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::{par, shape};

/// The slices of `x` that `index` names along `axis` (negative counts from the end), in its order.
///
/// # Formula
/// `y[i, j, k] = x[i, index[j], k]` for `axis` 1 of three.
///
/// # Shapes
/// `x`: rank at least 1. `index` (J). `y`: the shape of `x`, the extent of `axis` being J.
///
/// # Gradient
/// `dx` is the sum of `dy` over the places that name the slice, 0 where none does.
///
/// # Panics
/// If `axis` or an index is out of range, or `index` does not have rank 1.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr2(&[[1.0, 2.0], [3.0, 4.0]]).into());
/// let y = termwise_ops::index_select(&x, &arr1(&[1, 1]).into_dyn(), 0);
/// assert_eq!(y.value().as_slice(), [3.0, 4.0, 3.0, 4.0]);
/// let gradients = tape.backward_with(&[(&y, arr2(&[[1.0, 2.0], [10.0, 20.0]]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 0.0, 11.0, 22.0]);
/// ```
#[track_caller]
pub fn index_select<B: IndexSelectKernel>(x: &Var<B>, index: &ArrayD<i64>, axis: isize) -> Var<B> {
    let axis = shape::axis("index_select", axis, x.shape());
    assert!(index.ndim() == 1, "index_select: index must have rank 1, its shape is {:?}", index.shape());
    let index = checked("index_select", index, x.shape(), axis);
    apply(IndexSelect { index, axis, extent: x.shape()[axis] }, [x])
}

/// The values of `index`, each below the extent of `axis`.
///
/// # Panics
/// If one is not.
#[track_caller]
pub(super) fn checked(op: &str, index: &ArrayD<i64>, shape: &[usize], axis: usize) -> Vec<usize> {
    let mut values = Vec::with_capacity(index.len());
    for &value in index {
        match usize::try_from(value) {
            Ok(value) if value < shape[axis] => values.push(value),
            _ => panic!("{op}: index {value} is out of range for axis {axis} of shape {shape:?}"),
        }
    }
    values
}

struct IndexSelect {
    index: Vec<usize>,
    axis: usize,
    extent: usize,
}

impl<B: IndexSelectKernel> Op<B, 1> for IndexSelect {
    type Saved = ();

    fn name(&self) -> &'static str {
        "index_select"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::index_select_forward(x, &self.index, self.axis), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y_j = x[index_j]  =>  dx[index_j] += dy_j
        [Some(B::index_select_backward(grad_output, &self.index, self.axis, self.extent))]
    }
}

/// Kernels of [`index_select`].
pub trait IndexSelectKernel: Backend {
    /// The slices of `x` that `index` names along `axis`.
    fn index_select_forward(x: &Array<Self>, index: &[usize], axis: usize) -> Array<Self>;

    /// Each slice of `grad_output` added where it came from, in order, along an axis of `extent`.
    fn index_select_backward(
        grad_output: &Array<Self>,
        index: &[usize],
        axis: usize,
        extent: usize,
    ) -> Array<Self>;
}

/// `shape` with another extent of `axis`.
fn with_extent(shape: &[usize], axis: usize, extent: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = extent;
    shape
}

impl<T: Scalar> IndexSelectKernel for Cpu<T> {
    fn index_select_forward(x: &Array<Self>, index: &[usize], axis: usize) -> Array<Self> {
        let (outer, len, inner) = shape::split_at_axis(x.shape(), axis);
        let x_data = x.as_slice();
        let mut y = Buffer::arbitrary(outer * index.len() * inner);
        par::for_each_rows(&mut y, inner, 4 * inner, |first, y| {
            for (i, y) in y.chunks_exact_mut(inner).enumerate() {
                let (o, j) = ((first + i) / index.len(), (first + i) % index.len());
                y.copy_from_slice(&x_data[(o * len + index[j]) * inner..][..inner]);
            }
        });
        Array::from_buffer(&with_extent(x.shape(), axis, index.len()), y)
    }

    fn index_select_backward(
        grad_output: &Array<Self>,
        index: &[usize],
        axis: usize,
        extent: usize,
    ) -> Array<Self> {
        let (outer, len, inner) = shape::split_at_axis(grad_output.shape(), axis);
        let g = grad_output.as_slice();
        let mut grad = Buffer::zeros(outer * extent * inner);
        par::for_each_chunk(&mut grad, extent * inner, len * inner, |o, grad| {
            for (j, &to) in index.iter().enumerate() {
                let from = &g[(o * len + j) * inner..][..inner];
                grad[to * inner..][..inner].iter_mut().zip(from).for_each(|(grad, &g)| *grad += g);
            }
        });
        Array::from_buffer(&with_extent(grad_output.shape(), axis, extent), grad)
    }
}

/// Test cases of [`index_select`].
pub fn cases<B: IndexSelectKernel>() -> Vec<Case<B>> {
    let case = |axis: usize, count: usize, shape: &[usize]| {
        Case::new("index_select", format!("axis {axis}, {count} picked"), shape, move |shape, samples| {
            let extent = *shape.get(axis)?;
            (extent > 0 || count == 0).then_some(())?;
            let index = samples.integers(&[count], 0, extent.max(1) as i64);
            Built::new([("x", samples.normal(shape))], move |v| index_select(&v[0], &index, axis as isize))
        })
    };
    vec![
        case(0, 1, &[1]),
        case(0, 7, &[5, 4]),
        case(1, 4, &[2, 6, 3]),
        case(1, 0, &[3, 2]),
        case(1, 2, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    #[should_panic(expected = "index_select: index 3 is out of range for axis 1 of shape [2, 3]")]
    fn an_index_out_of_range_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        index_select(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), &arr1(&[0, 3]).into_dyn(), -1);
    }
}
