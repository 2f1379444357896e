//! Elements picked by an index along one axis.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::broadcast::Layout;
use crate::{par, shape};

/// The elements of `x` at the places that `index` names along `axis` (negative counts from the end),
/// the place along the other axes being that in `index`.
///
/// # Formula
/// `y[i, j, k] = x[i, index[i, j, k], k]` for `axis` 1 of three.
///
/// # Shapes
/// `x`: rank at least 1. `index` and `y`: the same rank; along axes other than `axis` at most as long as
/// `x`.
///
/// # Gradient
/// `dx` is the sum of `dy` over the places that name the element, 0 where none does.
///
/// # Panics
/// If `axis` or an index is out of range, or the shapes do not fit.
///
/// # Examples
/// ```
/// use ndarray::arr2;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr2(&[[1.0, 2.0], [3.0, 4.0]]).into());
/// let y = termwise_ops::gather(&x, &arr2(&[[1, 1, 0]]).into_dyn(), 1);
/// assert_eq!(y.value().as_slice(), [2.0, 2.0, 1.0]);
/// let gradients = tape.backward_with(&[(&y, arr2(&[[10.0, 20.0, 30.0]]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [30.0, 30.0, 0.0, 0.0]);
/// ```
#[track_caller]
pub fn gather<B: GatherKernel>(x: &Var<B>, index: &ArrayD<i64>, axis: isize) -> Var<B> {
    let axis = shape::axis("gather", axis, x.shape());
    let places = places("gather", x.shape(), index, axis);
    apply(Gather { places, shape: index.shape().to_vec(), input: x.shape().to_vec() }, [x])
}

/// The row-major place in an array of shape `shape` that each element of `index` names.
///
/// # Panics
/// If the index does not fit the shape.
#[track_caller]
pub(super) fn places(op: &str, shape: &[usize], index: &ArrayD<i64>, axis: usize) -> Vec<usize> {
    let fits = index.ndim() == shape.len()
        && (0..shape.len()).all(|i| i == axis || index.shape()[i] <= shape[i] || index.is_empty());
    assert!(
        fits,
        "{op}: index of shape {:?} must have the rank of x, of shape {shape:?}, and be no longer but along axis {axis}",
        index.shape()
    );
    let stride = |i: usize| shape[i + 1..].iter().product::<usize>();
    let steps = (0..shape.len()).map(|i| (index.shape()[i], [if i == axis { 0 } else { stride(i) }]));
    let (layout, along) = (Layout::from_axes(steps), stride(axis));
    let index_values: Vec<i64> = index.iter().copied().collect();
    let mut places = Vec::with_capacity(index_values.len());
    layout.for_each_run(0, index_values.len(), |start, len, [offset]| {
        for (i, &value) in index_values[start..][..len].iter().enumerate() {
            let Some(value) = usize::try_from(value).ok().filter(|&value| value < shape[axis]) else {
                panic!("{op}: index {value} is out of range for axis {axis} of shape {shape:?}");
            };
            places.push(offset + i * layout.steps()[0] + value * along);
        }
    });
    places
}

struct Gather {
    /// Row-major place in `x` of each element of the output.
    places: Vec<usize>,
    shape: Vec<usize>,
    input: Vec<usize>,
}

impl<B: GatherKernel> Op<B, 1> for Gather {
    type Saved = ();

    fn name(&self) -> &'static str {
        "gather"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::take(x, &self.places, &self.shape), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y_i = x[place_i]  =>  dx[place_i] += dy_i
        let zeros = Array::zeros(grad_output.backend(), &self.input);
        [Some(B::add_at(&zeros, &self.places, grad_output))]
    }
}

/// Reading and adding at row-major places.
pub trait GatherKernel: Backend {
    /// The elements of `x` at `places`, under `shape`.
    fn take(x: &Array<Self>, places: &[usize], shape: &[usize]) -> Array<Self>;

    /// `x` with element `i` of `src` added at place `i`. A place may occur more than once; the additions
    /// are made in order.
    fn add_at(x: &Array<Self>, places: &[usize], src: &Array<Self>) -> Array<Self>;
}

/// Elements that one task reads.
const CHUNK: usize = 4096;

impl<T: Scalar> GatherKernel for Cpu<T> {
    fn take(x: &Array<Self>, places: &[usize], shape: &[usize]) -> Array<Self> {
        let x_data = x.as_slice();
        let mut y = Buffer::arbitrary(places.len());
        par::for_each_chunk(&mut y, CHUNK, 4 * CHUNK, |i, y| {
            y.iter_mut().zip(&places[i * CHUNK..]).for_each(|(y, &place)| *y = x_data[place]);
        });
        Array::from_buffer(shape, y)
    }

    fn add_at(x: &Array<Self>, places: &[usize], src: &Array<Self>) -> Array<Self> {
        let mut y = Buffer::from(x.as_slice());
        places.iter().zip(src.as_slice()).for_each(|(&place, &v)| y[place] += v);
        Array::from_buffer(x.shape(), y)
    }
}

/// An index along `axis` of `shape`, `count` long along it; test cases of gather and scatter_add.
pub(super) fn sample_index(
    samples: &mut termwise_autograd::gradcheck::Samples,
    shape: &[usize],
    axis: usize,
    count: usize,
) -> Option<ArrayD<i64>> {
    let extent = *shape.get(axis)?;
    (extent > 0 || count == 0).then_some(())?;
    let mut index = shape.to_vec();
    index[axis] = count;
    Some(samples.integers(&index, 0, extent.max(1) as i64))
}

/// Test cases of [`gather`].
pub fn cases<B: GatherKernel>() -> Vec<Case<B>> {
    let case = |axis: usize, count: usize, shape: &[usize]| {
        Case::new("gather", format!("axis {axis}, {count} picked"), shape, move |shape, samples| {
            let index = sample_index(samples, shape, axis, count)?;
            Built::new([("x", samples.normal(shape))], move |v| gather(&v[0], &index, axis as isize))
        })
    };
    let shorter = Case::new("gather", "fewer rows", &[3, 6], |shape, samples| {
        let index = sample_index(samples, &[shape[0].checked_sub(1)?, shape[1]], 1, 8)?;
        Built::new([("x", samples.normal(shape))], move |v| gather(&v[0], &index, -1))
    });
    vec![case(0, 1, &[1]), case(1, 3, &[4, 5]), case(0, 4, &[3, 4, 5]), case(2, 0, &[2, 2, 3]), shorter]
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;
    use termwise_autograd::Tape;

    use super::*;

    fn gather_zeros(shape: &[usize], index: ArrayD<i64>) {
        let tape = Tape::new(Cpu::<f32>::new());
        gather(&tape.leaf(Array::zeros(&Cpu::new(), shape)), &index, 1);
    }

    #[test]
    #[should_panic(expected = "gather: index -1 is out of range for axis 1 of shape [2, 3]")]
    fn an_index_out_of_range_is_named() {
        gather_zeros(&[2, 3], arr2(&[[0, 1], [2, -1]]).into_dyn());
    }

    #[test]
    #[should_panic(
        expected = "gather: index of shape [3, 1] must have the rank of x, of shape [2, 3], and be"
    )]
    fn an_index_that_does_not_fit_is_named() {
        gather_zeros(&[2, 3], arr2(&[[0], [1], [2]]).into_dyn());
    }
}
