//! Sums along the rows and columns of an image of slopes: gradients of `x(q, column) + y(q, row)`.

use std::ops::Range;

use termwise_autograd::simd::{Lanes, Vector};

use super::bias_gradient::Slopes;
use super::plan::BLOCK;

/// For a matrix of `rows` by `width`, a multiple of the lanes: adds the sum of its rows to `x` and the sum of
/// each row to `y`.
///
/// # Safety
/// All must be readable and the sums writable.
#[inline(always)]
pub(super) unsafe fn add_rows<V: Vector>(
    from: *const V::Element,
    rows: usize,
    width: usize,
    x: *mut V::Element,
    y: *mut V::Element,
) {
    // SAFETY: the caller's.
    unsafe {
        for j in (0..width).step_by(V::LANES) {
            let mut sum = V::load(x.add(j));
            for r in 0..rows {
                sum += V::load(from.add(r * width + j));
            }
            sum.store(x.add(j));
        }
        for r in 0..rows {
            let mut sum = V::zero();
            for j in (0..width).step_by(V::LANES) {
                sum += V::load(from.add(r * width + j));
            }
            *y.add(r) += sum.sum();
        }
    }
}

/// Lines of sums: those of query `i` start at `x + i * line[0]` and `y + i * line[1]`.
#[derive(Clone, Copy)]
pub(super) struct Lines<T> {
    pub x: *mut T,
    /// From the first row on that the slopes have a part in.
    pub y: *mut T,
    pub line: [usize; 2],
}

/// For the slopes of up to [`BLOCK`] queries and the keys `keys`, counted from the start of a row of `columns`, at
/// least one vector: adds the sums over rows to `x`, of which the lanes past the last column are to be added to the
/// first ones, and the sums over columns to `y`. Vector after vector for all queries, so that no sum is read right
/// after it was written.
///
/// # Safety
/// There must be whole vectors of slopes, and the lines must reach one vector beyond columns and rows.
#[inline(always)]
pub(super) unsafe fn add_spanning<V: Vector>(
    slopes: Slopes<V::Element>,
    queries: usize,
    keys: Range<usize>,
    columns: usize,
    lines: Lines<V::Element>,
) {
    let (mut row, mut rest) = ([V::zero(); BLOCK], [V::zero(); BLOCK]);
    let (mut y, mut at) = (lines.y, keys.start);
    for j in (0..keys.len()).step_by(V::LANES) {
        // Lanes of the present row; the others are of the next.
        let count = (columns - at).min(V::LANES);
        let ends = at + V::LANES >= columns;
        // SAFETY: the caller's.
        unsafe {
            for i in 0..queries {
                let slope = V::load(slopes.data.add(i * slopes.row + j));
                let x = lines.x.add(i * lines.line[0] + at);
                (V::load(x) + slope).store(x);
                if ends {
                    row[i] += slope.with_rest(count, V::zero());
                    rest[i] = V::zero().with_rest(count, slope);
                } else {
                    row[i] += slope;
                }
            }
            at += V::LANES;
            if ends {
                add_sums(&row, queries, y, lines.line[1]);
                (y, at, row) = (y.add(1), at - columns, rest);
            }
        }
    }
    if at > 0 {
        // SAFETY: the caller's; the row is one that has keys.
        unsafe { add_sums(&row, queries, y, lines.line[1]) };
    }
}

/// Adds the sum of the lanes of vector `i` to `into[i * line]`.
///
/// # Safety
/// `count` of these, at most [`BLOCK`], must be writable.
#[inline(always)]
unsafe fn add_sums<V: Vector>(vectors: &[V; BLOCK], count: usize, into: *mut V::Element, line: usize) {
    for first in (0..count).step_by(V::LANES) {
        let mut sums = Lanes::of(V::sums(&vectors[first..]));
        for (i, &mut sum) in sums.as_mut_slice().iter_mut().enumerate().take(count - first) {
            // SAFETY: the caller's.
            unsafe { *into.add((first + i) * line) += sum };
        }
    }
}
