//! Seeded initial values of parameters.

use ndarray::{ArrayD, IxDyn};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};
use termwise_autograd::{Array, Backend, Param};

/// Draws initial values: the same seed gives the same model on every machine, in either precision.
///
/// The draws follow one another: what a model is depends on the order in which its layers are made.
///
/// ```
/// use termwise_autograd::Cpu;
/// use termwise_models::Init;
/// let mut init = Init::new(Cpu::<f64>::new(), 7);
/// assert_eq!(init.constant(&[2], 0.5).value().as_slice(), [0.5, 0.5]);
/// let drawn = init.normal(&[100], 1.0).value();
/// let single = Init::new(Cpu::<f32>::new(), 7).normal(&[100], 1.0).value(); // rounded, nothing else
/// assert!(drawn.as_slice().iter().zip(single.as_slice()).all(|(&a, &b)| a as f32 == b));
/// // sqrt(6 / (3 + 3)) = 1 is the bound.
/// let bounded = init.xavier(&[3, 3]).value();
/// assert!(bounded.as_slice().iter().all(|value| value.abs() <= 1.0));
/// ```
pub struct Init<B: Backend> {
    backend: B,
    rng: ChaCha8Rng,
}

impl<B: Backend> Init<B> {
    /// A source of initial values for one model.
    pub fn new(backend: B, seed: u64) -> Self {
        Init { backend, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The device the parameters are made on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// A parameter filled with one value.
    pub fn constant(&self, shape: &[usize], value: f64) -> Param<B> {
        Param::new(Array::full(&self.backend, shape, value))
    }

    /// A buffer (not trained) filled with one value.
    pub fn buffer(&self, shape: &[usize], value: f64) -> Param<B> {
        Param::buffer(Array::full(&self.backend, shape, value))
    }

    /// Normal with the given standard deviation.
    ///
    /// # Panics
    /// If `std` is infinite or not a number.
    pub fn normal(&mut self, shape: &[usize], std: f64) -> Param<B> {
        let normal = Normal::new(0.0, std).expect("a finite standard deviation");
        self.draw(shape, normal)
    }

    /// He et al. 2015, for a ReLU that follows: normal with variance `2 / fan_in`. `shape` is
    /// (out, in, ..): everything but the first axis counts as input.
    ///
    /// # Panics
    /// If the shape has no axis.
    pub fn kaiming(&mut self, shape: &[usize]) -> Param<B> {
        let fan_in: usize = shape[1..].iter().product();
        self.normal(shape, (2.0 / fan_in.max(1) as f64).sqrt())
    }

    /// Glorot and Bengio 2010: uniform in `+-sqrt(6 / (fan_in + fan_out))` for `shape` (out, in, ..).
    ///
    /// # Panics
    /// If the shape has fewer than two axes.
    pub fn xavier(&mut self, shape: &[usize]) -> Param<B> {
        let receptive: usize = shape[2..].iter().product();
        let bound = (6.0 / ((shape[0] + shape[1]) * receptive).max(1) as f64).sqrt();
        self.draw(shape, Uniform::new_inclusive(-bound, bound).expect("a finite bound"))
    }

    fn draw(&mut self, shape: &[usize], distribution: impl Distribution<f64>) -> Param<B> {
        let values = ArrayD::from_shape_simple_fn(IxDyn(shape), || distribution.sample(&mut self.rng));
        Param::new(Array::from_f64(&self.backend, &values))
    }
}
