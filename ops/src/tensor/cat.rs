//! Concatenation along one axis.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Op, Var, apply};

use super::strided::{StridedKernel, Window};
use crate::shape;

/// Operands laid one after the other along `axis` (negative counts from the end).
///
/// # Formula
/// `y = [x_0, x_1, ..]`
///
/// # Shapes
/// `xs`: at least one, of rank at least 1, equal but for the extent of `axis`. `y`: the same, that
/// extent being the sum of theirs.
///
/// # Gradient
/// `dx_i` is the part of `dy` where `x_i` lies.
///
/// # Panics
/// If there is no operand, the axis is out of range, or the other extents differ.
///
/// # Examples
/// ```
/// use ndarray::arr1;
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let [a, b] = [arr1(&[1.0, 2.0]), arr1(&[3.0])].map(|x| tape.leaf(x.into()));
/// let y = termwise_ops::cat(&[&a, &b], 0);
/// assert_eq!(y.value().as_slice(), [1.0, 2.0, 3.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[4.0, 5.0, 6.0]).into())]);
/// assert_eq!(gradients.of(&b).unwrap().as_slice(), [6.0]);
/// ```
#[track_caller]
pub fn cat<B: StridedKernel>(xs: &[&Var<B>], axis: isize) -> Var<B> {
    assert!(!xs.is_empty(), "cat: there is nothing to concatenate");
    let first = xs[0].shape();
    let axis = shape::axis("cat", axis, first);
    let fits = |x: &&Var<B>| {
        x.ndim() == first.len() && (0..first.len()).all(|i| i == axis || x.shape()[i] == first[i])
    };
    if !xs.iter().all(fits) {
        let shapes: Vec<_> = xs.iter().map(|x| x.shape()).collect();
        panic!("cat: the shapes must be equal but for axis {axis}: {shapes:?}");
    }
    join(xs, axis)
}

/// An op has a fixed number of inputs, so that many operands are joined four at a time.
#[track_caller]
fn join<B: StridedKernel>(xs: &[&Var<B>], axis: usize) -> Var<B> {
    match *xs {
        [a] => apply(Cat { axis }, [a]),
        [a, b] => apply(Cat { axis }, [a, b]),
        [a, b, c] => apply(Cat { axis }, [a, b, c]),
        [a, b, c, d] => apply(Cat { axis }, [a, b, c, d]),
        _ => {
            let joined: Vec<Var<B>> = xs.chunks(xs.len().div_ceil(4)).map(|xs| join(xs, axis)).collect();
            join(&joined.iter().collect::<Vec<_>>(), axis)
        }
    }
}

struct Cat {
    axis: usize,
}

impl Cat {
    /// The shape of the concatenation, and where in it each of `N` operands lies.
    fn windows<const N: usize>(&self, shapes: [&[usize]; N]) -> (Vec<usize>, [Window; N]) {
        let extents = shapes.map(|shape| shape[self.axis]);
        let mut shape = shapes[0].to_vec();
        shape[self.axis] = extents.iter().sum();
        let windows = std::array::from_fn(|i| {
            Window::whole(&shape).narrow(self.axis, extents[..i].iter().sum(), extents[i], 1)
        });
        (shape, windows)
    }
}

impl<B: StridedKernel, const N: usize> Op<B, N> for Cat {
    type Saved = [Window; N];

    fn name(&self) -> &'static str {
        "cat"
    }

    fn forward(&self, xs: [&Array<B>; N]) -> (Array<B>, Self::Saved) {
        let (shape, windows) = self.windows(xs.map(|x| x.shape()));
        let parts: Vec<_> = xs.into_iter().zip(windows.clone()).collect();
        (B::write_windows(&shape, 0.0, &parts), windows)
    }

    fn backward(
        &self,
        windows: &Self::Saved,
        grad_output: &Array<B>,
        needs: [bool; N],
    ) -> [Option<Array<B>>; N] {
        // x_i lies in window i of y  =>  dx_i is that window of dy
        std::array::from_fn(|i| needs[i].then(|| B::read_window(grad_output, &windows[i])))
    }
}

/// Test cases of [`cat`]: two operands of which the second is one longer, and nine operands.
pub fn cases<B: StridedKernel>() -> Vec<Case<B>> {
    let two = |axis: usize, shape: &[usize]| {
        Case::new("cat", format!("two, axis {axis}"), shape, move |shape, samples| {
            let mut longer = shape.to_vec();
            *longer.get_mut(axis)? += 1;
            let inputs = [("x0", samples.normal(shape)), ("x1", samples.normal(&longer))];
            Built::new(inputs, move |v| cat(&[&v[0], &v[1]], axis as isize))
        })
    };
    let nine = Case::new("cat", "nine, axis -1", &[2, 2], |shape, samples| {
        let names = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8"];
        let inputs = names.map(|name| (name, samples.normal(shape)));
        Built::new(inputs, |v| cat(&v.iter().collect::<Vec<_>>(), -1))
    });
    vec![two(0, &[1]), two(1, &[2, 3]), two(0, &[2, 2, 3]), two(1, &[3, 2, 4]), two(1, &[2, 0]), nine]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Cpu, Tape};

    use super::*;

    #[test]
    #[should_panic(expected = "cat: the shapes must be equal but for axis 1: [[2, 3], [3, 3]]")]
    fn extents_that_differ_are_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        let [a, b] = [[2, 3], [3, 3]].map(|shape| tape.leaf(Array::zeros(&Cpu::new(), &shape)));
        cat(&[&a, &b], -1);
    }

    #[test]
    fn many_operands_keep_their_order() {
        let tape = Tape::new(Cpu::<f64>::new());
        let xs: Vec<_> = (0..23).map(|i| tape.leaf(Array::host(&[1], vec![f64::from(i)]))).collect();
        let y = cat(&xs.iter().collect::<Vec<_>>(), 0);
        assert_eq!(y.value().as_slice(), (0..23).map(f64::from).collect::<Vec<_>>());
    }
}
