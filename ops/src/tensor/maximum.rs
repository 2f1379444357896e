//! Larger with broadcasting: `y = max(a, b)`.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;

use crate::broadcast::{Binary, BinaryKernel, binary};

/// Larger of each pair of elements, with NumPy's broadcasting.
///
/// # Formula
/// `y = max(a, b)`
///
/// # Shapes
/// `a`, `b`: any that broadcast, scalars of shape `[]` included. `y`: their common shape.
///
/// # Gradient
/// `da = dy` where `a > b`, `db = dy` where `b > a`, each summed over the axes along which the operand was repeated.
///
/// # Edge cases
/// Where `a = b` each operand gets half of `dy`. NaN in either operand gives NaN.
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
/// let y = termwise_ops::maximum(&a, &b);
/// assert_eq!(y.value().as_slice(), [3.0, 5.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [0.0, 1.0]);
/// assert_eq!(gradients.of(&b).unwrap().item(), 1.0);
/// ```
#[track_caller]
pub fn maximum<B: BinaryKernel>(a: &Var<B>, b: &Var<B>) -> Var<B> {
    binary(Maximum, a, b)
}

#[derive(Clone, Copy)]
struct Maximum;

impl Binary for Maximum {
    const NAME: &'static str = "maximum";

    #[inline(always)]
    fn value<V: Vector>(&self, a: V, b: V) -> V {
        // Not V::max, which may drop a NaN.
        V::select(a.is_nan(), a, V::select(b.lt(a), a, b))
    }

    #[inline(always)]
    fn derivative_a<V: Vector>(&self, a: V, b: V) -> V {
        share::<V>(b.lt(a), a.eq(b))
    }

    #[inline(always)]
    fn derivative_b<V: Vector>(&self, a: V, b: V) -> V {
        share::<V>(a.lt(b), a.eq(b))
    }
}

/// The part of the gradient that one operand gets.
#[inline(always)]
pub(super) fn share<V: Vector>(wins: V::Mask, ties: V::Mask) -> V {
    V::select(wins, V::of(1.0), V::select(ties, V::of(0.5), V::zero()))
}

/// Test cases of [`maximum`]: no two numbers closer than 0.02.
pub fn cases<B: BinaryKernel>() -> Vec<Case<B>> {
    super::pairs::pair_cases(
        "maximum",
        [Samples::distinct, |samples, shape| samples.distinct(shape) + 0.03],
        |v| maximum(&v[0], &v[1]),
    )
}

#[cfg(test)]
mod tests {
    use termwise_autograd::{Array, Cpu, Tape};

    use super::*;

    #[test]
    fn ties_share_and_nan_stays() {
        let tape = Tape::new(Cpu::<f64>::new());
        let a = tape.leaf(Array::host(&[3], vec![2.0, f64::NAN, 1.0]));
        let b = tape.leaf(Array::host(&[3], vec![2.0, 1.0, f64::NAN]));
        let y = maximum(&a, &b);
        assert_eq!(y.value().as_slice()[0], 2.0);
        assert!(y.value().as_slice()[1..].iter().all(|v| v.is_nan()));
        let gradients = tape.backward_with(&[(&y, Array::host(&[3], vec![3.0; 3]))]);
        assert_eq!(gradients.of(&a).unwrap().as_slice()[0], 1.5);
        assert_eq!(gradients.of(&b).unwrap().as_slice()[0], 1.5);
    }
}
