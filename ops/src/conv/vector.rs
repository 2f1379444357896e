//! Inner loops over contiguous numbers, written so that the compiler vectorises them.

use termwise_autograd::Scalar;

/// Partial sums kept side by side. Their number fixes the order of additions, so it is the same
/// for every element type and machine.
const LANES: usize = 16;

/// `y += a x`.
#[cfg(test)]
#[inline]
pub(crate) fn axpy<T: Scalar>(a: T, x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `sum_i a_i b_i` over the shorter length.
#[cfg(test)]
#[inline]
pub(crate) fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let mut lanes = [T::zero(); LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: T = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(&a, &b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.into_iter().sum::<T>() + tail
}

/// `sum_i a_i`.
pub(crate) fn sum<T: Scalar>(a: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let chunks = a.chunks_exact(LANES);
    let tail: T = chunks.remainder().iter().copied().sum();
    for a in chunks {
        for i in 0..LANES {
            lanes[i] += a[i];
        }
    }
    lanes.into_iter().sum::<T>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_reach_the_tail() {
        let a: Vec<f64> = (0..37).map(f64::from).collect();
        assert_eq!(sum(&a), 666.0);
        assert_eq!(dot(&a, &a), 16206.0);
        assert_eq!(dot(&a, &a[..3]), 5.0);
    }
}
