//! The machinery of operations whose operands differ in shape: how they are laid over each other,
//! functions of two numbers, and sums back to the smaller shape.
//!
//! Broadcasting is NumPy's: shapes are aligned at the last axis, and an extent of 1 (or a missing
//! axis) is repeated. Its adjoint is a sum over the repeated axes, so the two live together here.

mod binary;
mod fold;
mod layout;

pub use binary::{Binary, BinaryKernel, binary};
pub use fold::{Fold, Max, Sum, SumExp, fold};
pub use layout::{Layout, map};

use termwise_autograd::simd::Vector;
use termwise_autograd::{Array, Backend, Cpu, Scalar};

use crate::lanes::{self, Pointwise};

/// Repeating along axes and, the other way round, summing over them.
pub trait BroadcastKernel: Backend {
    /// `factor * x`, repeated to `shape`.
    fn broadcast_to(x: &Array<Self>, shape: &[usize], factor: f64) -> Array<Self>;

    /// `factor` times the sum of `x` over the axes along which `shape` would be repeated to give the
    /// shape of `x`. The result has shape `shape`.
    fn sum_to(x: &Array<Self>, shape: &[usize], factor: f64) -> Array<Self>;
}

/// `factor x`
#[derive(Clone, Copy)]
struct Times(f64);

impl Pointwise<1> for Times {
    #[inline(always)]
    fn at<V: Vector>(&self, [x]: [V; 1]) -> V {
        V::of(self.0) * x
    }
}

impl<T: Scalar> BroadcastKernel for Cpu<T> {
    fn broadcast_to(x: &Array<Self>, shape: &[usize], factor: f64) -> Array<Self> {
        if x.shape() == shape && factor == 1.0 {
            return x.clone();
        }
        Array::from_buffer(shape, map(shape, [(x.shape(), x.as_slice())], Times(factor)))
    }

    fn sum_to(x: &Array<Self>, shape: &[usize], factor: f64) -> Array<Self> {
        if x.shape() == shape && factor == 1.0 {
            return x.clone();
        }
        if x.len() == shape.iter().product::<usize>() {
            // Nothing is repeated: a scaled copy.
            return Array::from_buffer(shape, lanes::map(Times(factor), [x.as_slice()], 1));
        }
        let mut sums = fold(&Sum, x.as_slice(), x.shape(), shape, None);
        if factor != 1.0 {
            let factor = T::of(factor);
            sums.iter_mut().for_each(|sum| *sum *= factor);
        }
        Array::from_buffer(shape, sums)
    }
}

/// The common shape of two operands.
///
/// # Panics
/// If they do not broadcast; the message names `op` and both shapes.
#[track_caller]
pub fn common_shape(op: &str, a: &[usize], b: &[usize]) -> Vec<usize> {
    match crate::shape::broadcast(a, b) {
        Some(shape) => shape,
        None => {
            panic!("{op}: shapes {a:?} and {b:?} do not broadcast: an axis must be equal in both or 1 in one")
        }
    }
}

/// Checks that `from` broadcasts to exactly `to`.
///
/// # Panics
/// If it does not; the message names `op`, `what` and both shapes.
#[track_caller]
pub fn assert_broadcasts_to(op: &str, what: &str, from: &[usize], to: &[usize]) {
    if crate::shape::broadcast(from, to).as_deref() != Some(to) {
        panic!("{op}: {what} of shape {from:?} does not broadcast to {to:?}");
    }
}

#[cfg(test)]
mod tests;
