//! The kernels against plain loops, on every instruction set, in `f32` and `f64`, and against themselves on any
//! number of threads.

mod deformable;
mod deformable_reference;
mod position;
mod position_reference;
mod product;
mod steps;
mod steps_reference;

use termwise_autograd::Scalar;
use termwise_autograd::gradcheck::Samples;
use termwise_autograd::pool::Buffer;

/// Numbers of some kind, rounded to `T`.
struct Numbers(Samples);

impl Numbers {
    fn new(seed: u64) -> Self {
        Numbers(Samples::new(seed))
    }

    /// Around zero, rounded to `f32` so that both number types compute with the same.
    fn normal<T: Scalar>(&mut self, len: usize) -> Vec<T> {
        self.0.normal(&[len]).iter().map(|&v| T::of(f64::from(v as f32))).collect()
    }

    /// Sixteenths between `-reach` and `reach`, whole numbers among them.
    fn sixteenths<T: Scalar>(&mut self, len: usize, reach: i64) -> Vec<T> {
        self.0.integers(&[len], -16 * reach, 16 * reach + 1).iter().map(|&v| T::of(v as f64 / 16.0)).collect()
    }
}

fn widened<T: Scalar>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.as_f64()).collect()
}

/// Panics unless `found` is `expected` but for the rounding of sums of some hundred terms.
#[track_caller]
fn assert_close<T: Scalar>(what: &str, found: &[T], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |max, v| max.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found.as_f64() - expected).abs();
        assert!(
            error <= 32.0 * T::epsilon().as_f64() * largest,
            "{what}, {}, element {i}: {found} is not {expected} (up to {largest})",
            T::NAME
        );
    }
}

/// The bits of what `compute` returns on one, two and three threads, which must agree.
#[track_caller]
fn assert_same_bits_on_any_number_of_threads<T: Scalar>(compute: impl Fn() -> Vec<Buffer<T>> + Sync) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let arrays = pool.install(&compute);
        arrays
            .iter()
            .flat_map(|a| a.iter().map(|v| v.as_f64().to_bits()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3), "the number of threads shows");
}
