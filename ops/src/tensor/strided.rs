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

/// A window whose last two axes, joined with those that continue them, are a matrix that lies
/// transposed in the array: rows a step of 1 apart, columns further.
struct Transposed {
    /// Extent and step of the axes before, outermost first.
    outer: Vec<(usize, usize)>,
    rows: usize,
    columns: usize,
    column_step: usize,
}

impl Transposed {
    fn of(window: &Window) -> Option<Self> {
        let mut axes: Vec<(usize, usize)> = Vec::new();
        for (&extent, &step) in window.shape.iter().zip(&window.strides).filter(|(extent, _)| **extent != 1) {
            match axes.last_mut() {
                Some((joined, inner)) if *inner == step * extent => {
                    (*joined, *inner) = (*joined * extent, step)
                }
                _ => axes.push((extent, step)),
            }
        }
        match axes.as_slice() {
            [outer @ .., (rows, 1), (columns, column_step)] => Some(Transposed {
                outer: outer.to_vec(),
                rows: *rows,
                columns: *columns,
                column_step: *column_step,
            }),
            _ => None,
        }
    }

    /// Place of the matrix at a position among the outer axes.
    fn start(&self, mut position: usize) -> usize {
        let mut start = 0;
        for (extent, step) in self.outer.iter().rev() {
            start += position % extent * step;
            position /= extent;
        }
        start
    }
}

/// Writes some whole rows of a transposed window, `first` the number of the first among all its rows.
struct ReadTransposed<'a, T> {
    from: &'a [T],
    window: &'a Transposed,
    first: usize,
    out: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for ReadTransposed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let &Transposed { rows, columns, column_step, .. } = self.window;
        let (mut row, mut out) = (self.first, self.out);
        while !out.is_empty() {
            // The rows up to the end of this matrix, or of what there is to write.
            let count = (rows - row % rows).min(out.len() / columns);
            let from = &self.from[self.window.start(row / rows) + row % rows..];
            let (into, rest) = out.split_at_mut(count * columns);
            assert!(from.len() >= (columns - 1) * column_step + count);
            // SAFETY: `columns` runs of `count` elements, `column_step` apart, were just checked to be there;
            // `into` holds `count` rows of `columns` elements.
            unsafe {
                simd::transpose::<V>([columns, count], from.as_ptr(), column_step, into.as_mut_ptr(), columns)
            }
            (row, out) = (row + count, rest);
        }
    }
}

impl<T: Scalar> StridedKernel for Cpu<T> {
    fn read_window(x: &Array<Self>, window: &Window) -> Array<Self> {
        let mut out = Buffer::arbitrary(window.len());
        if out.is_empty() {
            return Array::from_buffer(&window.shape, out);
        }
        let from = &x.as_slice()[window.offset..];
        if let Some(transposed) = Transposed::of(window) {
            let chunk_len = CHUNK.div_ceil(transposed.columns) * transposed.columns;
            par::for_each_chunk(&mut out, chunk_len, 2 * chunk_len, |chunk, out| {
                let first = chunk * chunk_len / transposed.columns;
                simd::run(ReadTransposed { from, window: &transposed, first, out });
            });
        } else {
            let layout = window.layout();
            let [step] = layout.steps();
            par::for_each_chunk(&mut out, CHUNK, 2 * CHUNK, |chunk, out| {
                let first = chunk * CHUNK;
                layout.for_each_run(first, out.len(), |position, len, [start]| {
                    let (out, from) = (&mut out[position - first..][..len], &from[start..]);
                    if step <= 1 {
                        out.copy_from_slice(&from[..len]);
                    } else {
                        out.iter_mut().zip(from.iter().step_by(step)).for_each(|(out, &v)| *out = v);
                    }
                });
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
