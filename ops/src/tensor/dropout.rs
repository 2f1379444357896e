//! Dropout: elements set to zero at random, the others scaled up.
//!
//! Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR
//! 2014, in the inverted form that leaves evaluation alone.
//!
//! The mask is a function of the seed and the element's row-major place, not of a generator's state:
//! the same on every device and for any number of threads, and made anew in backward instead of kept.

use termwise_autograd::gradcheck::{Built, Case};
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Op, Scalar, Var, apply};

use crate::par;

/// Sets each element to zero with `probability`, independently, and scales the others up so that the
/// expectation stays; the identity where `training` is false.
///
/// # Formula
/// `y_i = keep_i x_i / (1 - probability)`, `keep_i` being 0 or 1 by a hash of `seed` and `i`
/// ([`dropout_keeps`]).
///
/// # Shapes
/// `x` and `y`: any, the same.
///
/// # Gradient
/// `dx_i = keep_i dy_i / (1 - probability)`
///
/// # Edge cases
/// `probability` 0 is the identity, 1 gives zeros. Equal seeds give equal masks: take another for each
/// use and each step.
///
/// # Panics
/// If `probability` is outside `[0, 1]`.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::full(&Cpu::new(), &[1000], 3.0));
/// let y = termwise_ops::dropout(&x, 0.25, 7, true);
/// let dropped = y.value().as_slice().iter().filter(|v| **v == 0.0).count();
/// assert!((200..300).contains(&dropped));
/// assert!(y.value().as_slice().iter().all(|v| *v == 0.0 || *v == 4.0));
/// ```
#[track_caller]
pub fn dropout<B: DropoutKernel>(x: &Var<B>, probability: f64, seed: u64, training: bool) -> Var<B> {
    assert!((0.0..=1.0).contains(&probability), "dropout: probability {probability} is outside [0, 1]");
    if !training || probability == 0.0 {
        return x.clone();
    }
    apply(Dropout { probability, seed }, [x])
}

/// Whether the element at row-major place `index` survives: the definition of the mask, for kernels
/// on other devices.
///
/// The hash of SplitMix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014)
/// taken at step `index + 1` from the hashed seed; its upper 32 bits, as a fraction of 2^32, are compared with
/// the probability of dropping.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{dropout, dropout_keeps};
/// let x = Tape::new(Cpu::<f64>::new()).leaf(Array::full(&Cpu::new(), &[100], 3.0));
/// let y = dropout(&x, 0.25, 7, true);
/// for (i, y) in y.value().as_slice().iter().enumerate() {
///     assert_eq!(*y, if dropout_keeps(7, i, 0.25) { 4.0 } else { 0.0 });
/// }
/// ```
pub fn dropout_keeps(seed: u64, index: usize, probability: f64) -> bool {
    keeps(dropout_start(seed), index, dropout_threshold(probability))
}

/// The hashed seed that [`dropout_keeps`] starts from, for kernels on other devices.
pub fn dropout_start(seed: u64) -> u64 {
    mix(seed)
}

/// The probability of dropping in units of 2^-32, for kernels on other devices.
pub fn dropout_threshold(probability: f64) -> u64 {
    (probability * 2f64.powi(32)).round() as u64
}

#[inline(always)]
fn keeps(start: u64, index: usize, threshold: u64) -> bool {
    let state = start.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mix(state) >> 32 >= threshold
}

/// The finaliser of SplitMix64.
#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Dropout {
    probability: f64,
    seed: u64,
}

impl<B: DropoutKernel> Op<B, 1> for Dropout {
    type Saved = ();

    fn name(&self) -> &'static str {
        "dropout"
    }

    fn forward(&self, [x]: [&Array<B>; 1]) -> (Array<B>, Self::Saved) {
        (B::dropout(x, self.probability, self.seed), ())
    }

    fn backward(&self, (): &Self::Saved, grad_output: &Array<B>, _: [bool; 1]) -> [Option<Array<B>>; 1] {
        // y = keep x / (1 - p)  =>  dx = keep dy / (1 - p), the very same map
        [Some(B::dropout(grad_output, self.probability, self.seed))]
    }
}

/// Kernel of [`dropout`], forward and backward alike.
pub trait DropoutKernel: Backend {
    /// `x / (1 - probability)` where [`dropout_keeps`], else 0.
    fn dropout(x: &Array<Self>, probability: f64, seed: u64) -> Array<Self>;
}

/// Elements that one task handles.
const CHUNK: usize = 4096;

impl<T: Scalar> DropoutKernel for Cpu<T> {
    fn dropout(x: &Array<Self>, probability: f64, seed: u64) -> Array<Self> {
        let (start, threshold) = (dropout_start(seed), dropout_threshold(probability));
        let factor = T::of((1.0 - probability).recip());
        let mut y = Buffer::arbitrary(x.len());
        par::for_each_chunk(&mut y, CHUNK, 32 * CHUNK, |chunk, y| {
            let first = chunk * CHUNK;
            let x = &x.as_slice()[first..first + y.len()];
            simd::run(Drop { start, threshold, factor, first, x, y });
        });
        Array::from_buffer(x.shape(), y)
    }
}

/// Dropout of the elements from the `first` on.
struct Drop<'a, T> {
    start: u64,
    threshold: u64,
    factor: T,
    first: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Drop<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Drop { start, threshold, factor, first, x, y } = self;
        // A plain loop that the compiler turns into the vectors of the caller's instruction set.
        for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            // Computed in any case: a branch on random bits is mispredicted.
            let kept = factor * x;
            *y = if keeps(start, first + i, threshold) { kept } else { T::zero() };
        }
    }
}

/// Test cases of [`dropout`].
pub fn cases<B: DropoutKernel>() -> Vec<Case<B>> {
    let case = |probability: f64, training: bool, shape: &[usize]| {
        let label =
            format!("probability {probability}, {}", if training { "training" } else { "evaluation" });
        Case::new("dropout", label, shape, move |shape, samples| {
            let x = samples.normal(shape);
            Built::new([("x", x)], move |v| dropout(&v[0], probability, 11, training))
        })
    };
    vec![
        case(0.5, true, &[1]),
        case(0.3, true, &[5, 7]),
        case(0.0, true, &[3, 3]),
        case(1.0, true, &[3, 3]),
        case(0.3, false, &[3, 3]),
        case(0.3, true, &[0, 3]),
    ]
}

#[cfg(test)]
mod tests {
    use termwise_autograd::Tape;

    use super::*;

    #[test]
    fn the_mask_is_the_one_that_is_defined_for_any_number_of_threads() {
        let x = Array::full(&Cpu::<f32>::new(), &[30_000], 1.0);
        let expected: Vec<bool> = (0..30_000).map(|i| dropout_keeps(5, i, 0.4)).collect();
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let y = pool.install(|| Cpu::dropout(&x, 0.4, 5));
            assert!(y.as_slice().iter().zip(&expected).all(|(&v, &keep)| (v != 0.0) == keep));
        }
    }

    #[test]
    fn rates_are_right_and_seeds_and_neighbours_independent() {
        let count = 100_000;
        // Deviations of 5 standard errors, sqrt(p (1 - p) / n), are not chance.
        let rate_of =
            |event: &dyn Fn(usize) -> bool| (0..count).filter(|&i| event(i)).count() as f64 / count as f64;
        let close = |rate: f64, p: f64| (rate - p).abs() < 5.0 * (p * (1.0 - p) / count as f64).sqrt();
        let drops = |seed: u64, i: usize, p: f64| !dropout_keeps(seed, i, p);
        for p in [0.01, 0.1, 0.5, 0.9] {
            assert!(close(rate_of(&|i| drops(0, i, p)), p), "rate at {p}");
            assert!(close(rate_of(&|i| drops(0, i, p) && drops(1, i, p)), p * p), "two seeds at {p}");
            assert!(close(rate_of(&|i| drops(3, i, p) && drops(3, i + 1, p)), p * p), "neighbours at {p}");
        }
    }

    #[test]
    fn probability_one_gives_zeros_and_no_gradient() {
        let tape = Tape::new(Cpu::<f64>::new());
        let x = tape.leaf(Array::full(&Cpu::new(), &[3], 2.0));
        let y = dropout(&x, 1.0, 0, true);
        assert_eq!(y.value().as_slice(), [0.0; 3]);
        let gradients = tape.backward_with(&[(&y, Array::full(&Cpu::new(), &[3], 1.0))]);
        assert_eq!(gradients.of(&x).unwrap().as_slice(), [0.0; 3]);
    }
}
