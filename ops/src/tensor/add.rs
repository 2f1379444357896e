//! Addition with broadcasting: `y = a + b`.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;

use crate::broadcast::{Binary, BinaryKernel, binary};

/// Sum of each pair of elements, with NumPy's broadcasting.
///
/// # Formula
/// `y = a + b`
///
/// # Shapes
/// `a`, `b`: any that broadcast, scalars of shape `[]` included. `y`: their common shape.
///
/// # Gradient
/// `da = dy`, `db = dy`, each summed over the axes along which the operand was repeated.
///
/// # Panics
/// If the shapes do not broadcast.
///
/// # Examples
/// ```
/// use ndarray::{arr1, arr2};
/// use termwise_autograd::{Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let a = tape.leaf(arr2(&[[1.0, 2.0], [3.0, 4.0]]).into());
/// let b = tape.leaf(arr1(&[10.0, 20.0]).into());
/// let y = termwise_ops::add(&a, &b);
/// assert_eq!(y.value().as_slice(), [11.0, 22.0, 13.0, 24.0]);
/// let gradients = tape.backward_with(&[(&y, arr2(&[[1.0, 2.0], [3.0, 4.0]]).into())]);
/// assert_eq!(gradients.of(&b).unwrap().as_slice(), [4.0, 6.0]);
/// ```
#[track_caller]
pub fn add<B: BinaryKernel>(a: &Var<B>, b: &Var<B>) -> Var<B> {
    binary(Add, a, b)
}

#[derive(Clone, Copy)]
struct Add;

impl Binary for Add {
    const NAME: &'static str = "add";
    const SAVES_OPERANDS: bool = false;

    #[inline(always)]
    fn value<V: Vector>(&self, a: V, b: V) -> V {
        a + b
    }

    #[inline(always)]
    fn derivative_a<V: Vector>(&self, _: V, _: V) -> V {
        V::of(1.0)
    }

    #[inline(always)]
    fn derivative_b<V: Vector>(&self, _: V, _: V) -> V {
        V::of(1.0)
    }
}

/// Test cases of [`add`].
pub fn cases<B: BinaryKernel>() -> Vec<Case<B>> {
    super::pairs::pair_cases("add", [Samples::normal, Samples::normal], |v| add(&v[0], &v[1]))
}
