//! Smaller with broadcasting: `y = min(a, b)`.

use termwise_autograd::Var;
use termwise_autograd::gradcheck::{Case, Samples};
use termwise_autograd::simd::Vector;

use super::maximum::share;
use crate::broadcast::{Binary, BinaryKernel, binary};

/// Smaller of each pair of elements, with NumPy's broadcasting.
///
/// # Formula
/// `y = min(a, b)`
///
/// # Shapes
/// `a`, `b`: any that broadcast, scalars of shape `[]` included. `y`: their common shape.
///
/// # Gradient
/// `da = dy` where `a < b`, `db = dy` where `b < a`, each summed over the axes along which the operand was repeated.
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
/// let y = termwise_ops::minimum(&a, &b);
/// assert_eq!(y.value().as_slice(), [1.0, 3.0]);
/// let gradients = tape.backward_with(&[(&y, arr1(&[1.0, 1.0]).into())]);
/// assert_eq!(gradients.of(&a).unwrap().as_slice(), [1.0, 0.0]);
/// assert_eq!(gradients.of(&b).unwrap().item(), 1.0);
/// ```
#[track_caller]
pub fn minimum<B: BinaryKernel>(a: &Var<B>, b: &Var<B>) -> Var<B> {
    binary(Minimum, a, b)
}

#[derive(Clone, Copy)]
struct Minimum;

impl Binary for Minimum {
    const NAME: &'static str = "minimum";

    #[inline(always)]
    fn value<V: Vector>(&self, a: V, b: V) -> V {
        // Not V::min, which may drop a NaN.
        V::select(a.is_nan(), a, V::select(a.lt(b), a, b))
    }

    #[inline(always)]
    fn derivative_a<V: Vector>(&self, a: V, b: V) -> V {
        share::<V>(a.lt(b), a.eq(b))
    }

    #[inline(always)]
    fn derivative_b<V: Vector>(&self, a: V, b: V) -> V {
        share::<V>(b.lt(a), a.eq(b))
    }
}

/// Test cases of [`minimum`]: no two numbers closer than 0.02.
pub fn cases<B: BinaryKernel>() -> Vec<Case<B>> {
    super::pairs::pair_cases(
        "minimum",
        [Samples::distinct, |samples, shape| samples.distinct(shape) + 0.03],
        |v| minimum(&v[0], &v[1]),
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
        let y = minimum(&a, &b);
        assert_eq!(y.value().as_slice()[0], 2.0);
        assert!(y.value().as_slice()[1..].iter().all(|v| v.is_nan()));
        let gradients = tape.backward_with(&[(&y, Array::host(&[3], vec![3.0; 3]))]);
        assert_eq!(gradients.of(&a).unwrap().as_slice()[0], 1.5);
        assert_eq!(gradients.of(&b).unwrap().as_slice()[0], 1.5);
    }
}
