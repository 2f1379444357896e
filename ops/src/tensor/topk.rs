//! The largest (or smallest) elements along one axis.

use std::cmp::Ordering;

use ndarray::ArrayD;
use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Cpu, Scalar};

use super::gather::{GatherKernel, gather};
use crate::{par, shape};

/// The `k` largest (or, where `largest` is false, smallest) elements of `x` along `axis` (negative counts
/// from the end), best first, and their places along it.
///
/// # Formula
/// `y_0 >= y_1 >= .. >= y_(k-1) >=` every other element of the axis (`<=` for the smallest).
///
/// # Shapes
/// `x`: rank at least 1. Values and places: the shape of `x`, the extent of `axis` being `k`.
///
/// # Gradient
/// `dx` is `dy` at the places returned, 0 elsewhere. The places are constant under small changes of `x`.
///
/// # Edge cases
/// Of equal elements the earlier comes first. NaN counts as larger than every number.
///
/// # Panics
/// If `axis` is out of range or `k` exceeds its extent.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[1.0, 9.0, 5.0, 9.0]).into());
/// let (values, places) = termwise_ops::topk(&x, 3, 0, true);
/// assert_eq!(values.value().as_slice(), [9.0, 9.0, 5.0]);
/// assert_eq!(places, arr1(&[1, 3, 2]).into_dyn());
/// let gradients = tape.backward_with(&[(&values, arr1(&[10.0, 20.0, 30.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0, 10.0, 30.0, 20.0]);
/// ```
#[track_caller]
pub fn topk<B: TopkKernel>(x: &Var<B>, k: usize, axis: isize, largest: bool) -> (Var<B>, ArrayD<i64>) {
    let axis = shape::axis("topk", axis, x.shape());
    assert!(k <= x.shape()[axis], "topk: k = {k} exceeds axis {axis} of shape {:?}", x.shape());
    let places = B::topk_places(x.value(), k, axis, largest);
    (gather(x, &places, axis as isize), places)
}

/// Kernel of [`topk`]; values and gradient are those of a gather at the places.
pub trait TopkKernel: GatherKernel {
    /// The places of the `k` best along `axis`, best first.
    fn topk_places(x: &Array<Self>, k: usize, axis: usize, largest: bool) -> ArrayD<i64>;
}

/// The order of numbers with NaN above all of them.
fn compare<T: Scalar>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl<T: Scalar> TopkKernel for Cpu<T> {
    fn topk_places(x: &Array<Self>, k: usize, axis: usize, largest: bool) -> ArrayD<i64> {
        let (outer, len, inner) = shape::split_at_axis(x.shape(), axis);
        let x_data = x.as_slice();
        let mut places = vec![0; outer * k * inner];
        par::for_each_chunk(&mut places, k * inner, len * inner * 16, |o, places| {
            for j in 0..inner {
                let at = |i: usize| x_data[(o * len + i) * inner + j];
                let better = |&a: &usize, &b: &usize| {
                    let order = compare(at(a), at(b));
                    (if largest { order.reverse() } else { order }).then(a.cmp(&b))
                };
                let mut order: Vec<usize> = (0..len).collect();
                if k < len {
                    order.select_nth_unstable_by(k, better);
                    order.truncate(k);
                }
                order.sort_unstable_by(better);
                for (rank, i) in order.into_iter().enumerate() {
                    places[rank * inner + j] = i as i64;
                }
            }
        });
        let mut shape = x.shape().to_vec();
        shape[axis] = k;
        ArrayD::from_shape_vec(shape, places).expect("k places for each slice")
    }
}

/// Test cases of [`topk`]: no two elements equal.
pub fn cases<B: TopkKernel>() -> Vec<Case<B>> {
    let case = |k: usize, axis: usize, largest: bool, shape: &[usize]| {
        let label = format!("{k} {}, axis {axis}", if largest { "largest" } else { "smallest" });
        Case::new("topk", label, shape, move |shape, samples| {
            (k <= *shape.get(axis)?).then_some(())?;
            Built::new([("x", samples.distinct(shape))], move |v| topk(&v[0], k, axis as isize, largest).0)
        })
    };
    vec![
        case(1, 0, true, &[1]),
        case(3, 1, true, &[3, 7]),
        case(2, 1, false, &[2, 5, 3]),
        case(4, 0, true, &[4, 2]),
        case(0, 1, true, &[2, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn nan_comes_first_among_the_largest_and_last_among_the_smallest() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(arr1(&[1.0, f64::NAN, 3.0]).into());
        assert_eq!(topk(&x, 2, 0, true).1, arr1(&[1, 2]).into_dyn());
        assert_eq!(topk(&x, 3, 0, false).1, arr1(&[0, 2, 1]).into_dyn());
    }

    #[test]
    #[should_panic(expected = "topk: k = 4 exceeds axis 1 of shape [2, 3]")]
    fn more_than_there_are_is_refused() {
        let tape = Tape::new(Cpu::<f32>::new());
        topk(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), 4, -1, true);
    }
}
