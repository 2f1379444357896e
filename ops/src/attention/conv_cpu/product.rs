//! Matrix products of blocks that lie in cache: what stands between the steps of these convolutions that
//! have no product form.
//!
//! The operands are where another step has just written them, so nothing is packed.

use termwise_autograd::Scalar;
use termwise_autograd::simd::Vector;

use crate::gemm::tile::{AddTo, Output, Strided, tile};

/// Steps of `k` that are summed before the next ones, so that a panel of `b` stays in cache.
const DEPTH: usize = 512;

/// A matrix to read: its elements, the distance between rows and that between columns.
pub(super) type Matrix<'a, T> = (&'a [T], usize, usize);

/// `c = a b`, or `c += a b` if `add`, for `a` (m, k), `b` (k, n), `c` (m, n).
///
/// The columns of `b` and `c` are contiguous; their rows are as far apart as the number beside them says.
///
/// # Panics
/// If an operand is too short.
#[inline(always)]
pub(super) fn product<T: Scalar, V: Vector<Element = T>>(
    [m, n, k]: [usize; 3],
    (a, a_row, a_col): Matrix<T>,
    (b, b_row): (&[T], usize),
    (c, c_row): (&mut [T], usize),
    add: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(c_row >= n && c.len() >= (m - 1) * c_row + n, "product: c is too short");
    if k == 0 {
        if !add {
            c.chunks_mut(c_row).take(m).for_each(|row| row[..n].fill(T::zero()));
        }
        return;
    }
    assert!(b.len() >= (k - 1) * b_row + n, "product: b is too short");
    assert!(a.len() > (m - 1) * a_row + (k - 1) * a_col, "product: a is too short");
    let a = Strided { data: a.as_ptr(), rows: a_row as isize, cols: a_col as isize };
    let b = Strided { data: b.as_ptr(), rows: b_row as isize, cols: 1 };
    let c = Output { data: c.as_mut_ptr(), rows: c_row };
    for from in (0..k).step_by(DEPTH) {
        let add_to = if add || from > 0 { AddTo::Output(T::one()) } else { AddTo::Nothing };
        let mut col = 0;
        while col < n {
            // SAFETY: the operands were just found to hold all rows and columns.
            let panel = unsafe {
                Panel {
                    depth: DEPTH.min(k - from),
                    a: a.at(0, from),
                    b: b.at(from, col),
                    add_to,
                    c: c.at(0, col),
                }
            };
            let rest = n - col;
            // SAFETY: m rows and `rest` columns are there, and each call takes no more.
            col += unsafe {
                match rest / V::LANES {
                    0 => panel.rows::<V, 1, true>(m, rest),
                    4.. if const { V::REGISTERS >= 32 } => panel.rows::<V, 4, false>(m, 4 * V::LANES),
                    2.. => panel.rows::<V, 2, false>(m, 2 * V::LANES),
                    _ => panel.rows::<V, 1, false>(m, V::LANES),
                }
            };
        }
    }
}

/// Some columns of a product.
struct Panel<T> {
    depth: usize,
    a: Strided<T>,
    b: Strided<T>,
    add_to: AddTo<T>,
    c: Output<T>,
}

impl<T: Scalar> Panel<T> {
    /// All `m` rows of `columns` columns, which are `NV` vectors; returns `columns`.
    ///
    /// # Safety
    /// The rows and columns must lie within the operands.
    #[inline(always)]
    unsafe fn rows<V: Vector<Element = T>, const NV: usize, const PARTIAL: bool>(
        &self,
        m: usize,
        columns: usize,
    ) -> usize {
        let mut row = 0;
        macro_rules! tiles {
            ($rows:literal) => {
                while m - row >= $rows {
                    let (a, c, add_to) = (self.a.at(row, 0), self.c.at(row, 0), self.add_to);
                    tile::<V, $rows, NV, PARTIAL>(self.depth, columns, T::one(), a, self.b, add_to, c);
                    row += $rows;
                }
            };
        }
        // SAFETY: these rows are there, the caller vouches for the columns.
        unsafe {
            tiles!(6);
            tiles!(4);
            tiles!(2);
            tiles!(1);
        }
        columns
    }
}
