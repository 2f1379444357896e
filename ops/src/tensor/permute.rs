//! Axes in another order.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use super::strided::{StridedKernel, Window};
use crate::shape;

/// The axes of `x` in another order: axis `i` of `y` is axis `axes[i]` of `x`.
///
/// # Formula
/// `y[j] = x[i]` with `j_a = i_axes[a]`
///
/// # Shapes
/// `x`: any. `y`: its extents in the given order.
///
/// # Gradient
/// `dx` is `dy` with the axes put back.
///
/// # Panics
/// If `axes` does not hold each axis of `x` exactly once.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).into());
/// let y = termwise_ops::permute(&x, &[1, 0]);
/// assert_eq!(y.value().to_ndarray(), ndarray::arr2(&[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]).into_dyn());
/// ```
#[track_caller]
pub fn permute<B: StridedKernel>(x: &Var<B>, axes: &[isize]) -> Var<B> {
    let order: Vec<usize> = axes.iter().map(|&axis| shape::axis("permute", axis, x.shape())).collect();
    let each_once = order.len() == x.ndim() && (0..x.ndim()).all(|axis| order.contains(&axis));
    assert!(each_once, "permute: {axes:?} does not hold each axis of shape {:?} exactly once", x.shape());
    apply(Permute { order }, [x])
}

/// `x` with two axes swapped; see [`permute`].
///
/// # Panics
/// If an axis is out of range.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]));
/// assert_eq!(termwise_ops::transpose(&x, -1, -2).value().as_slice(), [1.0, 3.0, 2.0, 4.0]);
/// ```
#[track_caller]
pub fn transpose<B: StridedKernel>(x: &Var<B>, axis_a: isize, axis_b: isize) -> Var<B> {
    let mut order: Vec<usize> = (0..x.ndim()).collect();
    order.swap(shape::axis("transpose", axis_a, x.shape()), shape::axis("transpose", axis_b, x.shape()));
    apply(Permute { order }, [x])
}

struct Permute {
    order: Vec<usize>,
}

impl<B: StridedKernel> Op<B, 1> for Permute {
    type Saved = ();

    fn name(&self) -> &'static str {
        "permute"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::read_window(x, &Window::whole(x.shape()).permute(&self.order)), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // axis i of y is axis order[i] of x  =>  axis order[i] of dx is axis i of dy
        let mut inverse = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(i, &axis)| inverse[axis] = i);
        [Some(B::read_window(grad_output, &Window::whole(grad_output.shape()).permute(&inverse)))]
    }
}

/// Test cases of [`permute`].
pub fn cases<B: StridedKernel>() -> Vec<Case<B>> {
    let case = |axes: &'static [isize], shape: &[usize]| {
        Case::new("permute", format!("axes {axes:?}"), shape, move |shape, samples| {
            Built::new([("x", samples.normal(shape))], |v| permute(&v[0], axes))
        })
    };
    vec![
        case(&[], &[]),
        case(&[1, 0], &[1, 1]),
        case(&[1, 0], &[3, 5]),
        case(&[2, 0, 1], &[2, 3, 4]),
        case(&[0, 2, -1, 1], &[2, 3, 4, 5]),
        case(&[1, 0, 2], &[3, 0, 2]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "permute: [0, -3, 1] does not hold each axis of shape [2, 3, 4] exactly once")]
    fn an_axis_given_twice_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        permute(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3, 4])), &[0, -3, 1]);
    }

    #[test]
    fn large_and_small_extents_agree_with_ndarray() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = ndarray::Array4::from_shape_fn((3, 70, 5, 41), |(a, b, c, d)| {
            (((a * 70 + b) * 5 + c) * 41 + d) as f64
        });
        let y = permute(&tape.leaf(x.clone().into()), &[3, 0, 1, 2]);
        assert_eq!(y.value().to_ndarray(), x.permuted_axes([3, 0, 1, 2]).into_dyn());
    }

    #[test]
    fn matrices_that_tasks_cut_across_agree_with_ndarray() {
        let tape = Tape::new(Cpu::<f32>::new());
        for (shape, axes) in [((5, 33, 700), [0, 2, 1]), ((33, 5, 700), [2, 0, 1]), ((700, 5, 33), [1, 2, 0])]
        {
            let x = ndarray::Array3::from_shape_fn(shape, |(a, b, c)| (a * 40_000 + b * 1000 + c) as f32);
            let order = axes.map(|axis: usize| axis as isize);
            let y = permute(&tape.leaf(x.clone().into()), &order);
            assert_eq!(y.value().to_ndarray(), x.permuted_axes(axes).into_dyn(), "{shape:?}, {axes:?}");
        }
    }
}
