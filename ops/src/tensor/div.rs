//! Quotient with broadcasting: `y = a / b`.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;

use crate::broadcast::{Binary, BinaryKernel, binary};

/// Quotient of each pair of elements, with NumPy's broadcasting.
///
/// # Formula
/// `y = a / b`
///
/// # Shapes
/// `a`, `b`: any that broadcast, scalars of shape `[]` included. `y`: their common shape.
///
/// # Gradient
/// `da = dy / b`, `db = -a / b^2 dy`, each summed over the axes along which the operand was repeated.
///
/// # Edge cases
/// Division by zero follows IEEE 754: an infinity, or NaN for `0 / 0`.
///
/// # Panics
/// If the shapes do not broadcast.
///
/// # Examples
/// ```
/// use ndarray::{arr0, arr1};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let a = tape.leaf(arr1(&[1.0, 5.0]).into());
/// let b = tape.leaf(arr0(4.0).into());
/// let y = termwise_ops::div(&a, &b);
/// assert_eq!(y.value().as_slice(), [0.25, 1.25]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [0.25, 0.25]);
/// assert_eq!(gradients.of(&b).unwrap().item(), -0.375);
/// ```
#[track_caller]
pub fn div<B: BinaryKernel>(a: &Var<B>, b: &Var<B>) -> Var<B> {
    binary(Div, a, b)
}

#[derive(Clone, Copy)]
struct Div;

impl Binary for Div {
    const NAME: &'static str = "div";

    #[inline(always)]
    fn value<V: Vector>(&self, a: V, b: V) -> V {
        a / b
    }

    #[inline(always)]
    fn derivative_a<V: Vector>(&self, _: V, b: V) -> V {
        V::of(1.0) / b
    }

    #[inline(always)]
    fn derivative_b<V: Vector>(&self, a: V, b: V) -> V {
        -a / (b * b)
    }
}

/// Test cases of [`div`]: divisors at least 0.5 in magnitude.
pub fn cases<B: BinaryKernel>() -> Vec<Case<B>> {
    super::pairs::pair_cases(
        "div",
        [Samples::normal, |samples, shape| samples.away_from(shape, &[0.0], 0.5)],
        |v| div(&v[0], &v[1]),
    )
}
