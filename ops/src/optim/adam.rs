//! Adam and AdamW.
//!
//! Sources: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; Loshchilov and
//! Hutter, "Decoupled Weight Decay Regularization", ICLR 2019. Details as in `torch.optim`.

use std::collections::BTreeMap;

use termwise_autograd::{Array, Backend, Param, Scalar};

use super::state::Entries;
use super::{AdamStep, GradientSource, Optimizer, OptimizerKernel, StateError, pairs};

/// Where the weight decay of [`Adam`] acts.
///
/// ```
/// use termwise_autograd::{Array, Cpu, Param};
/// use termwise_ops::optim::{Adam, AdamConfig, Optimizer, WeightDecay};
/// let step = |decay| {
///     let p = Param::new(Array::<Cpu<f64>>::host(&[], vec![1.0]));
///     let gradients = std::collections::HashMap::from([("p".to_string(), Array::host(&[], vec![0.0]))]);
///     let mut adam = Adam::new(AdamConfig { weight_decay: 0.5, decay, ..AdamConfig::adam() });
///     adam.step(&[("p".to_string(), &p)], &gradients, 0.1);
///     p.value().item()
/// };
/// assert!((step(WeightDecay::Gradient) - 0.9).abs() < 1e-8); // a gradient like any other: a step of length lr
/// assert!((step(WeightDecay::Decoupled) - 0.95).abs() < 1e-8); // 1 - 0.1 0.5
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightDecay {
    /// Added to the gradient, so that it runs through both moments (Adam).
    Gradient,
    /// Straight on the parameter, apart from the gradient (AdamW).
    Decoupled,
}

/// Options of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment, after its bias is corrected.
    pub eps: f64,
    /// Factor `lambda` of the parameter.
    pub weight_decay: f64,
    /// Where it acts.
    pub decay: WeightDecay,
}

impl AdamConfig {
    /// Adam: betas 0.9 and 0.999, eps 1e-8, no weight decay.
    pub const fn adam() -> Self {
        let decay = WeightDecay::Gradient;
        AdamConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decay }
    }

    /// AdamW: as Adam, with decoupled weight decay 0.01.
    pub const fn adamw() -> Self {
        AdamConfig { weight_decay: 0.01, decay: WeightDecay::Decoupled, ..AdamConfig::adam() }
    }
}

/// Adam, or AdamW with [`WeightDecay::Decoupled`].
///
/// # Formula
/// ```text
/// g <- g + lambda p                          (Gradient)
/// p <- (1 - lr lambda) p                     (Decoupled)
/// m <- beta1 m + (1 - beta1) g
/// v <- beta2 v + (1 - beta2) g^2
/// p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
/// `t` counts the steps of each parameter from 1.
///
/// # State
/// `exp_avg.<parameter>` (m), `exp_avg_sq.<parameter>` (v) and `step.<parameter>` (t; exact in `f32`
/// up to 16 777 216 steps).
///
/// # Examples
/// ```
/// use termwise_autograd::{Array, Cpu, Param};
/// use termwise_ops::optim::{Adam, AdamConfig, Optimizer};
/// let p = Param::new(Array::<Cpu<f64>>::host(&[2], vec![1.0, 1.0]));
/// let gradients = std::collections::HashMap::from([("p".to_string(), Array::host(&[2], vec![5.0, -0.1]))]);
/// let mut adam = Adam::new(AdamConfig::adam());
/// adam.step(&[("p".to_string(), &p)], &gradients, 0.1);
/// // The first step has length lr, whatever the size of the gradient.
/// assert!((p.value().as_slice()[0] - 0.9).abs() < 1e-8);
/// assert!((p.value().as_slice()[1] - 1.1).abs() < 1e-7);
/// ```
pub struct Adam<B: Backend> {
    config: AdamConfig,
    moments: BTreeMap<String, Moments<B>>,
}

struct Moments<B: Backend> {
    count: u64,
    exp_avg: Array<B>,
    exp_avg_sq: Array<B>,
}

impl<B: Backend> Adam<B> {
    /// An optimiser that has not stepped yet.
    ///
    /// # Panics
    /// If a beta lies outside `0 .. 1`.
    #[track_caller]
    pub fn new(config: AdamConfig) -> Self {
        for (name, beta) in [("beta1", config.beta1), ("beta2", config.beta2)] {
            assert!((0.0..1.0).contains(&beta), "adam: {name} must be in 0 .. 1, it is {beta}");
        }
        Adam { config, moments: BTreeMap::new() }
    }

    /// Its options.
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }
}

impl<B: OptimizerKernel> Optimizer<B> for Adam<B> {
    fn step(&mut self, params: &[(String, &Param<B>)], gradients: &dyn GradientSource<B>, lr: f64) {
        let AdamConfig { beta1, beta2, eps, weight_decay, decay } = self.config;
        let (gradient_decay, shrink) = match decay {
            WeightDecay::Gradient => (weight_decay, 0.0),
            WeightDecay::Decoupled => (0.0, -lr * weight_decay),
        };
        for (name, param, gradient) in pairs(params, gradients) {
            let Moments { count, exp_avg, exp_avg_sq } = self.moments.remove(name).unwrap_or_else(|| {
                let zeros = || Array::zeros(gradient.backend(), gradient.shape());
                Moments { count: 0, exp_avg: zeros(), exp_avg_sq: zeros() }
            });
            let count = count + 1;
            let step = AdamStep { lr, beta1, beta2, eps, gradient_decay, shrink, count };
            param.update(|value| {
                let [value, exp_avg, exp_avg_sq] =
                    B::adam_step(&step, value, exp_avg, exp_avg_sq, gradient, gradients.factor());
                self.moments.insert(name.to_string(), Moments { count, exp_avg, exp_avg_sq });
                value
            });
        }
    }

    fn state(&self) -> Vec<(String, Array<B>)> {
        self.moments
            .iter()
            .flat_map(|(name, Moments { count, exp_avg, exp_avg_sq })| {
                let count = Array::full(exp_avg.backend(), &[], *count as f64);
                [
                    (format!("exp_avg.{name}"), exp_avg.clone()),
                    (format!("exp_avg_sq.{name}"), exp_avg_sq.clone()),
                    (format!("step.{name}"), count),
                ]
            })
            .collect()
    }

    fn load_state(
        &mut self,
        params: &[(String, &Param<B>)],
        state: Vec<(String, Array<B>)>,
    ) -> Result<(), StateError> {
        let mut entries = Entries::new(state);
        let mut moments = BTreeMap::new();
        for (name, param) in params {
            let shape = param.shape();
            let exp_avg = entries.take("exp_avg", name, &shape)?;
            let exp_avg_sq = entries.take("exp_avg_sq", name, &shape)?;
            let count = entries.take("step", name, &[])?;
            let missing = |kind: &str| StateError::Missing { entry: format!("{kind}.{name}") };
            match (exp_avg, exp_avg_sq, count) {
                (None, None, None) => {}
                (exp_avg, exp_avg_sq, count) => {
                    let exp_avg = exp_avg.ok_or_else(|| missing("exp_avg"))?;
                    let exp_avg_sq = exp_avg_sq.ok_or_else(|| missing("exp_avg_sq"))?;
                    let count = count.ok_or_else(|| missing("step"))?.item().as_f64();
                    if !(count >= 1.0 && count.fract() == 0.0) {
                        return Err(StateError::NotACount { entry: format!("step.{name}"), found: count });
                    }
                    moments.insert(name.clone(), Moments { count: count as u64, exp_avg, exp_avg_sq });
                }
            }
        }
        entries.finish()?;
        self.moments = moments;
        Ok(())
    }
}
