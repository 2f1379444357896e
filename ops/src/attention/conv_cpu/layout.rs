//! Arrays with the channels last, and pieces of arrays that tasks share.

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

/// The columns of a matrix in blocks of `width`.
pub(super) fn split_columns<T>(matrix: ArrayViewMut2<T>, width: usize) -> Vec<ArrayViewMut2<T>> {
    let (mut blocks, mut rest) = (Vec::new(), matrix);
    while rest.ncols() > width {
        let (block, tail) = rest.split_at(Axis(1), width);
        blocks.push(block);
        rest = tail;
    }
    blocks.push(rest);
    blocks
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
