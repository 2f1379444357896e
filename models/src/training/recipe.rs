//! How a model is trained.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, OptimizerKernel, Sgd, SgdConfig};
use termwise_ops::schedule::Schedule;

/// Which optimiser trains.
///
/// ```
/// use termwise_models::training::OptimizerKind;
/// assert_eq!("sgd".parse(), Ok(OptimizerKind::Sgd));
/// assert_eq!(OptimizerKind::Adam.to_string(), "adam");
/// let error = "adamw".parse::<OptimizerKind>().unwrap_err();
/// assert_eq!(error, "unknown optimizer 'adamw': expected one of adam, sgd");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// AdamW.
    Adam,
    /// Stochastic gradient descent with Nesterov momentum 0.9.
    Sgd,
}

/// How the learning rate falls after the warm-up, as a function of the share of training done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Half a wave of a cosine.
    Cosine,
    /// `(1 - t)^0.9`.
    Poly,
    /// Not at all.
    Constant,
}

impl ScheduleKind {
    /// Factor on the peak learning rate at the share `t` of training, in [0, 1].
    ///
    /// Shares outside of it count as its ends.
    ///
    /// ```
    /// use termwise_models::training::ScheduleKind;
    /// let [cosine, poly, constant] = ["cosine", "poly", "constant"].map(|name| name.parse::<ScheduleKind>().unwrap());
    /// assert!((cosine.factor(0.5) - 0.5).abs() < 1e-12);
    /// assert!((cosine.factor(2.0 / 3.0) - 0.25).abs() < 1e-12); // (1 + cos 120 degrees) / 2
    /// assert!((poly.factor(0.5) - 0.5f64.powf(0.9)).abs() < 1e-12);
    /// assert_eq!([cosine.factor(0.0), poly.factor(0.0), constant.factor(1.0)], [1.0; 3]);
    /// ```
    pub fn factor(self, t: f64) -> f64 {
        let (base_lr, t) = (1.0, t.clamp(0.0, 1.0));
        match self {
            ScheduleKind::Cosine => Schedule::Cosine { base_lr, eta_min: 0.0, t_max: 1.0 }.lr(t),
            ScheduleKind::Poly => Schedule::Poly { base_lr, total_iters: 1.0, power: 0.9 }.lr(t),
            ScheduleKind::Constant => base_lr,
        }
    }
}

/// Names of a small set of choices, for the command line and for messages.
macro_rules! named {
    ($kind:ty, $what:literal, $($value:path => $name:literal),+) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($value => $name),+ })
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(format!("unknown {} '{text}': expected one of {}", $what, [$($name),+].join(", "))),
                }
            }
        }
    };
}

named!(OptimizerKind, "optimizer", OptimizerKind::Adam => "adam", OptimizerKind::Sgd => "sgd");
named!(ScheduleKind, "schedule",
    ScheduleKind::Cosine => "cosine", ScheduleKind::Poly => "poly", ScheduleKind::Constant => "constant");

/// How a model is trained: what is the same for every task.
///
/// ```
/// use termwise_models::training::{Recipe, ScheduleKind};
/// let recipe = Recipe { warmup: 0.1, schedule: ScheduleKind::Cosine, ..Recipe::default() };
/// assert_eq!(recipe.rate(0.05), 0.5); // half of the way up
/// assert_eq!(recipe.rate(0.0), 0.05); // the very first step moves too
/// assert_eq!(recipe.rate(0.1), 1.0);
/// assert!((recipe.rate(0.55) - 0.5).abs() < 1e-12); // half of the way down
/// assert!(recipe.rate(1.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training data.
    pub epochs: usize,
    /// Ends training after this many seconds (at the end of an epoch, which may be cut short); the
    /// schedule then follows the clock where that is ahead of the epochs, so the result depends on the
    /// machine's speed. Without it a seed gives the same bits again.
    pub time_limit: Option<f64>,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Peak learning rate.
    pub lr: f64,
    /// Share of training over which the rate rises linearly to its peak.
    pub warmup: f64,
    /// How the rate falls afterwards.
    pub schedule: ScheduleKind,
    /// Decay of the running mean of squared gradients (Adam's second beta).
    pub beta2: f64,
    /// Decay of the weights.
    pub weight_decay: f64,
    /// Largest norm of the gradient; a longer one is scaled down.
    pub clip_norm: f64,
    /// Decay of a running average of the weights, which is evaluated and saved in their place; 0: none.
    pub average: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            epochs: 30,
            time_limit: None,
            optimizer: OptimizerKind::Adam,
            lr: 3e-3,
            warmup: 0.05,
            schedule: ScheduleKind::Cosine,
            beta2: 0.999,
            weight_decay: 1e-3,
            clip_norm: 5.0,
            average: 0.0,
        }
    }
}

impl Recipe {
    /// Factor on the peak rate at the share `progress` of training.
    ///
    /// It rises linearly over the warm-up, from 0.05 at the least, and then falls by the schedule over what is left.
    pub fn rate(&self, progress: f64) -> f64 {
        if progress < self.warmup {
            // The very first step moves too.
            return (progress / self.warmup).max(0.05);
        }
        self.schedule.factor((progress - self.warmup) / (1.0 - self.warmup))
    }

    /// The optimiser, before its first step.
    pub(super) fn optimizer<B: OptimizerKernel>(&self) -> Box<dyn Optimizer<B>> {
        let (weight_decay, beta2) = (self.weight_decay, self.beta2);
        match self.optimizer {
            OptimizerKind::Adam => {
                Box::new(Adam::new(AdamConfig { weight_decay, beta2, ..AdamConfig::adamw() }))
            }
            OptimizerKind::Sgd => Box::new(Sgd::new(SgdConfig {
                momentum: 0.9,
                nesterov: true,
                weight_decay,
                ..SgdConfig::default()
            })),
        }
    }
}
