//! The columns of the regular convolution: shifted copies of the input, and their transpose.

use std::ops::Range;

use ndarray::{ArrayView2, s};
use termwise_autograd::Scalar;

use super::Window;
use super::lowering::{Columns, sized};
use super::vector;
use crate::gemm::matrix;

/// `columns[(c, m), q] = x[c, q * stride + p_m]`, zero outside the image.
pub(crate) struct Patches<'a, T> {
    pub x: &'a [T],
    pub in_channels: usize,
    pub window: Window,
}

impl<T: Scalar> Columns<T> for Patches<'_, T> {
    fn columns<'a>(
        &'a self,
        n: usize,
        channels: Range<usize>,
        rows: Range<usize>,
        buffer: &'a mut Vec<T>,
    ) -> ArrayView2<'a, T> {
        let (window, pixels) = (&self.window, self.window.pixels());
        let x = &self.x[(n * self.in_channels + channels.start) * pixels..][..channels.len() * pixels];
        let width = rows.len() * window.output[1];
        if is_pointwise(window) {
            // A 1x1 kernel that visits every pixel: the input is the columns.
            return matrix(x, channels.len(), pixels)
                .slice_move(s![.., rows.start * window.output[1]..rows.end * window.output[1]]);
        }
        let height = channels.len() * window.taps();
        let columns = sized(buffer, height * width);
        for (c, columns) in columns.chunks_mut((window.taps() * width).max(1)).enumerate() {
            let plane = &x[c * pixels..][..pixels];
            for (tap, column) in columns.chunks_mut(width.max(1)).enumerate() {
                gather(window, plane, tap, &rows, column);
            }
        }
        matrix(columns, height, width)
    }
}

/// Whether the columns are the input itself.
pub(crate) fn is_pointwise(window: &Window) -> bool {
    window.kernel == [1; 2]
        && window.stride == [1; 2]
        && window.padding == [0; 2]
        && window.output == window.image
}

/// One row of columns: `column[q] = plane[q * stride + p_tap]`.
fn gather<T: Scalar>(window: &Window, plane: &[T], tap: usize, rows: &Range<usize>, column: &mut [T]) {
    let (i, j) = (tap / window.kernel[1], tap % window.kernel[1]);
    let (inside, stride, width) = (window.inside(1, j), window.stride[1], window.image[1]);
    for (oh, out) in rows.clone().zip(column.chunks_mut(window.output[1])) {
        let Some(y) = window.input(0, i, oh).filter(|_| !inside.is_empty()) else {
            out.fill(T::zero());
            continue;
        };
        let first = (inside.start * stride).wrapping_add_signed(window.origin(1, j));
        let row = &plane[y * width + first..(y + 1) * width];
        out[..inside.start].fill(T::zero());
        out[inside.end..].fill(T::zero());
        let out = &mut out[inside.clone()];
        if stride == 1 {
            out.copy_from_slice(&row[..out.len()]);
        } else {
            for (out, &x) in out.iter_mut().zip(row.iter().step_by(stride)) {
                *out = x;
            }
        }
    }
}

/// The transpose of making columns: adds each entry to the pixel that it was read from. `columns`
/// are those of the whole of `x`, a run of channels, for the output rows `rows`.
pub(crate) fn scatter_add<T: Scalar>(window: &Window, columns: &[T], rows: &Range<usize>, x: &mut [T]) {
    let width = rows.len() * window.output[1];
    let planes = x.chunks_mut(window.pixels().max(1)).zip(columns.chunks((window.taps() * width).max(1)));
    for (plane, columns) in planes {
        for (tap, column) in columns.chunks(width.max(1)).enumerate() {
            let (i, j) = (tap / window.kernel[1], tap % window.kernel[1]);
            let inside = window.inside(1, j);
            if inside.is_empty() {
                continue;
            }
            let first = (inside.start * window.stride[1]).wrapping_add_signed(window.origin(1, j));
            for (oh, from) in rows.clone().zip(column.chunks(window.output[1])) {
                let Some(y) = window.input(0, i, oh) else { continue };
                let row = &mut plane[y * window.image[1] + first..(y + 1) * window.image[1]];
                let from = &from[inside.clone()];
                if window.stride[1] == 1 {
                    vector::axpy(T::one(), from, row);
                } else {
                    for (x, &from) in row.iter_mut().step_by(window.stride[1]).zip(from) {
                        *x += from;
                    }
                }
            }
        }
    }
}
