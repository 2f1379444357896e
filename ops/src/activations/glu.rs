//! Gated linear unit: `y = a sigmoid(b)`, `a` and `b` the halves of `x` along one axis.
//!
//! Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", ICML 2017.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use super::sigmoid::sigmoid_of;
use crate::{par, shape};

/// Gated linear unit along `axis` (negative counts from the end).
///
/// # Formula
/// `y = a sigmoid(b)`, `a` the first and `b` the second half of `x` along the axis.
///
/// # Shapes
/// `x`: rank at least 1, the extent of `axis` even. `y`: the same, that extent halved.
///
/// # Gradient
/// `da = sigmoid(b) dy`, `db = a sigmoid(b) (1 - sigmoid(b)) dy`
///
/// # Panics
/// If `axis` is out of range or its extent is odd.
///
/// # Examples
/// ```
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(ndarray::arr1(&[3.0, 5.0, 0.0, 1000.0]).into());
/// let y = termwise_ops::glu(&x, 0);
/// assert_eq!(y.value().as_slice(), [1.5, 5.0]);
/// let gradients = tape.backward_with(&[(&y, ndarray::arr1(&[4.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&x).unwrap().as_slice(), [2.0, 1.0, 3.0, 0.0]);
/// ```
#[track_caller]
pub fn glu<B: GluKernel>(x: &Var<B>, axis: isize) -> Var<B> {
    let place = shape::axis("glu", axis, x.shape());
    assert!(
        x.shape()[place].is_multiple_of(2),
        "glu: axis {place} of shape {:?} must have an even extent to be halved",
        x.shape()
    );
    apply(Glu { axis: place }, [x])
}

struct Glu {
    axis: usize,
}

impl<B: GluKernel> Op<B, 1> for Glu {
    type Saved = Array<B>;

    fn name(&self) -> &'static str {
        "glu"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::glu_forward(x, self.axis), x.clone())
    }

    fn backward(&self, x: &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = a s(b)  =>  da = s(b) dy,  db = a s(b) (1 - s(b)) dy
        [Some(B::glu_backward(x, grad_output, self.axis))]
    }
}

/// Kernels of [`glu`].
pub trait GluKernel: Backend {
    /// `a sigmoid(b)` for the halves of `x` along `axis`.
    fn glu_forward(x: &Array<Self>, axis: usize) -> Array<Self>;

    /// Gradient in `x`.
    fn glu_backward(x: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self>;
}

impl<T: Scalar> GluKernel for Cpu<T> {
    fn glu_forward(x: &Array<Self>, axis: usize) -> Array<Self> {
        let (outer, len, inner) = shape::split_at_axis(x.shape(), axis);
        let half = len / 2 * inner;
        let mut y = vec![T::zero(); outer * half];
        par::for_each_chunk(&mut y, half, half * 16, |o, y| {
            let (a, b) = x.as_slice()[2 * o * half..][..2 * half].split_at(half);
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = a * sigmoid_of(b);
            }
        });
        let mut shape = x.shape().to_vec();
        shape[axis] /= 2;
        Array::host(&shape, y)
    }

    fn glu_backward(x: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        let (_, len, inner) = shape::split_at_axis(x.shape(), axis);
        let half = len / 2 * inner;
        let mut grad = vec![T::zero(); x.len()];
        par::for_each_chunk(&mut grad, 2 * half, half * 32, |o, grad| {
            let (a, b) = x.as_slice()[2 * o * half..][..2 * half].split_at(half);
            let (grad_a, grad_b) = grad.split_at_mut(half);
            let g = &grad_output.as_slice()[o * half..][..half];
            for i in 0..half {
                let gate = sigmoid_of(b[i]);
                grad_a[i] = gate * g[i];
                grad_b[i] = a[i] * gate * (T::one() - gate) * g[i];
            }
        });
        Array::host(x.shape(), grad)
    }
}

/// Test cases of [`glu`].
pub fn cases<B: GluKernel>() -> Vec<Case<B>> {
    let case = |axis: isize, shape: &[usize]| {
        Case::new("glu", format!("axis {axis}"), shape, move |shape, samples| {
            let place = usize::try_from(if axis < 0 { axis + shape.len() as isize } else { axis }).ok()?;
            shape.get(place)?.is_multiple_of(2).then_some(())?;
            Built::new([("x", samples.normal(shape))], move |v| glu(&v[0], axis))
        })
    };
    vec![case(-1, &[2]), case(-1, &[3, 8]), case(1, &[2, 6, 3, 4]), case(0, &[10, 3]), case(-1, &[0, 4])]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    #[should_panic(expected = "glu: axis 1 of shape [2, 3] must have an even extent to be halved")]
    fn an_odd_extent_is_named() {
        let tape = Tape::new(Cpu::<f32>::new());
        glu(&tape.leaf(Array::zeros(&Cpu::new(), &[2, 3])), -1);
    }
}
