//! Learning-rate schedules: the rate in force at step t, as a pure function of t.
//!
//! A schedule is a value: it compares, it prints, and a config names it by `kind`, e.g.
//! `{"kind": "inverse_sqrt", "base_lr": 5e-4, "warmup_updates": 4000}`. It holds no state, so a
//! run that resumes at step t goes on with the rate that it would have had.
//!
//! Sources: fairseq's `inverse_sqrt` and `cosine` schedulers, PyTorch's `CosineAnnealingLR`,
//! `LinearLR` with `MultiStepLR` (as in detection training) and `PolynomialLR` (as in DeepLab).

use std::f64::consts::PI;
use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// How the learning rate goes with the step.
///
/// # Examples
/// ```
/// use termwise_ops::schedule::Schedule;
///
/// let schedule = Schedule::WarmupCosine {
///     base_lr: 1.0,
///     warmup_steps: 10,
///     total_steps: 110,
///     warmup_init_lr: 0.0,
///     min_lr: 0.2,
/// };
/// assert_eq!(schedule.lr(5.0), 0.5); // half way up
/// assert_eq!(schedule.lr(10.0), 1.0);
/// assert!((schedule.lr(60.0) - 0.6).abs() < 1e-15); // half way down to the floor
/// assert_eq!(schedule.lr(1000.0), 0.2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `base_lr` at every step.
    Constant {
        /// The rate.
        base_lr: f64,
    },
    /// Linear warm-up, then decay with the inverse square root of the step (the Transformer's):
    /// `t < w: init + t (base - init) / w`, else `base sqrt(w) / sqrt(t)`. Without warm-up the
    /// decay starts from `base_lr` at step 1.
    InverseSqrt {
        /// The rate at the end of the warm-up.
        base_lr: f64,
        /// w, the steps of the warm-up.
        #[serde(default)]
        warmup_updates: u64,
        /// The rate at step 0; negative means 0.
        #[serde(default = "unset")]
        warmup_init_lr: f64,
    },
    /// Linear warm-up, then cosine annealing with restarts (the dynamic convolutions'): in cycle i,
    /// which is `t_mult^i period` steps long, `min + (base - min) (1 + cos(pi s)) / 2` at the share
    /// s of the cycle, both `base` and `min` multiplied by `lr_shrink^i`.
    FairseqCosine {
        /// The rate at the start of the first cycle.
        base_lr: f64,
        /// The rate at the end of the first cycle.
        #[serde(default)]
        min_lr: f64,
        /// Steps of the warm-up.
        #[serde(default)]
        warmup_updates: u64,
        /// The rate at step 0; negative means `min_lr`.
        #[serde(default = "unset")]
        warmup_init_lr: f64,
        /// Steps of the first cycle.
        period: f64,
        /// Each cycle is so many times longer than the one before; at least 1.
        #[serde(default = "one")]
        t_mult: f64,
        /// Each cycle's rates are so many times those of the one before.
        #[serde(default = "one")]
        lr_shrink: f64,
    },
    /// `eta_min + (base - eta_min) (1 + cos(pi t / t_max)) / 2`. It rises again after `t_max`.
    Cosine {
        /// The rate at step 0.
        base_lr: f64,
        /// The rate at step `t_max`.
        #[serde(default)]
        eta_min: f64,
        /// Steps of the half wave.
        t_max: f64,
    },
    /// Steps down by `gamma` at each milestone m <= t, times a linear warm-up of the factor:
    /// `base gamma^#{m <= t} (f + (1 - f) min(t, w) / w)`.
    MultistepLinearWarmup {
        /// The rate after the warm-up, before the first milestone.
        base_lr: f64,
        /// The steps at which the rate drops, in any order; one that is listed twice drops twice.
        milestones: Vec<u64>,
        /// The factor of each drop.
        gamma: f64,
        /// w, the steps of the warm-up; 0 for none.
        #[serde(default)]
        warmup_iters: u64,
        /// f, the factor at step 0.
        #[serde(default = "one")]
        start_factor: f64,
    },
    /// `base (1 - t / total)^power`, and 0 from `total_iters` on.
    Poly {
        /// The rate at step 0.
        base_lr: f64,
        /// The step at which the rate reaches 0.
        total_iters: f64,
        /// 1 is linear decay.
        power: f64,
    },
    /// Linear warm-up, then one half wave of a cosine down to `min_lr`, and `min_lr` from
    /// `total_steps` on.
    WarmupCosine {
        /// The rate at the end of the warm-up.
        base_lr: f64,
        /// Steps of the warm-up.
        #[serde(default)]
        warmup_steps: u64,
        /// All steps, those of the warm-up included.
        total_steps: u64,
        /// The rate at step 0.
        #[serde(default)]
        warmup_init_lr: f64,
        /// The floor.
        #[serde(default)]
        min_lr: f64,
    },
}

fn unset() -> f64 {
    -1.0
}

fn one() -> f64 {
    1.0
}

impl Schedule {
    /// The learning rate in force at `step`, which counts from 0 and need not be whole (a schedule
    /// in epochs can be read within one).
    ///
    /// # Panics
    /// If `step` is negative or not finite, or [`check`](Self::check) fails.
    ///
    /// # Examples
    /// ```
    /// use termwise_ops::schedule::Schedule;
    /// let near = |schedule: &Schedule, step: f64, expected: f64| (schedule.lr(step) - expected).abs() < 1e-12;
    ///
    /// let schedule = Schedule::InverseSqrt { base_lr: 1.0, warmup_updates: 4, warmup_init_lr: -1.0 };
    /// assert!(near(&schedule, 2.0, 0.5) && near(&schedule, 4.0, 1.0) && near(&schedule, 16.0, 0.5));
    ///
    /// let (milestones, gamma, start_factor) = (vec![8, 11], 0.1, 0.2);
    /// let schedule =
    ///     Schedule::MultistepLinearWarmup { base_lr: 1.0, milestones, gamma, warmup_iters: 4, start_factor };
    /// assert!(near(&schedule, 0.0, 0.2) && near(&schedule, 2.0, 0.6) && near(&schedule, 7.0, 1.0));
    /// assert!(near(&schedule, 8.0, 0.1) && near(&schedule, 11.0, 0.01));
    ///
    /// let schedule = Schedule::Poly { base_lr: 1.0, total_iters: 100.0, power: 2.0 };
    /// assert!(near(&schedule, 50.0, 0.25) && near(&schedule, 100.0, 0.0));
    ///
    /// // Cycles of 10 and of 20 steps, the second from half of the rate.
    /// let text = r#"{"kind": "fairseq_cosine", "base_lr": 1.0, "period": 10, "t_mult": 2, "lr_shrink": 0.5}"#;
    /// let schedule: Schedule = serde_json::from_str(text).unwrap();
    /// assert!(near(&schedule, 5.0, 0.5) && near(&schedule, 10.0, 0.5) && near(&schedule, 20.0, 0.25));
    /// ```
    #[track_caller]
    pub fn lr(&self, step: f64) -> f64 {
        assert!(
            step >= 0.0 && step.is_finite(),
            "Schedule::lr: step is {step}, expected a finite number, at least 0"
        );
        if let Err(error) = self.check() {
            panic!("Schedule::lr: {error}");
        }
        match *self {
            Self::Constant { base_lr } => base_lr,
            Self::InverseSqrt { base_lr, warmup_updates, warmup_init_lr } => {
                let warmup = warmup_updates as f64;
                if step < warmup {
                    return ramp(warmup_init_lr.max(0.0), base_lr, step / warmup);
                }
                base_lr * warmup.max(1.0).sqrt() / step.max(1.0).sqrt()
            }
            Self::FairseqCosine {
                base_lr,
                min_lr,
                warmup_updates,
                warmup_init_lr,
                period,
                t_mult,
                lr_shrink,
            } => {
                let warmup = warmup_updates as f64;
                if step < warmup {
                    let start = if warmup_init_lr < 0.0 { min_lr } else { warmup_init_lr };
                    return ramp(start, base_lr, step / warmup);
                }
                let (cycle, share) = cycle_at(step - warmup, period, t_mult);
                lr_shrink.powf(cycle) * half_wave(base_lr, min_lr, share)
            }
            Self::Cosine { base_lr, eta_min, t_max } => half_wave(base_lr, eta_min, step / t_max),
            Self::MultistepLinearWarmup { base_lr, ref milestones, gamma, warmup_iters, start_factor } => {
                let drops = milestones.iter().filter(|&&milestone| milestone as f64 <= step).count();
                let warmup = warmup_iters as f64;
                let factor = if step < warmup { ramp(start_factor, 1.0, step / warmup) } else { 1.0 };
                base_lr * gamma.powf(drops as f64) * factor
            }
            Self::Poly { base_lr, total_iters, power } => {
                if step < total_iters {
                    base_lr * (1.0 - step / total_iters).powf(power)
                } else {
                    0.0
                }
            }
            Self::WarmupCosine { base_lr, warmup_steps, total_steps, warmup_init_lr, min_lr } => {
                let (warmup, total) = (warmup_steps as f64, total_steps as f64);
                if step < warmup {
                    ramp(warmup_init_lr, base_lr, step / warmup)
                } else if step < total {
                    half_wave(base_lr, min_lr, (step - warmup) / (total - warmup))
                } else {
                    min_lr
                }
            }
        }
    }

    /// Whether the numbers describe a schedule: rates finite and not negative (save where negative
    /// means "not set"), lengths positive. A config that was read should be checked once.
    ///
    /// # Errors
    /// Naming the first field that is wrong.
    ///
    /// # Examples
    /// ```
    /// use termwise_ops::schedule::Schedule;
    /// let error = Schedule::Poly { base_lr: 0.1, total_iters: 0.0, power: 0.9 }.check().unwrap_err();
    /// assert_eq!(error.to_string(), "total_iters is 0, expected a finite number above 0");
    /// ```
    pub fn check(&self) -> Result<(), ScheduleError> {
        match *self {
            Self::Constant { base_lr } => rate("base_lr", base_lr),
            Self::InverseSqrt { base_lr, warmup_init_lr, .. } => {
                rate("base_lr", base_lr)?;
                finite("warmup_init_lr", warmup_init_lr)
            }
            Self::FairseqCosine { base_lr, min_lr, warmup_init_lr, period, t_mult, lr_shrink, .. } => {
                rate("base_lr", base_lr)?;
                rate("min_lr", min_lr)?;
                finite("warmup_init_lr", warmup_init_lr)?;
                length("period", period)?;
                // Shorter and shorter cycles would come to an end.
                require("t_mult", t_mult, t_mult.is_finite() && t_mult >= 1.0, "at least 1")?;
                rate("lr_shrink", lr_shrink)
            }
            Self::Cosine { base_lr, eta_min, t_max } => {
                rate("base_lr", base_lr)?;
                rate("eta_min", eta_min)?;
                length("t_max", t_max)
            }
            Self::MultistepLinearWarmup { base_lr, gamma, start_factor, .. } => {
                rate("base_lr", base_lr)?;
                rate("gamma", gamma)?;
                rate("start_factor", start_factor)
            }
            Self::Poly { base_lr, total_iters, power } => {
                rate("base_lr", base_lr)?;
                length("total_iters", total_iters)?;
                rate("power", power)
            }
            Self::WarmupCosine { base_lr, warmup_steps, total_steps, warmup_init_lr, min_lr } => {
                rate("base_lr", base_lr)?;
                rate("warmup_init_lr", warmup_init_lr)?;
                rate("min_lr", min_lr)?;
                let fits = total_steps >= warmup_steps;
                require("total_steps", total_steps as f64, fits, "at least warmup_steps")
            }
        }
    }
}

/// From `start` to `end` as `share` goes from 0 to 1.
fn ramp(start: f64, end: f64, share: f64) -> f64 {
    start + (end - start) * share
}

/// From `high` to `low` along a cosine as `share` goes from 0 to 1.
fn half_wave(high: f64, low: f64, share: f64) -> f64 {
    low + 0.5 * (high - low) * (1.0 + (PI * share).cos())
}

/// The cycle that holds `step`, and the share of it that has passed. Cycle i is
/// `period mult^i` long.
fn cycle_at(step: f64, period: f64, mult: f64) -> (f64, f64) {
    if mult == 1.0 {
        let cycle = (step / period).floor();
        return (cycle, (step - cycle * period) / period);
    }
    // Walking, not a logarithm: log(243) / log(3) is 4.999.., one cycle too few.
    let (mut cycle, mut rest, mut length) = (0.0, step, period);
    while rest >= length {
        rest -= length;
        length *= mult;
        cycle += 1.0;
    }
    (cycle, rest / length)
}

/// A number in a [`Schedule`] that describes no schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleError {
    /// The field's name.
    pub field: &'static str,
    /// Its value.
    pub found: f64,
    /// What it has to be.
    pub expected: &'static str,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.field, self.found, self.expected)
    }
}

impl std::error::Error for ScheduleError {}

fn require(
    field: &'static str,
    found: f64,
    holds: bool,
    expected: &'static str,
) -> Result<(), ScheduleError> {
    if holds { Ok(()) } else { Err(ScheduleError { field, found, expected }) }
}

fn finite(field: &'static str, value: f64) -> Result<(), ScheduleError> {
    require(field, value, value.is_finite(), "a finite number")
}

fn rate(field: &'static str, value: f64) -> Result<(), ScheduleError> {
    require(field, value, value.is_finite() && value >= 0.0, "a finite number, at least 0")
}

fn length(field: &'static str, value: f64) -> Result<(), ScheduleError> {
    require(field, value, value.is_finite() && value > 0.0, "a finite number above 0")
}
