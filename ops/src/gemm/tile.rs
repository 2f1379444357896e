//! The innermost loop of a matrix product: one tile of `C` in registers.
//!
//! `MR` rows by `NV` vectors of columns are accumulated over `k`; a step loads `NV` vectors of `B`, broadcasts
//! `MR` numbers of `A` and does `MR * NV` multiply-adds, so that loads never hold the arithmetic up.

use termwise_autograd::simd::Vector;

/// Where an operand's numbers lie: element `(i, j)` at `data + i * rows + j * cols`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<T> {
    pub data: *const T,
    pub rows: isize,
    pub cols: isize,
}

impl<T> Strided<T> {
    /// The part that starts at `(i, j)`.
    ///
    /// # Safety
    /// The position must lie in the operand, or one past its end.
    #[inline(always)]
    pub unsafe fn at(self, i: usize, j: usize) -> Self {
        // SAFETY: the caller vouches for the position.
        let data = unsafe { self.data.offset(i as isize * self.rows + j as isize * self.cols) };
        Strided { data, ..self }
    }
}

/// The matrix that is written: element `(i, j)` at `data + i * rows + j`.
#[derive(Clone, Copy)]
pub(crate) struct Output<T> {
    pub data: *mut T,
    pub rows: usize,
}

impl<T> Output<T> {
    /// The part that starts at `(i, j)`.
    ///
    /// # Safety
    /// The position must lie in the matrix, or one past its end.
    #[inline(always)]
    pub unsafe fn at(self, i: usize, j: usize) -> Self {
        // SAFETY: the caller vouches for the position.
        Output { data: unsafe { self.data.add(i * self.rows + j) }, ..self }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum AddTo<T> {
    /// Nothing: C is overwritten.
    Nothing,
    /// `beta C`.
    Output(T),
    /// A row that is the same for all rows of C: that of its first column.
    Row(*const T),
}

impl<T> AddTo<T> {
    /// What it is for the part of C that starts at column `j`.
    ///
    /// # Safety
    /// The column must lie in the matrix, or one past its end.
    #[inline(always)]
    pub unsafe fn at(self, j: usize) -> Self {
        match self {
            // SAFETY: the caller vouches for the column.
            AddTo::Row(row) => AddTo::Row(unsafe { row.add(j) }),
            other => other,
        }
    }
}

/// `C = alpha A B + ..` for one tile of `MR` rows and `columns` columns, at most `NV` vectors, of
/// which all but the last are full.
///
/// `a` is `MR x k` anywhere; `b` is `k x (NV * LANES)`, its columns contiguous.
///
/// # Safety
/// The operands must be readable in these extents (of the last vector of `b` only what `columns` covers,
/// where `PARTIAL_B`), `c` writable in `MR x columns`.
#[inline(always)]
pub(crate) unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const PARTIAL_B: bool>(
    k: usize,
    columns: usize,
    alpha: V::Element,
    a: Strided<V::Element>,
    b: Strided<V::Element>,
    add_to: AddTo<V::Element>,
    c: Output<V::Element>,
) {
    let mut sums = [[V::zero(); NV]; MR];
    let last = columns - (NV - 1) * V::LANES;
    let (mut a_data, mut b_data) = (a.data, b.data);
    for _ in 0..k {
        // SAFETY: step p of k reads row p of b and column p of a.
        unsafe {
            let mut b_row = [V::zero(); NV];
            for (v, b_vector) in b_row.iter_mut().enumerate() {
                *b_vector = if PARTIAL_B && v == NV - 1 {
                    V::load_part(b_data.add(v * V::LANES), last)
                } else {
                    V::load(b_data.add(v * V::LANES))
                };
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = V::splat(*a_data.offset(i as isize * a.rows));
                for (sum, &b) in sums.iter_mut().zip(&b_row) {
                    *sum = a.mul_add(b, *sum);
                }
            }
            a_data = a_data.offset(a.cols);
            b_data = b_data.offset(b.rows);
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let width = if v == NV - 1 { last } else { V::LANES };
            let product = sum * V::splat(alpha);
            // SAFETY: vector v of row i covers `width` columns of the tile, of C and of the row to add.
            unsafe {
                let into = c.data.add(i * c.rows + v * V::LANES);
                let out = match add_to {
                    AddTo::Nothing => product,
                    AddTo::Output(beta) => V::splat(beta).mul_add(read::<V>(into, width), product),
                    AddTo::Row(row) => read::<V>(row.add(v * V::LANES), width) + product,
                };
                if width == V::LANES { out.store(into) } else { out.store_part(into, width) }
            }
        }
    }
}

/// A vector of `width` numbers.
///
/// # Safety
/// They must be readable.
#[inline(always)]
unsafe fn read<V: Vector>(from: *const V::Element, width: usize) -> V {
    // SAFETY: the caller vouches for the numbers.
    unsafe { if width == V::LANES { V::load(from) } else { V::load_part(from, width) } }
}
