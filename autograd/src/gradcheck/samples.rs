//! Seeded test inputs that keep clear of what a finite difference cannot see across.

use ndarray::{ArrayD, IxDyn};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A seeded source of test inputs: the same seed gives the same numbers on every machine, in the order in
/// which they are asked for.
///
/// # Examples
/// ```
/// use termwise_autograd::gradcheck::Samples;
///
/// let mut samples = Samples::new(7);
/// assert_eq!(Samples::new(7).normal(&[2, 3]), samples.normal(&[2, 3])); // (2, 3)
/// assert!(samples.away_from(&[100], &[0.0, 1.0], 0.2).iter().all(|x| x.abs() >= 0.2 && (x - 1.0).abs() >= 0.2));
/// assert!(samples.off_grid(&[100], -3, 5).iter().all(|x| (-2.9..=4.9).contains(x)));
/// assert!(samples.integers(&[100], -3, 5).iter().all(|n| (-3..5).contains(n)));
/// assert_eq!(samples.mask(&[100], 1.0).iter().filter(|&&on| on).count(), 100);
///
/// let mut values: Vec<f64> = samples.distinct(&[2, 2]).into_iter().collect();
/// values.sort_by(f64::total_cmp);
/// for (value, expected) in values.iter().zip([-0.15, -0.05, 0.05, 0.15]) {
///     assert!((value - expected).abs() < 1e-15);
/// }
/// ```
pub struct Samples {
    rng: ChaCha8Rng,
}

impl Samples {
    /// A source for one seed.
    pub fn new(seed: u64) -> Self {
        Samples { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Standard normal numbers.
    pub fn normal(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || StandardNormal.sample(&mut self.rng))
    }

    /// Numbers uniform in `[low, high)`.
    pub fn uniform(&mut self, shape: &[usize], low: f64, high: f64) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || low + (high - low) * self.rng.random::<f64>())
    }

    /// Normal numbers of standard deviation 2 that are at least `gap` away from each of `kinks`. Drawn again until
    /// they are: a gap that leaves no room never returns.
    pub fn away_from(&mut self, shape: &[usize], kinks: &[f64], gap: f64) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || {
            loop {
                let sample: f64 = StandardNormal.sample(&mut self.rng);
                let value = 2.0 * sample;
                if kinks.iter().all(|kink| (value - kink).abs() >= gap) {
                    return value;
                }
            }
        })
    }

    /// Numbers in `[low, high)` whose fractional part lies in `[0.1, 0.9]`: off the integer grid on
    /// which bilinear sampling has its kinks.
    ///
    /// # Panics
    /// If `low` is not below `high`.
    pub fn off_grid(&mut self, shape: &[usize], low: i64, high: i64) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || {
            self.rng.random_range(low..high) as f64 + 0.1 + 0.8 * self.rng.random::<f64>()
        })
    }

    /// A random arrangement of numbers spaced by 0.1 around zero: no two are equal, so that a
    /// maximum or a sort order has no ties.
    pub fn distinct(&mut self, shape: &[usize]) -> ArrayD<f64> {
        let len: usize = shape.iter().product();
        let mut values: Vec<f64> = (0..len).map(|i| (i as f64 - (len as f64 - 1.0) / 2.0) * 0.1).collect();
        for i in (1..len).rev() {
            values.swap(i, self.rng.random_range(0..=i));
        }
        ArrayD::from_shape_vec(IxDyn(shape), values).expect("one value per element")
    }

    /// Whole numbers in `[low, high)`.
    ///
    /// # Panics
    /// If `low` is not below `high`.
    pub fn integers(&mut self, shape: &[usize], low: i64, high: i64) -> ArrayD<i64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.rng.random_range(low..high))
    }

    /// True with the given probability.
    pub fn mask(&mut self, shape: &[usize], probability: f64) -> ArrayD<bool> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.rng.random::<f64>() < probability)
    }

    /// One number uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.rng.random()
    }
}
