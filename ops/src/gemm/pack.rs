//! Operands copied into the order in which tiles read them.
//!
//! A panel holds some rows of A (or columns of B) for a block of `k`: all of them for the first step, then all
//! for the next, so that a tile reads it from front to back whatever the operand's strides.

use termwise_autograd::Scalar;
use termwise_autograd::simd::{Kernel, Vector};

use super::tile::Strided;

/// Side of the square that is transposed at a time.
const SQUARE: usize = 16;

/// Copies `steps x count` elements of an operand into panels of `width` a step, one after the other, the
/// last one padded with zeros.
///
/// `from` has a step of `k` a row: B as it is, A transposed.
pub(super) struct Pack<'a, T> {
    pub from: Strided<T>,
    pub steps: usize,
    pub count: usize,
    pub width: usize,
    pub panels: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Pack { from, steps, count, width, panels } = self;
        if !count.is_multiple_of(width) {
            let last = &mut panels[count / width * width * steps..];
            last.chunks_exact_mut(width).for_each(|row| row[count % width..].fill(T::zero()));
        }
        if from.cols != 1 {
            transpose(from, steps, count, width, panels);
        } else {
            for p in 0..steps {
                for x in (0..count).step_by(width) {
                    let columns = width.min(count - x);
                    // SAFETY: the operand holds `count` contiguous elements of step p.
                    let row = unsafe { std::slice::from_raw_parts(from.at(p, x).data, columns) };
                    panels[x * steps + p * width..][..columns].copy_from_slice(row);
                }
            }
        }
    }
}

/// An operand whose elements of one step lie apart: squares of it at a time, read along `k`.
#[inline(always)]
fn transpose<T: Scalar>(from: Strided<T>, steps: usize, count: usize, width: usize, panels: &mut [T]) {
    let mut square = [[T::zero(); SQUARE]; SQUARE];
    for panel in (0..count).step_by(width) {
        let end = count.min(panel + width);
        for x0 in (panel..end).step_by(SQUARE) {
            let columns = SQUARE.min(end - x0);
            for p0 in (0..steps).step_by(SQUARE) {
                let rows = SQUARE.min(steps - p0);
                for x in 0..columns {
                    for (p, row) in square.iter_mut().enumerate().take(rows) {
                        // SAFETY: (p0 + p, x0 + x) lies in the operand.
                        row[x] = unsafe { *from.at(p0 + p, x0 + x).data };
                    }
                }
                for (p, row) in square.iter().enumerate().take(rows) {
                    let to = panel * steps + (p0 + p) * width + (x0 - panel);
                    panels[to..to + columns].copy_from_slice(&row[..columns]);
                }
            }
        }
    }
}
