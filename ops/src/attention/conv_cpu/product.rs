//! Matrix products of blocks that lie in cache: what the convolutions in this folder put between the
//! steps that have no product form.
//!
//! The operands are where another step has just written them, so nothing is packed: `a` is read one
//! number at a time, at any strides, and `b` in vectors along its rows.

use termwise_autograd::Scalar;
use termwise_autograd::simd::Vector;

/// Rows of `b` that are used before the next ones: as many as the second-level cache holds of a panel.
const DEPTH: usize = 512;

/// A matrix to read: element `(i, j)` lies at `i * row + j * col`.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, T> {
    /// The elements.
    pub data: &'a [T],
    /// Distance between rows.
    pub row: usize,
    /// Distance between columns.
    pub col: usize,
}

/// `n` rounded up to whole vectors.
#[inline(always)]
pub(super) fn whole<V: Vector>(n: usize) -> usize {
    n.next_multiple_of(V::LANES)
}

/// `c = a b`, or `c += a b` if `add`, for `a` (m, k), `b` (k, n), `c` (m, n).
///
/// Rows of `b` and `c` are `b_row` and `c_row` apart and are read and written up to the next whole vector
/// after `n`; what lies there in `b` ends up in the same columns of `c` only.
///
/// # Panics
/// If an operand is too short for that.
#[inline(always)]
pub(super) fn product<V: Vector>(
    [m, n, k]: [usize; 3],
    a: Strided<V::Element>,
    (b, b_row): (&[V::Element], usize),
    (c, c_row): (&mut [V::Element], usize),
    add: bool,
) {
    let width = whole::<V>(n);
    if m == 0 || n == 0 {
        return;
    }
    assert!(c_row >= width && c.len() >= (m - 1) * c_row + width, "product: c is too short");
    if k == 0 {
        if !add {
            c.chunks_mut(c_row).take(m).for_each(|row| row[..width].fill(V::Element::of(0.0)));
        }
        return;
    }
    assert!(b.len() >= (k - 1) * b_row + width, "product: b is too short");
    assert!(a.data.len() > (m - 1) * a.row + (k - 1) * a.col, "product: a is too short");
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        let mut col = 0;
        while col < width {
            let vectors = (width - col) / V::LANES;
            // SAFETY: the parts that start here were just checked to lie within the operands.
            let panel = unsafe {
                Panel {
                    a: a.data.as_ptr().add(from * a.col),
                    a_row: a.row,
                    a_col: a.col,
                    b: b.as_ptr().add(from * b_row + col),
                    b_row,
                    c: c.as_mut_ptr().add(col),
                    c_row,
                    depth,
                    add: add || from > 0,
                }
            };
            // SAFETY: m rows of `vectors` vectors are there.
            col += V::LANES
                * unsafe {
                    match (V::REGISTERS, vectors) {
                        (32.., 4..) => panel.rows::<V, 4>(m),
                        (_, 2..) => panel.rows::<V, 2>(m),
                        _ => panel.rows::<V, 1>(m),
                    }
                };
        }
    }
}

/// Some columns of a product.
struct Panel<T> {
    a: *const T,
    a_row: usize,
    a_col: usize,
    b: *const T,
    b_row: usize,
    c: *mut T,
    c_row: usize,
    depth: usize,
    add: bool,
}

impl<T: Scalar> Panel<T> {
    /// All `m` rows of `NV` vectors of columns; returns `NV`.
    #[inline(always)]
    unsafe fn rows<V: Vector<Element = T>, const NV: usize>(&self, m: usize) -> usize {
        let mut row = 0;
        // SAFETY: each tile lies within the m rows.
        unsafe {
            while m - row >= 6 {
                self.tile::<V, 6, NV>(row);
                row += 6;
            }
            if m - row >= 4 {
                self.tile::<V, 4, NV>(row);
                row += 4;
            }
            if m - row >= 2 {
                self.tile::<V, 2, NV>(row);
                row += 2;
            }
            if m > row {
                self.tile::<V, 1, NV>(row);
            }
        }
        NV
    }

    /// `MR` rows of `NV` vectors of columns, in registers.
    #[inline(always)]
    unsafe fn tile<V: Vector<Element = T>, const MR: usize, const NV: usize>(&self, row: usize) {
        let mut sums = [[V::zero(); NV]; MR];
        // SAFETY: the caller vouches for the rows, `product` for the columns.
        unsafe {
            let (mut a, mut b) = (self.a.add(row * self.a_row), self.b);
            for _ in 0..self.depth {
                let b_row: [V; NV] = std::array::from_fn(|v| V::load(b.add(v * V::LANES)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let a = V::splat(*a.add(i * self.a_row));
                    for (sum, &b) in sums.iter_mut().zip(&b_row) {
                        *sum = a.mul_add(b, *sum);
                    }
                }
                a = a.add(self.a_col);
                b = b.add(self.b_row);
            }
            for (i, sums) in sums.iter().enumerate() {
                let c = self.c.add((row + i) * self.c_row);
                for (v, &sum) in sums.iter().enumerate() {
                    let c = c.add(v * V::LANES);
                    (if self.add { sum + V::load(c) } else { sum }).store(c);
                }
            }
        }
    }
}
