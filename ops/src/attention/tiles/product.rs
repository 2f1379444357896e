//! Products of tiles: one register tile, and the loops over it.
//!
//! Every product of the algorithm is `C += A B` with `A` read number by number at any strides, so that it may be
//! transposed or skewed, and `B` and `C` read vector by vector. What a tile starts from and what becomes of
//! it is up to a [`Sweep`]: the bias before, the exponential after, without a pass over memory for either.

use termwise_autograd::simd::Vector;

/// Numbers of `A`: element `(i, p)` at `data + i * row + p * step`.
#[derive(Clone, Copy)]
pub(super) struct Left<T> {
    pub data: *const T,
    pub row: isize,
    pub step: isize,
}

/// Rows of `B`: element `(p, j)` at `data + p * row + j`.
#[derive(Clone, Copy)]
pub(super) struct Right<T> {
    pub data: *const T,
    pub row: usize,
}

/// What the accumulators of a product start from and where they go.
pub(super) trait Sweep<V: Vector> {
    /// What the rows of a column of vectors have in common.
    type Column: Copy;

    /// The column of vectors that starts at column `j`.
    ///
    /// # Safety
    /// The column lies within the sweep, which its maker vouched for.
    unsafe fn column(&self, j: usize) -> Self::Column;

    /// The vector that row `i` of a column starts from.
    ///
    /// # Safety
    /// The row lies within the sweep.
    unsafe fn start(&self, i: usize, column: Self::Column) -> V;

    /// Takes the vectors of row `i` from column `j` on.
    ///
    /// # Safety
    /// Row and columns lie within the sweep.
    unsafe fn finish<const N: usize>(&mut self, i: usize, j: usize, values: [V; N]);
}

/// `sweep.finish(i, j, sweep.start(i, j) + sum_p A(i, p) B(p, j))` for `rows` rows, a multiple of 4, and the
/// columns `columns`, multiples of the lanes.
///
/// # Safety
/// `A` must be readable in `rows x depth`, `B` in `depth x columns`, and the sweep allow all rows and columns.
#[inline(always)]
pub(super) unsafe fn sweep<V: Vector, S: Sweep<V>>(
    rows: usize,
    columns: std::ops::Range<usize>,
    depth: usize,
    a: Left<V::Element>,
    b: Right<V::Element>,
    sweep: &mut S,
) {
    debug_assert!(rows.is_multiple_of(4) && columns.len().is_multiple_of(V::LANES));
    let mut j = columns.start;
    // SAFETY: the columns j .. j + N * LANES lie within the sweep's.
    unsafe {
        if V::REGISTERS >= 32 {
            while j + 4 * V::LANES <= columns.end {
                panel::<V, S, 4, 4>(rows, j, depth, a, b, sweep);
                j += 4 * V::LANES;
            }
        }
        while j + 2 * V::LANES <= columns.end {
            if V::REGISTERS >= 32 && rows.is_multiple_of(8) {
                panel::<V, S, 8, 2>(rows, j, depth, a, b, sweep);
            } else if V::REGISTERS >= 16 {
                panel::<V, S, 4, 2>(rows, j, depth, a, b, sweep);
            } else {
                panel::<V, S, 2, 2>(rows, j, depth, a, b, sweep);
            }
            j += 2 * V::LANES;
        }
        if j < columns.end {
            if V::REGISTERS >= 16 && rows.is_multiple_of(8) {
                panel::<V, S, 8, 1>(rows, j, depth, a, b, sweep);
            } else {
                panel::<V, S, 4, 1>(rows, j, depth, a, b, sweep);
            }
        }
    }
}

/// [`sweep`] over one panel of `N` vectors, `M` rows at a time.
///
/// # Safety
/// As for [`sweep`].
#[inline(always)]
unsafe fn panel<V: Vector, S: Sweep<V>, const M: usize, const N: usize>(
    rows: usize,
    j: usize,
    depth: usize,
    a: Left<V::Element>,
    b: Right<V::Element>,
    sweep: &mut S,
) {
    // SAFETY: the caller vouches for the columns j .. j + N * LANES.
    let columns: [S::Column; N] = std::array::from_fn(|v| unsafe { sweep.column(j + v * V::LANES) });
    for i in (0..rows).step_by(M) {
        // SAFETY: the caller vouches for rows i .. i + M and those columns.
        unsafe {
            let mut sums = [[V::zero(); N]; M];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = sweep.start(i + r, column);
                }
            }
            let (mut a_data, mut b_data) = (a.data.offset(i as isize * a.row), b.data.add(j));
            for _ in 0..depth {
                let mut b_row = [V::zero(); N];
                for (v, b_vector) in b_row.iter_mut().enumerate() {
                    *b_vector = V::load(b_data.add(v * V::LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let a = V::splat(*a_data.offset(r as isize * a.row));
                    for (sum, &b) in sums.iter_mut().zip(&b_row) {
                        *sum = a.mul_add(b, *sum);
                    }
                }
                a_data = a_data.offset(a.step);
                b_data = b_data.add(b.row);
            }
            for (r, &sums) in sums.iter().enumerate() {
                sweep.finish(i + r, j, sums);
            }
        }
    }
}

/// `C += A B`, or `C = A B`.
pub(super) struct Accumulate<T> {
    pub into: *mut T,
    pub row: usize,
    pub overwrite: bool,
}

impl<V: Vector> Sweep<V> for Accumulate<V::Element> {
    type Column = usize;

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> usize {
        j
    }

    #[inline(always)]
    unsafe fn start(&self, i: usize, j: usize) -> V {
        if self.overwrite {
            return V::zero();
        }
        // SAFETY: the maker vouched for the rows and columns of the sweep.
        unsafe { V::load(self.into.add(i * self.row + j)) }
    }

    #[inline(always)]
    unsafe fn finish<const N: usize>(&mut self, i: usize, j: usize, values: [V; N]) {
        for (v, value) in values.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { value.store(self.into.add(i * self.row + j + v * V::LANES)) }
        }
    }
}

/// `C(i, c) += A(i, .) * B(c, .)` lane by lane over `length` numbers, a multiple of the lanes: the sum over the
/// lanes of each vector of `C` is the product `A B^T`. For `rows` rows and `channels` of `B`, multiples of 4.
///
/// Row `i` of `A` starts at `a.data + i * a.row`; `C` holds one vector for each row and channel.
///
/// # Safety
/// The operands must be readable and `into` writable in these extents.
#[inline(always)]
pub(super) unsafe fn accumulate_lanes<V: Vector>(
    rows: usize,
    channels: usize,
    length: usize,
    a: Left<V::Element>,
    b: Right<V::Element>,
    into: *mut V::Element,
) {
    // SAFETY: the caller vouches for the extents.
    unsafe {
        if V::REGISTERS >= 32 {
            lanes::<V, 4, 4>(rows, channels, length, a, b, into);
        } else if V::REGISTERS >= 16 {
            lanes::<V, 2, 4>(rows, channels, length, a, b, into);
        } else {
            lanes::<V, 2, 2>(rows, channels, length, a, b, into);
        }
    }
}

/// [`accumulate_lanes`] in tiles of `M` rows and `N` channels.
///
/// # Safety
/// As for [`accumulate_lanes`].
#[inline(always)]
unsafe fn lanes<V: Vector, const M: usize, const N: usize>(
    rows: usize,
    channels: usize,
    length: usize,
    a: Left<V::Element>,
    b: Right<V::Element>,
    into: *mut V::Element,
) {
    for c in (0..channels).step_by(N) {
        for i in (0..rows).step_by(M) {
            // SAFETY: rows i .. i + M and channels c .. c + N lie within the operands.
            unsafe {
                let mut sums = [[V::zero(); N]; M];
                let at = |r: usize, v: usize| into.add(((i + r) * channels + c + v) * V::LANES);
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(at(r, v));
                    }
                }
                let (a_data, b_data) = (a.data.offset(i as isize * a.row), b.data.add(c * b.row));
                for j in (0..length).step_by(V::LANES) {
                    let mut b_row = [V::zero(); N];
                    for (v, b_vector) in b_row.iter_mut().enumerate() {
                        *b_vector = V::load(b_data.add(v * b.row + j));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let a = V::load(a_data.offset(r as isize * a.row).add(j));
                        for (sum, &b) in sums.iter_mut().zip(&b_row) {
                            *sum = a.mul_add(b, *sum);
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        sum.store(at(r, v));
                    }
                }
            }
        }
    }
}
