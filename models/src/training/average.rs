//! A running average of the weights, which scores better than the last weights do.

use termwise_autograd::{Array, Cpu, Module};

/// Exponential moving average of all parameters and buffers of a module:
/// `a <- d a + (1 - d) p` with `d = min(decay, (1 + t) / (10 + t))` at step `t`, so that the first steps are
/// soon forgotten (as in TensorFlow's `ExponentialMovingAverage`).
pub(super) struct Average {
    decay: f64,
    /// Steps taken.
    pub steps: u64,
    /// In the order of the module's parameters; empty before the first step.
    pub values: Vec<Array<Cpu<f32>>>,
}

impl Average {
    pub fn new(decay: f64) -> Self {
        Average { decay, steps: 0, values: Vec::new() }
    }

    /// Takes in the module's present numbers.
    pub fn update(&mut self, module: &dyn Module<Cpu<f32>>) {
        let t = self.steps as f64;
        let rest = 1.0 - self.decay.min((1.0 + t) / (10.0 + t));
        self.steps += 1;
        let present: Vec<_> = module.parameters().iter().map(|(_, param)| param.value()).collect();
        if self.values.is_empty() {
            self.values = present;
            return;
        }
        for (average, present) in self.values.iter_mut().zip(&present) {
            let pairs = average.as_slice().iter().zip(present.as_slice());
            let moved = pairs.map(|(&a, &p)| a + rest as f32 * (p - a)).collect();
            *average = Array::host(present.shape(), moved);
        }
    }

    /// Runs `f` while the module has the average's numbers.
    pub fn with<R>(&self, module: &dyn Module<Cpu<f32>>, f: impl FnOnce() -> R) -> R {
        if self.values.is_empty() {
            return f();
        }
        let parameters = module.parameters();
        let present: Vec<_> = parameters.iter().map(|(_, param)| param.value()).collect();
        let set = |values: &[Array<Cpu<f32>>]| {
            parameters.iter().zip(values).for_each(|((_, param), value)| param.set(value.clone()));
        };
        set(&self.values);
        let result = f();
        set(&present);
        result
    }
}
