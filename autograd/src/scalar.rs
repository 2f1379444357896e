//! The two number types the engine computes in: `f32` to train, `f64` to check gradients.

use std::fmt::{Debug, Display};
use std::iter::Sum;

use ndarray::{LinalgScalar, ScalarOperand};
use num_traits::{Float, NumAssign};

use crate::pool::Pooled;
use crate::simd::{self, Vector};

/// A floating-point number that every array, operation and kernel works on: [`f32`] or [`f64`].
///
/// All code is written once over this trait, so that a gradient check in `f64` covers the very
/// source that trains in `f32`.
///
/// # Examples
/// ```
/// use termwise_autograd::Scalar;
///
/// fn mean<T: Scalar>(values: &[T]) -> T {
///     values.iter().copied().sum::<T>() / T::of(values.len() as f64)
/// }
/// assert_eq!(mean(&[1.0f32, 2.0]).as_f64(), 1.5);
/// assert_eq!(mean(&[1.0f64, 2.0]), 1.5);
/// assert_eq!((f32::of(1.0 + 1e-9), f64::of(1.0 + 1e-9)), (1.0, 1.0 + 1e-9)); // f32 rounds
/// assert_eq!((f32::NAME, f64::NAME), ("f32", "f64"));
/// ```
pub trait Scalar:
    Float + NumAssign + LinalgScalar + ScalarOperand + Sum + Default + Debug + Display + Pooled
{
    /// Vector of this type on any machine.
    type Portable: Vector<Element = Self>;
    /// Vector of this type in AVX2 registers.
    type Avx2: Vector<Element = Self>;
    /// Vector of this type in AVX-512 registers.
    type Avx512: Vector<Element = Self>;

    /// The type's name as it is written in messages and files: `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Rounds an `f64` to this type.
    fn of(value: f64) -> Self;

    /// Widens to `f64` (exact).
    fn as_f64(self) -> f64;
}

impl Scalar for f32 {
    type Portable = wide::f32x8;
    type Avx2 = simd::types::F32x8;
    type Avx512 = simd::types::F32x16;

    const NAME: &'static str = "f32";

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn as_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    type Portable = wide::f64x4;
    type Avx2 = simd::types::F64x4;
    type Avx512 = simd::types::F64x8;

    const NAME: &'static str = "f64";

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn as_f64(self) -> f64 {
        self
    }
}
