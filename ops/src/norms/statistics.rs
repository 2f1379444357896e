//! Mean and variance, computed so that a mean much larger than the spread costs no digits.

use termwise_autograd::Scalar;

use crate::sums::sum_pairs;

/// Mean and biased variance of all elements of the given slices; `(0, 0)` for no element.
///
/// Two passes: the second works on differences from the first pass's mean, and corrects for what
/// rounding left in that mean (Chan, Golub and LeVeque, "Algorithms for Computing the Sample
/// Variance", 1983). `mean(x^2) - mean(x)^2` would cancel to noise where the mean is large.
pub(super) fn mean_and_variance<'a, T: Scalar>(slices: impl Iterator<Item = &'a [T]> + Clone) -> (T, T) {
    let mut count = 0;
    let mut total = T::zero();
    for slice in slices.clone() {
        let [sum] = sum_pairs(slice, slice, &|x, _| [x]);
        count += slice.len();
        total += sum;
    }
    if count == 0 {
        return (T::zero(), T::zero());
    }
    let count = T::of(count as f64);
    let rough_mean = total / count;
    let (mut residue, mut squares) = (T::zero(), T::zero());
    for slice in slices {
        let [difference, square] = sum_pairs(slice, slice, &|x, _| {
            let d = x - rough_mean;
            [d, d * d]
        });
        residue += difference;
        squares += square;
    }
    let correction = residue / count;
    // Float::max would turn a NaN variance into 0.
    let variance = squares / count - correction * correction;
    (rough_mean + correction, if variance < T::zero() { T::zero() } else { variance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        // 1e6 + {0, 1, 2, 3} is exact in f32; its square is not.
        let x: Vec<f32> = (0..4000).map(|i| 1e6 + (i % 4) as f32).collect();
        let (mean, variance) = mean_and_variance(x.chunks(100));
        assert_eq!(mean, 1_000_001.5);
        assert!((variance - 1.25).abs() < 1e-5, "{variance}");
    }

    #[test]
    fn nan_is_not_hidden() {
        let (mean, variance) = mean_and_variance(std::iter::once(&[1.0, f64::NAN][..]));
        assert!(mean.is_nan() && variance.is_nan());
    }
}
