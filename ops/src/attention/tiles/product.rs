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

/// Sums that are kept a lane a key, where `lanes`, to numbers; or copies numbers.
#[inline(always)]
pub(super) fn collapse<V: Vector>(from: &[V::Element], lanes: bool, into: &mut [V::Element]) {
    if lanes {
        for (vector, into) in from.chunks_exact(V::LANES).zip(into) {
            *into = V::from_slice(vector).sum();
        }
    } else {
        into.copy_from_slice(&from[..into.len()]);
    }
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Scalar;
    use termwise_autograd::simd::{Kernel, available, run_on};

    use super::*;

    /// Some numbers, small and whole, so that sums are exact in any order.
    fn numbers<T: Scalar>(count: usize) -> Vec<T> {
        (0..count).map(|i| T::of((i * 7 % 11) as f64 - 5.0)).collect()
    }

    struct Products {
        rows: usize,
        /// In cache lines.
        columns: usize,
        depth: usize,
    }

    impl<T: Scalar> Kernel<T> for Products {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector<Element = T>>(self) {
            let Products { rows, columns, depth } = self;
            // As many columns as vectors would be in the widest registers, so that every remainder occurs.
            let columns = columns * V::LANES;
            let (skip, width) = (V::LANES, columns + 3 * V::LANES);
            let (a, b) = (numbers::<T>(rows * (depth + 3)), numbers::<T>(depth * width + width));
            let (row, step) = (depth as isize + 3, 1);
            // A as it is and transposed, B as it is and skewed.
            for (row, step, skew) in [(row, step, 0), (step, rows as isize, 0), (row, step, 1)] {
                for overwrite in [true, false] {
                    let mut c = numbers::<T>(rows * width);
                    let before = c.clone();
                    let mut sink = Accumulate { into: c.as_mut_ptr(), row: width, overwrite };
                    let left = Left { data: a.as_ptr(), row, step };
                    let right = Right { data: b.as_ptr(), row: width - skew };
                    // SAFETY: all operands reach as far.
                    unsafe { sweep::<V, _>(rows, skip..skip + columns, depth, left, right, &mut sink) };
                    for i in 0..rows {
                        for j in 0..width {
                            let start = if overwrite { T::zero() } else { before[i * width + j] };
                            let term = |p: usize| {
                                a[i * row as usize + p * step as usize] * b[p * (width - skew) + j]
                            };
                            let inside = (skip..skip + columns).contains(&j);
                            let sum = (0..depth).fold(start, |sum, p| sum + term(p));
                            let expected = if inside { sum } else { before[i * width + j] };
                            assert_eq!(
                                c[i * width + j],
                                expected,
                                "{rows} by {columns}, {depth}: ({i}, {j})"
                            );
                        }
                    }
                }
            }
            // Lane by lane.
            let (channels, length) = (depth.next_multiple_of(4), columns);
            let (a, b) = (numbers::<T>(rows * width), numbers::<T>(channels * width));
            let mut c = numbers::<T>(rows * channels * V::LANES);
            let before = c.clone();
            let left = Left { data: a.as_ptr(), row: width as isize, step: 1 };
            let right = Right { data: b.as_ptr(), row: width };
            // SAFETY: all operands reach as far.
            unsafe { accumulate_lanes::<V>(rows, channels, length, left, right, c.as_mut_ptr()) };
            for (at, &found) in c.iter().enumerate() {
                let (i, channel, lane) = (at / V::LANES / channels, at / V::LANES % channels, at % V::LANES);
                let terms =
                    (lane..length).step_by(V::LANES).map(|j| a[i * width + j] * b[channel * width + j]);
                assert_eq!(found, terms.fold(before[at], |sum, x| sum + x), "{rows}, {length}: {at}");
            }
            let mut sums = vec![T::zero(); channels];
            collapse::<V>(&c[..channels * V::LANES], true, &mut sums);
            for (sum, lanes) in sums.iter().zip(c.chunks(V::LANES)) {
                assert_eq!(*sum, lanes.iter().copied().sum::<T>());
            }
        }
    }

    #[test]
    fn products_agree_with_loops_on_every_instruction_set() {
        for isa in available() {
            for rows in [4, 8, 12, 16] {
                for columns in 0..8 {
                    for depth in [0, 1, 2, 5, 8, 17] {
                        run_on::<f32, _>(isa, Products { rows, columns, depth });
                        run_on::<f64, _>(isa, Products { rows, columns, depth });
                    }
                }
            }
        }
    }
}
