//! Arrays with the channels last, and pieces of arrays that tasks share.

use std::marker::PhantomData;

use ndarray::{ArrayViewMut2, Axis};
use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use crate::par;

/// Pixels that are turned around at a time.
const PIXELS: usize = 64;
/// Operations below which tasks stay on one thread.
const MIN_PARALLEL_WORK: usize = 1 << 17;

/// `planes` (channels, pixels) with the channels last, and one pixel of zeros after the others.
/// // (pixels + 1, channels)
pub(super) fn channels_last<T: Scalar>(isa: Isa, planes: &[T], channels: usize, pixels: usize) -> Buffer<T> {
    let mut turned = Buffer::arbitrary((pixels + 1) * channels);
    let (image, outside) = turned.split_at_mut(pixels * channels);
    outside.fill(T::zero());
    par::for_each_chunk(image, PIXELS * channels, 2 * PIXELS * channels, |chunk, into| {
        simd::run_on(isa, Turn { planes, pixels, first: chunk * PIXELS, into, channels });
    });
    turned
}

/// Some pixels of an image, channels last.
struct Turn<'a, T> {
    planes: &'a [T],
    pixels: usize,
    first: usize,
    into: &'a mut [T],
    channels: usize,
}

impl<T: Scalar> Kernel<T> for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let count = self.into.len() / self.channels;
        for channel in 0..self.channels {
            let plane = &self.planes[channel * self.pixels + self.first..][..count];
            for (into, &value) in self.into[channel..].iter_mut().step_by(self.channels).zip(plane) {
                *into = value;
            }
        }
    }
}

/// `sum += term`
pub(super) struct Add<'a, T> {
    pub sum: &'a mut [T],
    pub term: &'a [T],
}

impl<T: Scalar> Kernel<T> for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        for (sum, term) in self.sum.chunks_mut(V::LANES).zip(self.term.chunks(V::LANES)) {
            (V::from_slice(sum) + V::from_slice(term)).write_to(sum);
        }
    }
}

/// The columns of a matrix in blocks of `width`.
pub(super) fn split_columns<T>(matrix: ArrayViewMut2<T>, width: usize) -> Vec<ArrayViewMut2<T>> {
    let columns = matrix.ncols();
    let widths: Vec<usize> = (0..columns).step_by(width).map(|at| width.min(columns - at)).collect();
    split_at(matrix, &widths)
}

/// The columns of a matrix in blocks of these widths.
pub(super) fn split_at<'a, T>(matrix: ArrayViewMut2<'a, T>, widths: &[usize]) -> Vec<ArrayViewMut2<'a, T>> {
    let mut rest = matrix;
    let split = |&width: &usize| {
        let whole = std::mem::replace(&mut rest, ArrayViewMut2::from_shape((0, 0), &mut []).expect("empty"));
        let (block, tail) = whole.split_at(Axis(1), width);
        rest = tail;
        block
    };
    widths.iter().map(split).collect()
}

/// Runs `f` on each task, in parallel where there is enough work for it; results in order.
pub(super) fn each<A: Send, R: Send>(
    tasks: Vec<A>,
    work_per_task: usize,
    f: impl Fn(usize, A) -> R + Sync + Send,
) -> Vec<R> {
    if tasks.len() < 2 || tasks.len().saturating_mul(work_per_task) < MIN_PARALLEL_WORK {
        tasks.into_iter().enumerate().map(|(index, task)| f(index, task)).collect()
    } else {
        tasks.into_par_iter().enumerate().map(|(index, task)| f(index, task)).collect()
    }
}

/// Numbers that tasks write side by side, each where no other does.
pub(super) struct Shared<'a, T> {
    data: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: tasks reach the numbers through `row` alone, whose callers keep to their own.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(data: &'a mut [T]) -> Self {
        Shared { data: data.as_mut_ptr(), len: data.len(), owner: PhantomData }
    }

    /// Some numbers.
    ///
    /// # Safety
    /// While they are borrowed nobody else may borrow any of them.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn row(&self, from: usize, len: usize) -> &mut [T] {
        assert!(from + len <= self.len, "shared: out of range");
        // SAFETY: they lie within the data, and the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(from), len) }
    }
}
