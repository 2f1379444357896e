//! Sums and maxima over slices: fast, accurate, in one order whatever the number of threads.

use termwise_autograd::Scalar;

/// Running sums kept side by side, so that the compiler can use vector registers.
const LANES: usize = 16;
/// Length beyond which a sum is that of its two halves. The rounding error then grows with the
/// logarithm of the length instead of the length.
const BLOCK: usize = 1024;

/// `sum_i f(x_i, y_i)`, `K` sums at once.
pub(crate) fn sum_pairs<T: Scalar, const K: usize>(x: &[T], y: &[T], f: &impl Fn(T, T) -> [T; K]) -> [T; K] {
    debug_assert_eq!(x.len(), y.len());
    if x.len() > BLOCK {
        let middle = x.len() / 2 / LANES * LANES;
        let (x, y) = (x.split_at(middle), y.split_at(middle));
        let (head, tail) = (sum_pairs(x.0, y.0, f), sum_pairs(x.1, y.1, f));
        return std::array::from_fn(|k| head[k] + tail[k]);
    }
    let mut lanes = [[T::zero(); LANES]; K];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = x.remainder().iter().zip(y.remainder());
    for (x, y) in x.zip(y) {
        for lane in 0..LANES {
            let terms = f(x[lane], y[lane]);
            for k in 0..K {
                lanes[k][lane] += terms[k];
            }
        }
    }
    for (lane, (&x, &y)) in rest.enumerate() {
        let terms = f(x, y);
        for k in 0..K {
            lanes[k][lane] += terms[k];
        }
    }
    lanes.map(|lanes| lanes.iter().copied().sum())
}

/// `sum_i x_i`.
pub(crate) fn sum<T: Scalar>(x: &[T]) -> T {
    let [sum] = sum_pairs(x, x, &|v, _| [v]);
    sum
}

/// The largest number, `-inf` for none; NaN is passed over.
pub(crate) fn max<T: Scalar>(x: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::neg_infinity(); LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(T::neg_infinity(), larger);
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    lanes.into_iter().fold(rest, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts_once_at_any_length() {
        for len in [0, 1, 15, 16, 17, 1024, 1025, 10_001] {
            let x: Vec<f64> = (0..len).map(|i| i as f64).collect();
            let ones = vec![1.0; len];
            let [total, squares, count] = sum_pairs(&x, &ones, &|x, one| [x, x * x, one]);
            let n = len as f64;
            assert_eq!(count, n);
            assert_eq!(total, n * (n - 1.0) / 2.0);
            assert_eq!(squares, (n - 1.0) * n * (2.0 * n - 1.0) / 6.0);
        }
    }

    #[test]
    fn the_largest_is_found_wherever_it_stands() {
        for len in [1, 16, 37] {
            for at in 0..len {
                let x: Vec<f64> = (0..len).map(|i| if i == at { 1.0 } else { -(i as f64) - 2.0 }).collect();
                assert_eq!(max(&x), 1.0, "{at} of {len}");
            }
        }
        assert_eq!(max::<f32>(&[]), f32::NEG_INFINITY);
    }

    #[test]
    fn a_long_f32_sum_keeps_its_digits() {
        // One running sum of a million tenths is off by about 1 %.
        let tenths = vec![0.1f32; 1_000_000];
        let error = (sum(&tenths) - 100_000.0).abs() / 100_000.0;
        assert!(error < 1e-6, "{error}");
    }
}
