//! The kernels of optimisers and clipping: one fused pass over the elements of a parameter.

use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Array, Backend, Cpu, Scalar};

use crate::{par, rows};

/// The numbers of one step of [`Sgd`](super::Sgd).
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Factor of the old momentum buffer; 0 means that there is no buffer.
    pub momentum: f64,
    /// How much of the gradient is kept from the buffer.
    pub dampening: f64,
    /// Whether the gradient looks one step ahead.
    pub nesterov: bool,
    /// Factor of the parameter that is added to the gradient.
    pub weight_decay: f64,
}

/// The numbers of one step of [`Adam`](super::Adam).
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment, after its bias is corrected.
    pub eps: f64,
    /// Factor of the parameter that is added to the gradient (0 for none).
    pub gradient_decay: f64,
    /// What the parameter is multiplied with before the step, less 1: `-lr * decay` (0 for none).
    pub shrink: f64,
    /// Number of this step, from 1.
    pub count: u64,
}

/// Kernels of the optimisers and of gradient clipping.
///
/// `factor` is a 0-d array that the gradient is multiplied with first, or `None` for 1.
pub trait OptimizerKernel: Backend {
    /// One step of stochastic gradient descent. `buffer` is `None` in the first step and without
    /// momentum. Returns the new parameter and the new buffer.
    fn sgd_step(
        step: &SgdStep,
        param: Array<Self>,
        buffer: Option<Array<Self>>,
        gradient: &Array<Self>,
        factor: Option<&Array<Self>>,
    ) -> (Array<Self>, Option<Array<Self>>);

    /// One step of Adam. Returns the new parameter, first and second moment.
    fn adam_step(
        step: &AdamStep,
        param: Array<Self>,
        exp_avg: Array<Self>,
        exp_avg_sq: Array<Self>,
        gradient: &Array<Self>,
        factor: Option<&Array<Self>>,
    ) -> [Array<Self>; 3];

    /// Euclidean norm of all elements of all arrays together, a 0-d array.
    fn norm(&self, arrays: &[&Array<Self>]) -> Array<Self>;

    /// `min(1, max_norm / (norm + 1e-6))`, a 0-d array; NaN stays NaN.
    fn clip_factor(norm: &Array<Self>, max_norm: f64) -> Array<Self>;

    /// `factor * array` for a 0-d `factor`.
    fn scale(array: Array<Self>, factor: &Array<Self>) -> Array<Self>;

    /// `average + share * (present - average)`: a step of a running average.
    fn average_step(average: Array<Self>, present: &Array<Self>, share: f64) -> Array<Self>;
}

/// Elements that one task handles, and over which one partial sum runs.
const CHUNK: usize = 1 << 13;

/// A 0-d factor on the host.
fn host_factor<T: Scalar>(factor: Option<&Array<Cpu<T>>>) -> T {
    factor.map_or(T::one(), Array::item)
}

impl<T: Scalar> OptimizerKernel for Cpu<T> {
    fn sgd_step(
        step: &SgdStep,
        mut param: Array<Self>,
        buffer: Option<Array<Self>>,
        gradient: &Array<Self>,
        factor: Option<&Array<Self>>,
    ) -> (Array<Self>, Option<Array<Self>>) {
        let (step, factor) = (*step, host_factor(factor).as_f64());
        if step.momentum == 0.0 {
            let gradient = gradient.as_slice();
            par::for_each_chunk(param.as_mut_slice(), CHUNK, 4 * CHUNK, |i, param| {
                let gradient = &gradient[i * CHUNK..][..param.len()];
                simd::run(SgdPass { step, factor, first: false, param, buffer: &mut [], gradient });
            });
            return (param, None);
        }
        let first = buffer.is_none();
        let mut buffer = buffer.unwrap_or_else(|| Array::zeros(gradient.backend(), gradient.shape()));
        let outs = [(param.as_mut_slice(), CHUNK), (buffer.as_mut_slice(), CHUNK)];
        let gradient = gradient.as_slice();
        par::for_each_chunks(outs, 6 * CHUNK, |i, [param, buffer]| {
            let gradient = &gradient[i * CHUNK..][..param.len()];
            simd::run(SgdPass { step, factor, first, param, buffer, gradient });
        });
        (param, Some(buffer))
    }

    fn adam_step(
        step: &AdamStep,
        mut param: Array<Self>,
        mut exp_avg: Array<Self>,
        mut exp_avg_sq: Array<Self>,
        gradient: &Array<Self>,
        factor: Option<&Array<Self>>,
    ) -> [Array<Self>; 3] {
        let (step, factor) = (*step, host_factor(factor).as_f64());
        let outs = [param.as_mut_slice(), exp_avg.as_mut_slice(), exp_avg_sq.as_mut_slice()];
        let gradient = gradient.as_slice();
        par::for_each_chunks(outs.map(|out| (out, CHUNK)), 16 * CHUNK, |i, [param, exp_avg, exp_avg_sq]| {
            let gradient = &gradient[i * CHUNK..][..param.len()];
            simd::run(AdamPass { step, factor, param, exp_avg, exp_avg_sq, gradient });
        });
        [param, exp_avg, exp_avg_sq]
    }

    fn norm(&self, arrays: &[&Array<Self>]) -> Array<Self> {
        // Partial sums over fixed chunks, added in order and in f64: the same bits for any number of
        // threads, and no overflow of large f32 gradients.
        let sum: f64 = arrays
            .iter()
            .flat_map(|array| {
                let data = array.as_slice();
                par::map(data.len().div_ceil(CHUNK), 2 * CHUNK, |i| {
                    simd::run(SumOfSquares(&data[i * CHUNK..data.len().min((i + 1) * CHUNK)]))
                })
            })
            .sum();
        Array::full(self, &[], sum.sqrt())
    }

    fn clip_factor(norm: &Array<Self>, max_norm: f64) -> Array<Self> {
        let factor = max_norm / (norm.item().as_f64() + 1e-6);
        // Not f64::min, which would turn NaN into 1.
        Array::full(norm.backend(), &[], if factor > 1.0 { 1.0 } else { factor })
    }

    fn scale(mut array: Array<Self>, factor: &Array<Self>) -> Array<Self> {
        let factor = factor.item();
        par::for_each_chunk(array.as_mut_slice(), CHUNK, 2 * CHUNK, |_, array| {
            simd::run(Scale(factor, array))
        });
        array
    }

    fn average_step(mut average: Array<Self>, present: &Array<Self>, share: f64) -> Array<Self> {
        let (share, present) = (T::of(share), present.as_slice());
        par::for_each_chunk(average.as_mut_slice(), CHUNK, 2 * CHUNK, |i, average| {
            let present = &present[i * CHUNK..][..average.len()];
            average.iter_mut().zip(present).for_each(|(a, &p)| *a = *a + share * (p - *a));
        });
        average
    }
}

/// A step of SGD on some elements; without momentum the buffer is empty.
struct SgdPass<'a, T> {
    step: SgdStep,
    factor: f64,
    /// Whether the buffer starts with this gradient.
    first: bool,
    param: &'a mut [T],
    buffer: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Scalar> Kernel<T> for SgdPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let SgdPass { step, factor, first, param, buffer, gradient } = self;
        let (lr, decay, factor) = (V::of(step.lr), V::of(step.weight_decay), V::of(factor));
        let (momentum, kept) = (V::of(step.momentum), V::of(1.0 - step.dampening));
        for (i, (param, gradient)) in param.chunks_mut(V::LANES).zip(gradient.chunks(V::LANES)).enumerate() {
            let p = V::from_slice(param);
            let g = V::from_slice(gradient).mul_add(factor, decay * p);
            let mut direction = g;
            if !buffer.is_empty() {
                let buffer = &mut buffer[i * V::LANES..];
                // Dampening does not touch the first gradient.
                let b = if first { g } else { V::from_slice(buffer).mul_add(momentum, kept * g) };
                b.write_to(buffer);
                direction = if step.nesterov { b.mul_add(momentum, g) } else { b };
            }
            direction.neg_mul_add(lr, p).write_to(param);
        }
    }
}

/// A step of Adam on some elements.
struct AdamPass<'a, T> {
    step: AdamStep,
    factor: f64,
    param: &'a mut [T],
    exp_avg: &'a mut [T],
    exp_avg_sq: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Scalar> Kernel<T> for AdamPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let AdamPass { step, factor, param, exp_avg, exp_avg_sq, gradient } = self;
        let exponent = i32::try_from(step.count).unwrap_or(i32::MAX);
        let step_size = V::of(step.lr / (1.0 - step.beta1.powi(exponent)));
        let inv_root_bias2 = V::of((1.0 - step.beta2.powi(exponent)).sqrt().recip());
        let (kept, rest) = (V::of(step.beta2), V::of(1.0 - step.beta2));
        let fresh = V::of(1.0 - step.beta1);
        let (factor, decay) = (V::of(factor), V::of(step.gradient_decay));
        let (eps, shrink) = (V::of(step.eps), V::of(1.0 + step.shrink));
        let means = exp_avg.chunks_mut(V::LANES).zip(exp_avg_sq.chunks_mut(V::LANES));
        let params = param.chunks_mut(V::LANES).zip(gradient.chunks(V::LANES));
        for ((mean, mean_sq), (param, gradient)) in means.zip(params) {
            let p = V::from_slice(param);
            let g = V::from_slice(gradient).mul_add(factor, decay * p);
            let m = V::from_slice(mean);
            let m = (g - m).mul_add(fresh, m);
            let v = V::from_slice(mean_sq).mul_add(kept, rest * g * g);
            let denominator = v.sqrt().mul_add(inv_root_bias2, eps);
            m.write_to(mean);
            v.write_to(mean_sq);
            (shrink * p - step_size * m / denominator).write_to(param);
        }
    }
}

/// The sum of squares, in `f64`.
struct SumOfSquares<'a, T>(&'a [T]);

impl<T: Scalar> Kernel<T> for SumOfSquares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) -> f64 {
        // Plain loops that the compiler turns into the vectors of the caller's instruction set.
        let mut sums = [0.0; 32];
        let blocks = self.0.chunks_exact(sums.len());
        let rest = blocks.remainder().iter().map(|x| x.as_f64() * x.as_f64()).sum::<f64>();
        for block in blocks {
            for (sum, x) in sums.iter_mut().zip(block) {
                *sum += x.as_f64() * x.as_f64();
            }
        }
        sums.into_iter().sum::<f64>() + rest
    }
}

/// `x *= factor`
struct Scale<'a, T>(T, &'a mut [T]);

impl<T: Scalar> Kernel<T> for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        rows::scale::<V>(self.1, self.0);
    }
}
