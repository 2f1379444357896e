//! The machinery of operations that only move elements: windows on an array, read out and written.

use termwise_autograd::{Array, Backend, Cpu, Scalar};

use crate::broadcast::Layout;
use crate::par;

/// A window on a row-major array: which of its elements, in which order.
///
/// Element `(i0, i1, ..)` of the window is element `offset + i0 strides[0] + i1 strides[1] + ..` of the
/// array. No element appears twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extents of the window.
    pub shape: Vec<usize>,
    /// Steps in the array.
    pub strides: Vec<usize>,
    /// Place of the first element.
    pub offset: usize,
}

impl Window {
    /// The whole of an array.
    pub fn whole(shape: &[usize]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        Window { shape: shape.to_vec(), strides, offset: 0 }
    }

    /// The window's elements `start`, `start + step`, .. (`len` of them) along `axis`.
    pub fn narrow(mut self, axis: usize, start: usize, len: usize, step: usize) -> Self {
        self.offset += start * self.strides[axis];
        self.strides[axis] *= step;
        self.shape[axis] = len;
        self
    }

    /// The window with its axes in the given order.
    pub fn permute(self, order: &[usize]) -> Self {
        Window {
            shape: order.iter().map(|&axis| self.shape[axis]).collect(),
            strides: order.iter().map(|&axis| self.strides[axis]).collect(),
            offset: self.offset,
        }
    }

    fn layout(&self) -> Layout<1> {
        Layout::from_axes(self.shape.iter().zip(&self.strides).map(|(&extent, &stride)| (extent, [stride])))
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Moving elements between an array and a window on an array.
pub trait StridedKernel: Backend {
    /// The elements of `x` that the window shows.
    fn read_window(x: &Array<Self>, window: &Window) -> Array<Self>;

    /// An array of shape `shape` that holds each of `parts` where its window lies and `fill`
    /// elsewhere. The windows do not overlap.
    fn write_windows(shape: &[usize], fill: f64, parts: &[(&Array<Self>, Window)]) -> Array<Self>;
}

/// Elements that one task copies.
const CHUNK: usize = 1 << 14;
/// Runs that are read side by side, and how far each goes before the next takes its turn.
const ABREAST: usize = 32;
const STRETCH: usize = 64;

impl<T: Scalar> StridedKernel for Cpu<T> {
    fn read_window(x: &Array<Self>, window: &Window) -> Array<Self> {
        let layout = window.layout();
        let ([step], run) = (layout.steps(), layout.run());
        let mut out = vec![T::zero(); window.len()];
        let from = |place: usize| &x.as_slice()[window.offset + place..];
        if step <= 1 {
            par::for_each_chunk(&mut out, CHUNK, 2 * CHUNK, |chunk, out| {
                let first = chunk * CHUNK;
                layout.for_each_run(first, out.len(), |position, len, [start]| {
                    out[position - first..][..len].copy_from_slice(&from(start)[..len]);
                });
            });
        } else {
            // Runs that jump through x: many of them abreast, so that a cache line once fetched
            // serves all the runs that pass through it, as they do in a transpose.
            par::for_each_chunk(&mut out, ABREAST * run, 2 * ABREAST * run, |chunk, out| {
                let start_of = |i: usize| layout.offsets((chunk * ABREAST + i) * run)[0];
                let starts: Vec<usize> = (0..out.len() / run).map(start_of).collect();
                for first in (0..run).step_by(STRETCH) {
                    for (out, start) in out.chunks_exact_mut(run).zip(&starts) {
                        let out = out[first..].iter_mut().take(STRETCH);
                        let elements = from(start + first * step).iter().step_by(step);
                        out.zip(elements).for_each(|(out, &v)| *out = v);
                    }
                }
            });
        }
        Array::host(&window.shape, out)
    }

    fn write_windows(shape: &[usize], fill: f64, parts: &[(&Array<Self>, Window)]) -> Array<Self> {
        let mut out = vec![T::of(fill); shape.iter().product()];
        for (part, window) in parts {
            let layout = window.layout();
            let [step] = layout.steps();
            layout.for_each_run(0, part.len(), |position, len, [start]| {
                let part = &part.as_slice()[position..][..len];
                let to = &mut out[window.offset + start..];
                if step == 1 {
                    to[..len].copy_from_slice(part);
                } else {
                    to.iter_mut().step_by(step.max(1)).zip(part).for_each(|(to, &v)| *to = v);
                }
            });
        }
        Array::host(shape, out)
    }
}
