//! Product with broadcasting: `y = a b`.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;

use crate::broadcast::{Binary, BinaryKernel, binary};

/// Product of each pair of elements, with NumPy's broadcasting.
///
/// # Formula
/// `y = a b`
///
/// # Shapes
/// `a`, `b`: any that broadcast, scalars of shape `[]` included. `y`: their common shape.
///
/// # Gradient
/// `da = b dy`, `db = a dy`, each summed over the axes along which the operand was repeated.
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
/// let b = tape.leaf(arr0(3.0).into());
/// let y = termwise_ops::mul(&a, &b);
/// assert_eq!(y.value().as_slice(), [3.0, 15.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [3.0, 3.0]);
/// assert_eq!(gradients.of(&b).unwrap().item(), 6.0);
/// ```
#[track_caller]
pub fn mul<B: BinaryKernel>(a: &Var<B>, b: &Var<B>) -> Var<B> {
    binary(Mul, a, b)
}

#[derive(Clone, Copy)]
struct Mul;

impl Binary for Mul {
    const NAME: &'static str = "mul";

    #[inline(always)]
    fn value<V: Vector>(&self, a: V, b: V) -> V {
        a * b
    }

    #[inline(always)]
    fn derivative_a<V: Vector>(&self, _: V, b: V) -> V {
        b
    }

    #[inline(always)]
    fn derivative_b<V: Vector>(&self, a: V, _: V) -> V {
        a
    }
}

/// Test cases of [`mul`].
pub fn cases<B: BinaryKernel>() -> Vec<Case<B>> {
    super::pairs::pair_cases("mul", [Samples::normal, Samples::normal], |v| mul(&v[0], &v[1]))
}
