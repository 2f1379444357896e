//! Mean and variance, computed so that a mean much larger than the spread costs no digits.

use termwise_autograd::Scalar;
use termwise_autograd::simd::Vector;

use crate::sums::{Itself, Sums, Terms, sum_pairs};

/// Mean and biased variance of all elements of the given slices; `(0, 0)` for no element.
///
/// Two passes: the second works on differences from the first pass's mean, and corrects for what
/// rounding left in that mean (Chan, Golub and LeVeque, "Algorithms for Computing the Sample
/// Variance", 1983). `mean(x^2) - mean(x)^2` would cancel to noise where the mean is large.
#[inline(always)]
pub(super) fn mean_and_variance<'a, V: Vector>(
    slices: impl Iterator<Item = &'a [V::Element]> + Clone,
) -> (V::Element, V::Element) {
    let (mut count, mut total) = (0, Sums::<V, 1>::new());
    for slice in slices.clone() {
        total.add(slice, slice, &Itself);
        count += slice.len();
    }
    let zero = V::Element::of(0.0);
    if count == 0 {
        return (zero, zero);
    }
    let count = V::Element::of(count as f64);
    let rough_mean = total.total()[0] / count;
    let mut differences = Sums::<V, 2>::new();
    for slice in slices {
        differences.add(slice, slice, &Differences(rough_mean));
    }
    corrected(rough_mean, differences.total(), count)
}

/// Mean and biased variance from a rough mean and the sums of the differences from it and of their squares.
#[inline(always)]
fn corrected<T: Scalar>(rough_mean: T, [residue, squares]: [T; 2], count: T) -> (T, T) {
    let correction = residue / count;
    // Float::max would turn a NaN variance into 0.
    let variance = squares / count - correction * correction;
    (rough_mean + correction, if variance < T::zero() { T::zero() } else { variance })
}

/// [`mean_and_variance`] of each row of `len` elements, into `mean` and `var`.
///
/// The passes go over all rows one after the other, so that no row waits for the sums of another.
#[inline(always)]
pub(super) fn of_rows<T: Scalar, V: Vector<Element = T>>(x: &[T], len: usize, mean: &mut [T], var: &mut [T]) {
    let count = T::of(len as f64);
    for (x, mean) in x.chunks_exact(len).zip(&mut *mean) {
        *mean = sum_pairs::<V, 1>(x, x, &Itself)[0] / count;
    }
    for (x, (mean, var)) in x.chunks_exact(len).zip(mean.iter_mut().zip(var)) {
        (*mean, *var) = corrected(*mean, sum_pairs::<V, 2>(x, x, &Differences(*mean)), count);
    }
}

/// The difference from a number, and its square.
struct Differences<T>(T);

impl<T: Scalar> Terms<T, 2> for Differences<T> {
    #[inline(always)]
    fn at<V: Vector<Element = T>>(&self, x: V, _: V) -> [V; 2] {
        let d = x - V::splat(self.0);
        [d, d * d]
    }
}

/// `g (x - mean)` and `g`.
pub(super) struct AgainstMean<T>(pub T);

impl<T: Scalar> Terms<T, 2> for AgainstMean<T> {
    #[inline(always)]
    fn at<V: Vector<Element = T>>(&self, x: V, g: V) -> [V; 2] {
        [g * (x - V::splat(self.0)), g]
    }
}

#[cfg(test)]
mod tests {
    use termwise_autograd::simd::{Kernel, available, run_on};

    use super::*;

    struct Statistics<'a, T>(&'a [T], usize);

    impl<T: Scalar> Kernel<T> for Statistics<'_, T> {
        type Output = (T, T);

        #[inline(always)]
        fn run<V: Vector<Element = T>>(self) -> (T, T) {
            mean_and_variance::<V>(self.0.chunks(self.1))
        }
    }

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        // 1e6 + {0, 1, 2, 3} is exact in f32; its square is not.
        let x: Vec<f32> = (0..4000).map(|i| 1e6 + (i % 4) as f32).collect();
        for isa in available() {
            let (mean, variance) = run_on(isa, Statistics(&x, 100));
            assert_eq!(mean, 1_000_001.5);
            assert!((variance - 1.25).abs() < 1e-5, "{variance} on {isa}");
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        for isa in available() {
            let (mean, variance) = run_on(isa, Statistics(&[1.0, f64::NAN], 2));
            assert!(mean.is_nan() && variance.is_nan());
        }
    }
}
