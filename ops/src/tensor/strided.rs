//! The machinery of operations that only move elements: windows on an array, read out and written.

use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
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
/// Rows that are read side by side, so that a cache line once fetched serves all that pass through it.
const ABREAST: usize = 64;
/// How far each goes before the next takes its turn.
const STRETCH: usize = 128;

impl<T: Scalar> StridedKernel for Cpu<T> {
    fn read_window(x: &Array<Self>, window: &Window) -> Array<Self> {
        let layout = &window.layout();
        let ([step], run) = (layout.steps(), layout.run());
        let mut out = Buffer::arbitrary(window.len());
        let x = &x.as_slice()[window.offset.min(x.len())..];
        if step <= 1 {
            par::for_each_chunk(&mut out, CHUNK, 4 * CHUNK, |chunk, out| {
                let first = chunk * CHUNK;
                layout.for_each_run(first, out.len(), |position, len, [start]| {
                    out[position - first..][..len].copy_from_slice(&x[start..][..len]);
                });
            });
        } else {
            par::for_each_chunk(&mut out, ABREAST * run, 4 * ABREAST * run, |chunk, out| {
                simd::run(Rows { x, layout, first: chunk * ABREAST, out });
            });
        }
        Array::from_buffer(&window.shape, out)
    }

    fn write_windows(shape: &[usize], fill: f64, parts: &[(&Array<Self>, Window)]) -> Array<Self> {
        let len = shape.iter().product();
        let mut out = Buffer::arbitrary(len);
        if parts.iter().map(|(part, _)| part.len()).sum::<usize>() < len {
            out.fill(T::of(fill));
        }
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
        Array::from_buffer(shape, out)
    }
}

/// Rows of a window, from the `first` on, whose elements lie apart in `x`.
///
/// Rows that start at neighbouring elements, as they do in a transpose, are taken together: squares of
/// neighbouring rows and columns are turned in registers.
struct Rows<'a, T> {
    x: &'a [T],
    layout: &'a Layout<1>,
    first: usize,
    out: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Rows { x, layout, first, out } = self;
        let ([step], run) = (layout.steps(), layout.run());
        let mut starts = [0; ABREAST];
        let starts = &mut starts[..out.len() / run];
        for (i, start) in starts.iter_mut().enumerate() {
            [*start] = layout.offsets((first + i) * run);
        }
        // How many rows start at neighbouring elements, counted from each.
        let mut neighbours = [1; ABREAST];
        for i in (1..starts.len()).rev() {
            if starts[i] == starts[i - 1] + 1 {
                neighbours[i - 1] = neighbours[i] + 1;
            }
        }
        for first in (0..run).step_by(STRETCH) {
            let stretch = first..run.min(first + STRETCH);
            let mut row = 0;
            while row < starts.len() {
                let mut column = stretch.start;
                if neighbours[row] >= V::LANES {
                    while column + V::LANES <= stretch.end {
                        let from = starts[row] + column * step;
                        let last = from + (V::LANES - 1) * step + V::LANES - 1;
                        assert!(last < x.len() && (row + V::LANES - 1) * run + column + V::LANES <= out.len());
                        // SAFETY: the last elements of both squares are inside their slices.
                        unsafe {
                            let into = out.as_mut_ptr().add(row * run + column);
                            V::transpose(x.as_ptr().add(from), step, into, run);
                        }
                        column += V::LANES;
                    }
                }
                let rows = if column > stretch.start { V::LANES } else { 1 };
                for row in (row..row + rows).filter(|_| column < stretch.end) {
                    let out = &mut out[row * run + column..row * run + stretch.end];
                    let elements = x[starts[row] + column * step..].iter().step_by(step);
                    out.iter_mut().zip(elements).for_each(|(out, &v)| *out = v);
                }
                row += rows;
            }
        }
    }
}
