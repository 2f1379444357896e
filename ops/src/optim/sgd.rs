//! Stochastic gradient descent with momentum.
//!
//! Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
//! ICML 2013, in the form of `torch.optim.SGD` (the learning rate stands outside the buffer).

use std::collections::BTreeMap;

use termwise_autograd::{Array, Backend, Param};

use super::state::Entries;
use super::{GradientSource, Optimizer, OptimizerKernel, SgdStep, StateError, pairs};

/// Options of [`Sgd`]; all off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// Factor `mu` of the momentum buffer.
    pub momentum: f64,
    /// Part `tau` of the gradient that is kept from the buffer, after the first step.
    pub dampening: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Factor `lambda` of the parameter that is added to the gradient.
    pub weight_decay: f64,
}

/// Stochastic gradient descent.
///
/// # Formula
/// ```text
/// g <- g + lambda p
/// b <- g in the first step, else mu b + (1 - tau) g      (with momentum)
/// g <- g + mu b with nesterov, else b                    (with momentum)
/// p <- p - lr g
/// ```
///
/// # State
/// `momentum_buffer.<parameter>`, with momentum only.
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Param};
/// use termwise_ops::optim::{Optimizer, Sgd, SgdConfig};
/// let p = Param::new(Array::<Cpu<f64>>::host(&[1], vec![1.0]));
/// let gradients = std::collections::HashMap::from([("p".to_string(), Array::host(&[1], vec![2.0]))]);
/// let mut sgd = Sgd::new(SgdConfig { momentum: 0.5, ..SgdConfig::default() });
/// sgd.step(&[("p".to_string(), &p)], &gradients, 0.1); // buffer 2
/// sgd.step(&[("p".to_string(), &p)], &gradients, 0.1); // buffer 3
/// assert!((p.value().item() - 0.5).abs() < 1e-15);
/// ```
pub struct Sgd<B: Backend> {
    config: SgdConfig,
    buffers: BTreeMap<String, Array<B>>,
}

impl<B: Backend> Sgd<B> {
    /// An optimiser that has not stepped yet.
    ///
    /// # Panics
    /// If `nesterov` comes without momentum or with dampening: the look-ahead is defined for plain
    /// momentum only.
    #[track_caller]
    pub fn new(config: SgdConfig) -> Self {
        assert!(
            !config.nesterov || (config.momentum > 0.0 && config.dampening == 0.0),
            "sgd: nesterov needs momentum > 0 and dampening = 0, they are {} and {}",
            config.momentum,
            config.dampening
        );
        Sgd { config, buffers: BTreeMap::new() }
    }

    /// Its options.
    pub fn config(&self) -> &SgdConfig {
        &self.config
    }
}

impl<B: OptimizerKernel> Optimizer<B> for Sgd<B> {
    fn step(&mut self, params: &[(String, &Param<B>)], gradients: &dyn GradientSource<B>, lr: f64) {
        let SgdConfig { momentum, dampening, nesterov, weight_decay } = self.config;
        let step = SgdStep { lr, momentum, dampening, nesterov, weight_decay };
        for (name, param, gradient) in pairs(params, gradients) {
            let buffer = self.buffers.remove(name);
            param.update(|value| {
                let (value, buffer) = B::sgd_step(&step, value, buffer, gradient, gradients.factor());
                if let Some(buffer) = buffer {
                    self.buffers.insert(name.to_string(), buffer);
                }
                value
            });
        }
    }

    fn state(&self) -> Vec<(String, Array<B>)> {
        self.buffers
            .iter()
            .map(|(name, buffer)| (format!("momentum_buffer.{name}"), buffer.clone()))
            .collect()
    }

    fn load_state(
        &mut self,
        params: &[(String, &Param<B>)],
        state: Vec<(String, Array<B>)>,
    ) -> Result<(), StateError> {
        let mut entries = Entries::new(state);
        let mut buffers = BTreeMap::new();
        if self.config.momentum != 0.0 {
            for (name, param) in params {
                if let Some(buffer) = entries.take("momentum_buffer", name, &param.shape())? {
                    buffers.insert(name.clone(), buffer);
                }
            }
        }
        entries.finish()?;
        self.buffers = buffers;
        Ok(())
    }
}
