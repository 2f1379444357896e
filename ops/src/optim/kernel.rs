//! The kernels of optimisers and clipping: one fused pass over the elements of a parameter.

use rayon::prelude::*;
use termwise_autograd::{Array, Backend, Cpu, Scalar};

use crate::par;

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
}

/// Elements that one task handles, and over which one partial sum runs.
const CHUNK: usize = 4096;
/// Elements up to which one thread does a step alone.
const SPLIT: usize = 4 * CHUNK;

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
        let factor = host_factor(factor);
        let (lr, decay) = (T::of(step.lr), T::of(step.weight_decay));
        let (momentum, kept) = (T::of(step.momentum), T::of(1.0 - step.dampening));
        if step.momentum == 0.0 {
            let pass = |param: &mut [T], gradient: &[T]| {
                for (p, &g) in param.iter_mut().zip(gradient) {
                    *p -= lr * (factor * g + decay * *p);
                }
            };
            let (param_data, gradient) = (param.as_mut_slice(), gradient.as_slice());
            if gradient.len() <= SPLIT {
                pass(param_data, gradient);
            } else {
                let chunks = (param_data.par_chunks_mut(CHUNK), gradient.par_chunks(CHUNK));
                chunks.into_par_iter().for_each(|(param, gradient)| pass(param, gradient));
            }
            return (param, None);
        }
        let first = buffer.is_none();
        let mut buffer = buffer.unwrap_or_else(|| Array::zeros(gradient.backend(), gradient.shape()));
        let pass = |param: &mut [T], buffer: &mut [T], gradient: &[T]| {
            for ((p, b), &g) in param.iter_mut().zip(buffer).zip(gradient) {
                let g = factor * g + decay * *p;
                // Dampening does not touch the first gradient.
                *b = if first { g } else { momentum * *b + kept * g };
                *p -= lr * if step.nesterov { g + momentum * *b } else { *b };
            }
        };
        let (param_data, buffer_data, gradient) =
            (param.as_mut_slice(), buffer.as_mut_slice(), gradient.as_slice());
        if gradient.len() <= SPLIT {
            pass(param_data, buffer_data, gradient);
        } else {
            let chunks = (
                param_data.par_chunks_mut(CHUNK),
                buffer_data.par_chunks_mut(CHUNK),
                gradient.par_chunks(CHUNK),
            );
            chunks.into_par_iter().for_each(|(param, buffer, gradient)| pass(param, buffer, gradient));
        }
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
        let factor = host_factor(factor);
        let exponent = i32::try_from(step.count).unwrap_or(i32::MAX);
        let step_size = T::of(step.lr / (1.0 - step.beta1.powi(exponent)));
        let root_bias2 = T::of((1.0 - step.beta2.powi(exponent)).sqrt());
        let (kept, rest) = (T::of(step.beta2), T::of(1.0 - step.beta2));
        let fresh = T::of(1.0 - step.beta1);
        let (eps, decay, shrink) = (T::of(step.eps), T::of(step.gradient_decay), T::of(1.0 + step.shrink));
        let pass = |param: &mut [T], exp_avg: &mut [T], exp_avg_sq: &mut [T], gradient: &[T]| {
            for (((p, m), v), &g) in param.iter_mut().zip(exp_avg).zip(exp_avg_sq).zip(gradient) {
                let g = factor * g + decay * *p;
                *m += fresh * (g - *m);
                *v = kept * *v + rest * g * g;
                *p = shrink * *p - step_size * *m / (v.sqrt() / root_bias2 + eps);
            }
        };
        let (p, m, v) = (param.as_mut_slice(), exp_avg.as_mut_slice(), exp_avg_sq.as_mut_slice());
        let gradient = gradient.as_slice();
        if gradient.len() <= SPLIT {
            pass(p, m, v, gradient);
        } else {
            let chunks = (
                p.par_chunks_mut(CHUNK),
                m.par_chunks_mut(CHUNK),
                v.par_chunks_mut(CHUNK),
                gradient.par_chunks(CHUNK),
            );
            chunks.into_par_iter().for_each(|(p, m, v, gradient)| pass(p, m, v, gradient));
        }
        [param, exp_avg, exp_avg_sq]
    }

    fn norm(&self, arrays: &[&Array<Self>]) -> Array<Self> {
        // Partial sums over fixed chunks, added in order and in f64: the same bits for any number of
        // threads, and no overflow of large f32 gradients.
        let sum: f64 = arrays
            .iter()
            .flat_map(|array| {
                let data = array.as_slice();
                par::map(data.len().div_ceil(CHUNK), CHUNK, |i| {
                    let chunk = &data[i * CHUNK..data.len().min((i + 1) * CHUNK)];
                    chunk.iter().map(|v| v.as_f64() * v.as_f64()).sum::<f64>()
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
        array.as_mut_slice().iter_mut().for_each(|v| *v *= factor);
        array
    }
}
