//! Transposing matrices in registers.

use super::Vector;

/// Transposes a square of `V::LANES` rows, each a vector; rows beyond that many are left alone.
#[inline(always)]
pub fn transpose_lanes<V: Vector>(rows: &mut [V; 16]) {
    let n = V::LANES;
    // Interleaving the first half of the rows with the second moves the top bit of the row number to
    // the bottom of the lane number; after log2 n rounds row and lane numbers have changed places.
    let mut rounds = n.trailing_zeros();
    while rounds > 0 {
        let before = *rows;
        let mut i = 0;
        while i < n / 2 {
            (rows[2 * i], rows[2 * i + 1]) = before[i].interleave(before[i + n / 2]);
            i += 1;
        }
        rounds -= 1;
    }
}

/// `into[j][i] = from[i][j]` for a matrix of `rows` by `columns` whose rows start `from_stride` elements
/// apart; those of the transpose start `into_stride` apart.
///
/// # Safety
/// The elements of both matrices must be readable and writable, and the two must not overlap.
#[inline(always)]
pub unsafe fn transpose<V: Vector>(
    [rows, columns]: [usize; 2],
    from: *const V::Element,
    from_stride: usize,
    into: *mut V::Element,
    into_stride: usize,
) {
    let n = V::LANES;
    let mut i = 0;
    while i < rows {
        let height = n.min(rows - i);
        let mut j = 0;
        while j < columns {
            let width = n.min(columns - j);
            let mut block = [V::zero(); 16];
            // SAFETY: the block lies within the matrices; full vectors are taken only from full rows
            // of it, partial ones touch the elements it has.
            unsafe {
                let (from, into) = (from.add(i * from_stride + j), into.add(j * into_stride + i));
                if height == n && width == n {
                    for r in 0..n {
                        block[r] = V::load(from.add(r * from_stride));
                    }
                    transpose_lanes(&mut block);
                    for r in 0..n {
                        block[r].store(into.add(r * into_stride));
                    }
                } else {
                    for r in 0..n {
                        if r < height {
                            block[r] = V::load_part(from.add(r * from_stride), width);
                        }
                    }
                    transpose_lanes(&mut block);
                    for r in 0..n {
                        if r < width {
                            block[r].store_part(into.add(r * into_stride), height);
                        }
                    }
                }
            }
            j += n;
        }
        i += n;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kernel, available, run_on};
    use super::*;
    use crate::Scalar;

    struct Transpose<'a, T>([usize; 2], &'a [T], usize, &'a mut [T], usize);

    impl<T: Scalar> Kernel<T> for Transpose<'_, T> {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector<Element = T>>(self) {
            let Transpose([rows, columns], from, from_stride, into, into_stride) = self;
            assert!(from.len() + from_stride >= rows * from_stride + columns);
            assert!(into.len() + into_stride >= columns * into_stride + rows);
            // SAFETY: the slices just proved long enough.
            unsafe {
                transpose::<V>([rows, columns], from.as_ptr(), from_stride, into.as_mut_ptr(), into_stride);
            }
        }
    }

    fn check<T: Scalar>(rows: usize, columns: usize) {
        let (from_stride, into_stride) = (columns + 3, rows + 2);
        let from: Vec<T> = (0..rows * from_stride).map(|i| T::of(i as f64)).collect();
        let untouched = T::of(-1.0);
        for isa in available() {
            let mut into = vec![untouched; columns * into_stride];
            run_on(isa, Transpose([rows, columns], &from, from_stride, &mut into, into_stride));
            for (at, &found) in into.iter().enumerate() {
                let (j, i) = (at / into_stride, at % into_stride);
                let expected = if i < rows { from[i * from_stride + j] } else { untouched };
                assert_eq!(found, expected, "{isa}, {rows} by {columns}, at ({j}, {i})");
            }
        }
    }

    #[test]
    fn every_element_changes_its_place_and_no_other_is_touched() {
        for rows in [0, 1, 3, 8, 16, 19, 40] {
            for columns in [0, 1, 5, 8, 16, 17, 33] {
                check::<f32>(rows, columns);
                check::<f64>(rows, columns);
            }
        }
    }
}
