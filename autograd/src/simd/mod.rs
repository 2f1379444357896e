//! Vectors of numbers: how kernels are written once and run on the widest registers at hand.
//!
//! A kernel is a struct that holds its operands and implements [`Kernel`]: its body is generic over a
//! [`Vector`] type. [`run`] instantiates it for each instruction set and picks one when the program
//! runs, so that an ordinary build is fast on every machine:
//!
//! | [`Isa`] | `f32` lanes | `f64` lanes | registers |
//! |---|---|---|---|
//! | `Portable` | 8 (`wide`) | 4 (`wide`) | whatever the build's baseline has |
//! | `Avx2` | 8 | 4 | 16, with fused multiply-add |
//! | `Avx512` | 16 | 8 | 32, with fused multiply-add |
//!
//! ```
//! use termwise_autograd::Scalar;
//! use termwise_autograd::simd::{self, Kernel, Vector};
//!
//! /// `y += a x`
//! struct Axpy<'a, T>(T, &'a [T], &'a mut [T]);
//!
//! impl<T: Scalar> Kernel<T> for Axpy<'_, T> {
//!     type Output = ();
//!
//!     #[inline(always)] // so that the body is compiled with the instructions of its caller
//!     fn run<V: Vector<Element = T>>(self) {
//!         let a = V::splat(self.0);
//!         for (x, y) in self.1.chunks(V::LANES).zip(self.2.chunks_mut(V::LANES)) {
//!             a.mul_add(V::from_slice(x), V::from_slice(y)).write_to(y);
//!         }
//!     }
//! }
//!
//! let mut y = vec![1.0; 19];
//! simd::run(Axpy(2.0f32, &[3.0; 19], &mut y));
//! assert_eq!(y, [7.0; 19]);
//! ```
//!
//! Rules for kernels: everything on the way from `run` to a vector operation is `#[inline(always)]`,
//! closures are small or absent, and threads are split *outside*: each task calls [`run`] for itself.
//!
//! While a kernel runs its thread flushes denormal numbers to zero: they can slow arithmetic down a
//! hundredfold and carry nothing that training needs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod flush;
mod isa;
pub mod math;
mod portable;
mod scalar;
mod transpose;
mod vector;

#[cfg(test)]
mod tests;

/// The vector types behind [`Scalar`]'s; on other machines than x86-64 there is only the portable one.
pub(crate) mod types {
    #[cfg(target_arch = "x86_64")]
    pub use super::{avx2::F32x8, avx2::F64x4, avx512::F32x16, avx512::F64x8};
    #[cfg(not(target_arch = "x86_64"))]
    pub use wide::{f32x8 as F32x8, f32x8 as F32x16, f64x4 as F64x4, f64x4 as F64x8};
}

pub use isa::{Isa, available, force, isa};
pub use transpose::{transpose, transpose_lanes};
pub use vector::{Lanes, Vector};

use crate::Scalar;

/// A computation written once over the vectors of any instruction set.
pub trait Kernel<T: Scalar> {
    /// What it returns.
    type Output;

    /// The body. Must be marked `#[inline(always)]`.
    fn run<V: Vector<Element = T>>(self) -> Self::Output;
}

/// Asks for the cache line that `element` lies in, ahead of its use.
#[inline(always)]
pub fn prefetch<T>(element: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE, which every x86-64 has; a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(element.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = element;
}

/// Runs a kernel on the instruction set in force ([`isa`]), denormals flushed.
#[inline]
pub fn run<T: Scalar, K: Kernel<T>>(kernel: K) -> K::Output {
    run_on(isa(), kernel)
}

/// Runs a kernel on one instruction set, denormals flushed.
///
/// # Panics
/// If this machine does not have it.
#[inline]
pub fn run_on<T: Scalar, K: Kernel<T>>(isa: Isa, kernel: K) -> K::Output {
    let _flushed = flush::FlushDenormals::new();
    match isa {
        Isa::Portable => portable::<T, K>(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            assert!(Isa::Avx2.is_available(), "simd: this machine has no AVX2 with FMA");
            // SAFETY: the features were just found on this machine.
            unsafe { avx2_fma::<T, K>(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            assert!(Isa::Avx512.is_available(), "simd: this machine has no AVX-512");
            // SAFETY: the features were just found on this machine.
            unsafe { avx512f::<T, K>(kernel) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => panic!("simd: {isa} is an instruction set of x86-64"),
    }
}

#[inline(never)]
fn portable<T: Scalar, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<T::Portable>()
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn avx2_fma<T: Scalar, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<T::Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512f<T: Scalar, K: Kernel<T>>(kernel: K) -> K::Output {
    kernel.run::<T::Avx512>()
}
