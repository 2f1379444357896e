//! Addition at places that an index names along one axis.

use ndarray::ArrayD;
use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use super::gather::{GatherKernel, places, sample_index};
use super::strided::{StridedKernel, Window};
use crate::shape;

/// `x` with the elements of `src` added at the places that `index` names along `axis` (negative counts
/// from the end).
///
/// # Formula
/// `y = x`, then `y[i, index[i, j, k], k] += src[i, j, k]` for `axis` 1 of three.
///
/// # Shapes
/// `x` and `y`: rank at least 1, the same. `index`: the same rank; along axes other than `axis` at most
/// as long as `x`. `src`: along each axis at least as long as `index`; what lies beyond is left out.
///
/// # Gradient
/// `dx = dy`; `dsrc[i, j, k] = dy[i, index[i, j, k], k]`, 0 beyond the index.
///
/// # Edge cases
/// Elements that go to the same place are added in row-major order of `index`.
///
/// # Panics
/// If `axis` or an index is out of range, or the shapes do not fit.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(arr1(&[10.0, 20.0]).into());
/// let src = tape.leaf(arr1(&[1.0, 2.0, 3.0]).into());
/// let y = termwise_ops::scatter_add(&x, &arr1(&[1, 0, 1]).into_dyn(), &src, 0);
/// assert_eq!(y.value().as_slice(), [12.0, 24.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[5.0, 7.0]).into())]);
/// assert_eq!(gradients.of(&src).unwrap().as_slice(), [7.0, 5.0, 7.0]);
/// ```
#[track_caller]
pub fn scatter_add<B: GatherKernel + StridedKernel>(
    x: &Var<B>,
    index: &ArrayD<i64>,
    src: &Var<B>,
    axis: isize,
) -> Var<B> {
    let axis = shape::axis("scatter_add", axis, x.shape());
    let places = places("scatter_add", x.shape(), index, axis);
    let covered = src.ndim() == index.ndim() && src.shape().iter().zip(index.shape()).all(|(s, i)| s >= i);
    assert!(
        covered,
        "scatter_add: src of shape {:?} must have the rank of index, of shape {:?}, and be no shorter",
        src.shape(),
        index.shape()
    );
    // The strides of the whole of src, the extents of the index.
    let window = Window { shape: index.shape().to_vec(), ..Window::whole(src.shape()) };
    apply(ScatterAdd { places, window, src: src.shape().to_vec() }, [x, src])
}

struct ScatterAdd {
    /// Row-major place in `x` of each element of the index.
    places: Vec<usize>,
    /// The part of `src` that the index covers.
    window: Window,
    src: Vec<usize>,
}

impl<B: GatherKernel + StridedKernel> Op<B, 2> for ScatterAdd {
    type Saved = ();

    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn forward(&self, [x, src]: [&Array<B>; 2]) -> (Array<B>, Self::Saved) {
        (B::add_at(x, &self.places, &B::read_window(src, &self.window)), ())
    }

    fn backward(
        &self,
        (): &Self::Saved,
        grad_output: &Array<B>,
        [_, need_src]: [bool; 2],
    ) -> [Option<Array<B>>; 2] {
        // y = x; y[place_i] += src_i  =>  dx = dy,  dsrc_i = dy[place_i]
        let grad_src = need_src.then(|| {
            let covered = B::take(grad_output, &self.places, &self.window.shape);
            B::write_windows(&self.src, 0.0, &[(&covered, self.window.clone())])
        });
        [Some(grad_output.clone()), grad_src]
    }
}

/// Test cases of [`scatter_add`].
pub fn cases<B: GatherKernel + StridedKernel>() -> Vec<Case<B>> {
    let case = |axis: usize, count: usize, shape: &[usize]| {
        Case::new("scatter_add", format!("axis {axis}, {count} added"), shape, move |shape, samples| {
            let index = sample_index(samples, shape, axis, count)?;
            let inputs = [("x", samples.normal(shape)), ("src", samples.normal(index.shape()))];
            Built::new(inputs, move |v| scatter_add(&v[0], &index, &v[1], axis as isize))
        })
    };
    let longer = Case::new("scatter_add", "fewer rows, src longer", &[3, 6], |shape, samples| {
        let index = sample_index(samples, &[shape[0].checked_sub(1)?, shape[1]], 1, 4)?;
        let inputs = [("x", samples.normal(shape)), ("src", samples.normal(&[shape[0], 5]))];
        Built::new(inputs, move |v| scatter_add(&v[0], &index, &v[1], -1))
    });
    vec![case(0, 1, &[1]), case(1, 3, &[4, 5]), case(0, 2, &[3, 4, 5]), case(2, 0, &[2, 2, 3]), longer]
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(
        expected = "scatter_add: src of shape [2] must have the rank of index, of shape [3], and be no"
    )]
    fn a_source_that_is_too_short_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        let var = |shape: &[usize]| tape.leaf(Array::zeros(&Cpu::new(), shape));
        scatter_add(&var(&[4]), &arr1(&[0, 1, 0]).into_dyn(), &var(&[2]), 0);
    }
}
