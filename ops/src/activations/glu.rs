//! Gated linear unit: `y = a sigmoid(b)`, `a` and `b` the halves of `x` along one axis.
//!
//! Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", ICML 2017.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector, math};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

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
        let mut y = Buffer::arbitrary(outer * half);
        par::for_each_rows(&mut y, half, half * 24, |first, y| {
            simd::run(Forward { half, x: &x.as_slice()[2 * first * half..][..2 * y.len()], y });
        });
        let mut shape = x.shape().to_vec();
        shape[axis] /= 2;
        Array::from_buffer(&shape, y)
    }

    fn glu_backward(x: &Array<Self>, grad_output: &Array<Self>, axis: usize) -> Array<Self> {
        let (_, len, inner) = shape::split_at_axis(x.shape(), axis);
        let half = len / 2 * inner;
        let mut grad = Buffer::arbitrary(x.len());
        par::for_each_rows(&mut grad, 2 * half, half * 32, |first, grad| {
            let x = &x.as_slice()[2 * first * half..][..grad.len()];
            let g = &grad_output.as_slice()[first * half..][..grad.len() / 2];
            simd::run(Backward { half, x, g, grad });
        });
        Array::from_buffer(x.shape(), grad)
    }
}

/// `y = a sigmoid(b)` for rows of `a` and `b`, `half` elements each.
struct Forward<'a, T> {
    half: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        for (x, y) in self.x.chunks_exact(2 * self.half).zip(self.y.chunks_exact_mut(self.half)) {
            let (a, b) = x.split_at(self.half);
            for ((a, b), y) in a.chunks(V::LANES).zip(b.chunks(V::LANES)).zip(y.chunks_mut(V::LANES)) {
                (V::from_slice(a) * math::sigmoid(V::from_slice(b))).write_to(y);
            }
        }
    }
}

/// `da = sigmoid(b) dy`, `db = a sigmoid(b) (1 - sigmoid(b)) dy`
struct Backward<'a, T> {
    half: usize,
    x: &'a [T],
    g: &'a [T],
    grad: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Backward { half, x, g, grad } = self;
        let rows = x.chunks_exact(2 * half).zip(g.chunks_exact(half)).zip(grad.chunks_exact_mut(2 * half));
        for ((x, g), grad) in rows {
            let ((a, b), (grad_a, grad_b)) = (x.split_at(half), grad.split_at_mut(half));
            for i in (0..half).step_by(V::LANES) {
                let (a, b, g) = (V::from_slice(&a[i..]), V::from_slice(&b[i..]), V::from_slice(&g[i..]));
                let gate = math::sigmoid(b);
                (gate * g).write_to(&mut grad_a[i..]);
                (a * gate * (V::of(1.0) - gate) * g).write_to(&mut grad_b[i..]);
            }
        }
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
