//! Convolution on the host: direct, over a padded copy of the input, without columns.
//!
//! | what | how | where |
//! |---|---|---|
//! | forward, and the gradient in the input | implicit matrix product | [`implicit`], [`plan`], [`pack`], [`task`], [`tile`] |
//! | gradient in the weight | channels in the lanes | [`weight_gradient`], [`sweep`] |
//! | - of groups of few channels | positions in the lanes | [`weight_by_positions`] |
//! | 3x3 depthwise with stride 1, both ways | columns of vectors | [`depthwise`] |
//!
//! All of them read the [`grid`], which knows strides, dilations and paddings, so that nothing else has to. Work is
//! dealt to tasks by the shapes alone, and each element is summed in one order: the bits do not depend on
//! the number of threads.

mod axis;
mod depthwise;
mod grid;
mod implicit;
mod pack;
mod places;
mod plan;
mod sweep;
mod task;
#[cfg(test)]
mod tests;
mod tile;
mod weight_by_positions;
mod weight_gradient;

use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Isa, Vector};

use super::{ConvGeometry, vector};
use crate::par;

/// `y = W x + bias`. // (N, O, Ho, Wo)
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Buffer<T> {
    if depthwise::applies(geometry) {
        depthwise::forward(isa, geometry, x, weight, bias)
    } else {
        implicit::forward(isa, geometry, x, weight, bias)
    }
}

/// `dx = W^T dy`. // (N, C, H, W)
pub(super) fn input_gradient<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    weight: &[T],
    grad_output: &[T],
) -> Buffer<T> {
    implicit::input_gradient(isa, geometry, weight, grad_output)
}

/// `dW = sum_n dy x^T`. // (O, C / groups, kh, kw)
pub(super) fn weight_gradient<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    grad_output: &[T],
) -> Buffer<T> {
    if weight_by_positions::applies::<T>(isa, geometry) {
        weight_by_positions::weight_gradient(isa, geometry, x, grad_output)
    } else {
        weight_gradient::weight_gradient(isa, geometry, x, grad_output)
    }
}

/// `dx`, `dW` and `db` in one sweep, where that is possible. // (N, C, H, W), (O, C / groups, kh, kw), (O,)
pub(super) fn all_gradients<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    grad_output: &[T],
) -> Option<[Buffer<T>; 3]> {
    depthwise::applies(geometry).then(|| depthwise::backward(isa, geometry, x, weight, grad_output))
}

/// `db[o] = sum_{n, q} dy[n, o, q]`. // (O,)
pub(super) fn bias_gradient<T: Scalar>(
    grad_output: &[T],
    out_channels: usize,
    positions: usize,
) -> Buffer<T> {
    let batch = grad_output.len() / (out_channels * positions).max(1);
    let mut grad = Buffer::arbitrary(out_channels);
    par::for_each_chunk(&mut grad, 1, batch * positions, |o, grad| {
        let planes = (0..batch).map(|n| &grad_output[(n * out_channels + o) * positions..][..positions]);
        grad[0] = planes.map(vector::sum).sum();
    });
    grad
}

/// Multiplications that are worth a task.
const TASK_WORK: usize = 1 << 20;
/// Tasks there should be at least, where there is work for them.
const MIN_TASKS: usize = 8;

/// How many tasks so many multiplications should fall into at least.
fn tasks_wanted(work: usize) -> usize {
    (work / TASK_WORK).clamp(1, MIN_TASKS)
}

/// Calls `f(0)`, .., `f(tasks - 1)`, on several threads where the work in all is worth it.
fn for_each_task(tasks: usize, work: usize, f: impl Fn(usize) + Sync + Send) {
    if tasks_wanted(work) == 1 {
        (0..tasks).for_each(f);
    } else {
        (0..tasks).into_par_iter().for_each(f);
    }
}

/// Lanes of a vector of an instruction set.
fn lanes_on<T: Scalar>(isa: Isa) -> usize {
    match isa {
        Isa::Portable => T::Portable::LANES,
        Isa::Avx2 => T::Avx2::LANES,
        Isa::Avx512 => T::Avx512::LANES,
    }
}

/// Numbers that tasks on several threads write, each its own.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

// SAFETY: whoever writes through it vouches for it that no two tasks write the same element.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(all: &mut [T]) -> Self {
        Shared(all.as_mut_ptr())
    }

    /// The element at an index and those after it.
    ///
    /// # Safety
    /// The index must lie in the slice, or one past its end.
    unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller vouches for the index.
        unsafe { self.0.add(index) }
    }
}
