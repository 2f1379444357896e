//! Sums over slices: fast, accurate, in one order whatever the number of threads.

use std::mem::MaybeUninit;

use termwise_autograd::Scalar;
use termwise_autograd::simd::{self, Kernel, Vector};

/// `K` numbers made of each pair of elements, to be summed up.
pub(crate) trait Terms<T: Scalar, const K: usize> {
    /// The terms in each lane. Must be marked `#[inline(always)]`.
    fn at<V: Vector<Element = T>>(&self, x: V, y: V) -> [V; K];
}

/// The element of the first slice itself.
pub(crate) struct Itself;

impl<T: Scalar> Terms<T, 1> for Itself {
    #[inline(always)]
    fn at<V: Vector<Element = T>>(&self, x: V, _: V) -> [V; 1] {
        [x]
    }
}

/// Vectors in a run. They are added one after the other, runs in pairs.
const RUN: usize = 128;

/// Sums in every lane whose rounding errors grow with the logarithm of the number of terms: runs of
/// vectors are added up like the digits of a binary counter.
pub(crate) struct Sums<V, const K: usize> {
    /// Sum of `2^level` runs, there where that bit of `count` is set.
    levels: [MaybeUninit<[V; K]>; usize::BITS as usize],
    count: usize,
}

impl<V: Vector, const K: usize> Sums<V, K> {
    /// No terms yet.
    #[inline(always)]
    pub fn new() -> Self {
        Sums { levels: [const { MaybeUninit::uninit() }; usize::BITS as usize], count: 0 }
    }

    /// Adds the sums of one more run.
    #[inline(always)]
    pub fn push(&mut self, mut run: [V; K]) {
        let mut level = 0;
        while self.count >> level & 1 == 1 {
            // SAFETY: the bit is set, so the level was written.
            let other = unsafe { self.levels[level].assume_init() };
            for k in 0..K {
                run[k] = other[k] + run[k];
            }
            level += 1;
        }
        self.levels[level].write(run);
        self.count += 1;
    }

    /// Adds the terms of each pair of elements of two slices of one length.
    #[inline(always)]
    pub fn add(&mut self, x: &[V::Element], y: &[V::Element], terms: &impl Terms<V::Element, K>) {
        for (x, y) in x.chunks(RUN * V::LANES).zip(y.chunks(RUN * V::LANES)) {
            self.push(sum_run(x, y, terms));
        }
    }

    /// The sums over all lanes.
    #[inline(always)]
    pub fn total(&self) -> [V::Element; K] {
        let mut total = [V::zero(); K];
        let mut rest = self.count;
        while rest != 0 {
            // SAFETY: the bit is set, so the level was written.
            let level = unsafe { self.levels[rest.trailing_zeros() as usize].assume_init() };
            for k in 0..K {
                total[k] += level[k];
            }
            rest &= rest - 1;
        }
        total.map(V::sum)
    }
}

/// The terms of each pair of elements of two slices of one length, which is at most a run, in every lane.
#[inline(always)]
fn sum_run<V: Vector, const K: usize>(
    x: &[V::Element],
    y: &[V::Element],
    terms: &impl Terms<V::Element, K>,
) -> [V; K] {
    // Running sums side by side hide the latency of an addition.
    let mut sums = [[V::zero(); K]; 4];
    let (mut xs, mut ys) = (x.chunks_exact(4 * V::LANES), y[..x.len()].chunks_exact(4 * V::LANES));
    for (x, y) in (&mut xs).zip(&mut ys) {
        for (sums, (x, y)) in sums.iter_mut().zip(x.chunks_exact(V::LANES).zip(y.chunks_exact(V::LANES))) {
            let terms = terms.at(V::from_slice(x), V::from_slice(y));
            for k in 0..K {
                sums[k] += terms[k];
            }
        }
    }
    let rest = xs.remainder().chunks(V::LANES).zip(ys.remainder().chunks(V::LANES));
    for (sums, (x, y)) in sums.iter_mut().zip(rest) {
        let terms = terms.at(V::from_slice(x), V::from_slice(y));
        for k in 0..K {
            sums[k] += terms[k].with_rest(x.len(), V::zero());
        }
    }
    std::array::from_fn(|k| (sums[0][k] + sums[1][k]) + (sums[2][k] + sums[3][k]))
}

/// `sum_i f(x_i, y_i)` of two slices of one length.
#[inline(always)]
pub(crate) fn sum_pairs<V: Vector, const K: usize>(
    x: &[V::Element],
    y: &[V::Element],
    terms: &impl Terms<V::Element, K>,
) -> [V::Element; K] {
    if x.len() <= RUN * V::LANES {
        return sum_run::<V, K>(x, y, terms).map(V::sum);
    }
    let mut sums = Sums::<V, K>::new();
    sums.add(x, y, terms);
    sums.total()
}

/// `sum_i x_i`.
pub(crate) fn sum<T: Scalar>(x: &[T]) -> T {
    simd::run(Sum(x))
}

struct Sum<'a, T>(&'a [T]);

impl<T: Scalar> Kernel<T> for Sum<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> T {
        let [sum] = sum_pairs::<V, 1>(self.0, self.0, &Itself);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Moments;

    impl Terms<f64, 3> for Moments {
        #[inline(always)]
        fn at<V: Vector<Element = f64>>(&self, x: V, one: V) -> [V; 3] {
            [x, x * x, one]
        }
    }

    struct Pairs<'a>(&'a [f64], &'a [f64]);

    impl Kernel<f64> for Pairs<'_> {
        type Output = [f64; 3];

        #[inline(always)]
        fn run<V: Vector<Element = f64>>(self) -> [f64; 3] {
            sum_pairs::<V, 3>(self.0, self.1, &Moments)
        }
    }

    #[test]
    fn every_element_counts_once_at_any_length() {
        for isa in simd::available() {
            for len in (0..70).chain([1024, 1025, 10_001]) {
                let x: Vec<f64> = (0..len).map(|i| i as f64).collect();
                let [total, squares, count] = simd::run_on(isa, Pairs(&x, &vec![1.0; len]));
                let n = len as f64;
                assert_eq!(count, n);
                assert_eq!(total, n * (n - 1.0) / 2.0);
                assert_eq!(squares, (n - 1.0) * n * (2.0 * n - 1.0) / 6.0);
            }
        }
    }

    #[test]
    fn a_long_f32_sum_keeps_its_digits() {
        // One running sum of a million tenths is off by about 1 %.
        let tenths = vec![0.1f32; 1_000_000];
        for isa in simd::available() {
            let error = (simd::run_on(isa, Sum(&tenths)) - 100_000.0).abs() / 100_000.0;
            assert!(error < 1e-6, "{error} on {isa}");
        }
    }
}
