//! A running average of the weights, which scores better than the last weights do.

use termwise_autograd::{Array, Module};
use termwise_ops::optim::OptimizerKernel;

/// Exponential moving average of all parameters and buffers of a module:
/// `a <- d a + (1 - d) p` with `d = min(decay, (1 + t) / (10 + t))` at step `t`, so that the first steps are
/// soon forgotten (as in TensorFlow's `ExponentialMovingAverage`).
pub(super) struct Average<B: OptimizerKernel> {
    decay: f64,
    /// Steps taken.
    pub steps: u64,
    /// In the order of the module's parameters; empty before the first step.
    pub values: Vec<Array<B>>,
}

impl<B: OptimizerKernel> Average<B> {
    pub fn new(decay: f64) -> Self {
        Average { decay, steps: 0, values: Vec::new() }
    }

    /// Takes in the module's present numbers.
    pub fn update(&mut self, module: &dyn Module<B>) {
        let t = self.steps as f64;
        let rest = 1.0 - self.decay.min((1.0 + t) / (10.0 + t));
        self.steps += 1;
        let present: Vec<_> = module.parameters().iter().map(|(_, param)| param.value()).collect();
        if self.values.is_empty() {
            self.values = present;
            return;
        }
        let values = std::mem::take(&mut self.values).into_iter().zip(&present);
        self.values = values.map(|(average, present)| B::average_step(average, present, rest)).collect();
    }

    /// Runs `f` while the module has the average's numbers.
    pub fn with<R>(&self, module: &dyn Module<B>, f: impl FnOnce() -> R) -> R {
        if self.values.is_empty() {
            return f();
        }
        let parameters = module.parameters();
        let present: Vec<_> = parameters.iter().map(|(_, param)| param.value()).collect();
        let set = |values: &[Array<B>]| {
            parameters.iter().zip(values).for_each(|((_, param), value)| param.set(value.clone()));
        };
        set(&self.values);
        let result = f();
        set(&present);
        result
    }
}
