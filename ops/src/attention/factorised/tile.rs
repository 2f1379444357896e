//! The register tile that every product of the factorised forms is made of.

use termwise_autograd::simd::Vector;

/// Most rows of a tile two vectors wide: its accumulators, the two vectors and one factor are in registers.
pub(super) const fn max_rows<V: Vector>() -> usize {
    (V::REGISTERS - 4) / 2
}

/// Cuts `total` rows into as few tiles as possible, of as equal heights as possible: `(start, rows)`.
#[inline(always)]
pub(super) fn tile_rows<V: Vector>(tile: usize, total: usize) -> (usize, usize) {
    let tiles = tile_count::<V>(total);
    let start = tile * total / tiles;
    (start, (tile + 1) * total / tiles - start)
}

/// Number of tiles of [`tile_rows`].
#[inline(always)]
pub(super) fn tile_count<V: Vector>(total: usize) -> usize {
    total.div_ceil(max_rows::<V>())
}

/// A matrix whose entries are read one at a time: where it starts, and how far apart rows and columns
/// are.
#[derive(Clone, Copy)]
pub(super) struct Strided<E> {
    pub at: *const E,
    pub row: usize,
    pub column: usize,
}

/// `sum_k a[r, k] b[k, ..]` for `R` rows and `W` vectors.
///
/// # Safety
/// `k` columns of `R` rows of `a` and `k` rows of `W` vectors of `b`, `b_row` elements apart, must be
/// readable.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const R: usize, const W: usize>(
    k: usize,
    a: Strided<V::Element>,
    b: *const V::Element,
    b_row: usize,
) -> [[V; W]; R] {
    let mut sums = [[V::zero(); W]; R];
    let (mut a_at, mut b_at) = (a.at, b);
    for _ in 0..k {
        // SAFETY: the caller vouches for the operands; the pointers advance one column and one row.
        unsafe {
            let mut vectors = [V::zero(); W];
            for w in 0..W {
                vectors[w] = V::load(b_at.add(w * V::LANES));
            }
            for r in 0..R {
                let factor = V::splat(*a_at.add(r * a.row));
                for w in 0..W {
                    sums[r][w] = factor.mul_add(vectors[w], sums[r][w]);
                }
            }
            a_at = a_at.wrapping_add(a.column);
            b_at = b_at.wrapping_add(b_row);
        }
    }
    sums
}

/// Runs `$body` with the constant `$R` equal to `$rows`, which is at most [`max_rows`].
macro_rules! with_rows {
    ($V:ty, $rows:expr, $R:ident => $body:expr) => {
        with_rows!(@arms $V, $rows, $R, $body, [1 2] [3 4 5 6] [7 8 9 10 11 12 13 14])
    };
    (@arms $V:ty, $rows:expr, $R:ident, $body:expr, [$($small:literal)*] [$($middle:literal)*] [$($large:literal)*]) => {
        match $rows {
            $($small => { const $R: usize = $small; $body })*
            $($middle if <$V>::REGISTERS >= 16 => { const $R: usize = $middle; $body })*
            $($large if <$V>::REGISTERS >= 32 => { const $R: usize = $large; $body })*
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}
pub(super) use with_rows;

#[cfg(test)]
mod tests {
    use super::*;
    use termwise_autograd::Scalar;
    use termwise_autograd::simd::{Kernel, available, run_on};

    struct Check;

    impl<T: Scalar> Kernel<T> for Check {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector<Element = T>>(self) {
            for total in 1..100 {
                let mut next = 0;
                for t in 0..tile_count::<V>(total) {
                    let (start, rows) = tile_rows::<V>(t, total);
                    assert_eq!(start, next, "tile {t} of {total} rows");
                    assert!((1..=max_rows::<V>()).contains(&rows), "tile {t} of {total} rows has {rows}");
                    next = start + rows;
                }
                assert_eq!(next, total);
            }
            for rows in 1..=max_rows::<V>() {
                for k in [0, 1, 7] {
                    let a: Vec<T> = (0..rows * k).map(|i| T::of((i * 7 % 11) as f64 - 5.0)).collect();
                    let b: Vec<T> = (0..k * 2 * V::LANES).map(|i| T::of((i * 5 % 13) as f64 - 6.0)).collect();
                    let strided = Strided { at: a.as_ptr(), row: k, column: 1 };
                    let mut found = vec![T::zero(); rows * 2 * V::LANES];
                    with_rows!(V, rows, R => {
                        // SAFETY: the operands are as long as the shape says.
                        let sums = unsafe { tile::<V, R, 2>(k, strided, b.as_ptr(), 2 * V::LANES) };
                        for (sums, found) in sums.iter().flatten().zip(found.chunks_mut(V::LANES)) {
                            sums.write_to(found);
                        }
                    });
                    for (at, &found) in found.iter().enumerate() {
                        let (r, lane) = (at / (2 * V::LANES), at % (2 * V::LANES));
                        let expected: T = (0..k).map(|k_| a[r * k + k_] * b[k_ * 2 * V::LANES + lane]).sum();
                        assert_eq!(found, expected, "{rows} rows, sum of {k}, at ({r}, {lane})");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_cover_all_rows_once_and_each_is_a_matrix_product_at_every_height() {
        for isa in available() {
            run_on::<f32, _>(isa, Check);
            run_on::<f64, _>(isa, Check);
        }
    }
}
