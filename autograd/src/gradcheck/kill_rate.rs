//! How many planted faults the checker catches, over many cases.

use std::fmt;

use serde::Serialize;

use super::plant::{FaultOutcome, plant_in};
use super::{Case, Verdict};
use crate::Cpu;

/// How many planted faults were caught, and how many called by their name. Displays as a table, a line for each
/// fault and one for all, and below it what was missed and skipped.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KillRate {
    /// One line for each fault.
    pub faults: Vec<FaultCount>,
    /// The faults that were not caught, or not called by their name.
    pub missed: Vec<FaultOutcome>,
    /// Cases that do not pass as they are, with their verdict: nothing was planted there.
    pub skipped: Vec<(String, Verdict)>,
}

/// One line of a [`KillRate`].
#[derive(Clone, Debug, Serialize)]
pub struct FaultCount {
    /// The fault.
    pub fault: &'static str,
    /// How often it was planted.
    pub planted: usize,
    /// How often the verdict was FAIL.
    pub caught: usize,
    /// How often what arrived at an input has a name.
    pub nameable: usize,
    /// How often that name was among the diagnoses.
    pub named: usize,
}

/// Plants every fault in every case, and counts: see [`plant`](super::plant()) for which apply.
///
/// # Examples
/// ```
/// use termwise_autograd::gradcheck::{Built, Case, Verdict, kill_rate};
/// # use termwise_autograd::{Array, Cpu, Op, Var, apply};
/// # struct Map(fn(f64) -> f64, fn(f64) -> f64);
/// # impl Op<Cpu<f64>, 1> for Map {
/// #     type Saved = Array<Cpu<f64>>;
/// #     fn name(&self) -> &'static str { "map" }
/// #     fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, Self::Saved) {
/// #         (x.view().mapv(self.0).into(), x.clone())
/// #     }
/// #     fn backward(&self, x: &Self::Saved, g: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
/// #         [Some((x.view().mapv(self.1) * g.view()).into())]
/// #     }
/// # }
/// # fn map(x: &Var<Cpu<f64>>, value: fn(f64) -> f64, derivative: fn(f64) -> f64) -> Var<Cpu<f64>> {
/// #     apply(Map(value, derivative), [x])
/// # }
/// let case = |derivative: fn(f64) -> f64| {
///     Case::new("square", "", &[3], move |shape, samples| {
///         Built::new([("x", samples.normal(shape))], move |v| map(&v[0], |x| x * x, derivative))
///     })
/// };
/// let (right, wrong) = (case(|x| 2.0 * x), case(|x| x));
/// let rate = kill_rate(&[right.clone(), right, wrong]);
/// let doubled = rate.faults.iter().find(|count| count.fault == "x 2").unwrap();
/// assert_eq!((doubled.planted, doubled.caught, doubled.named), (2, 2, 2)); // in each case that is right as it is
/// assert!(rate.is_perfect() && rate.missed.is_empty());
/// assert!(!kill_rate(&[case(|x| x)]).is_perfect()); // nothing could be planted
/// assert_eq!(rate.skipped, [("square [] [3]".to_string(), Verdict::Fail)]);
/// ```
pub fn kill_rate(cases: &[Case<Cpu<f64>>]) -> KillRate {
    let mut rate = KillRate::default();
    for case in cases {
        match plant_in(case) {
            Ok(outcomes) => outcomes.into_iter().for_each(|outcome| rate.add(outcome)),
            Err(verdict) => rate.skipped.push((format!("{case:?}"), verdict)),
        }
    }
    rate
}

impl KillRate {
    fn add(&mut self, outcome: FaultOutcome) {
        let position =
            self.faults.iter().position(|count| count.fault == outcome.fault).unwrap_or_else(|| {
                self.faults.push(FaultCount {
                    fault: outcome.fault,
                    planted: 0,
                    caught: 0,
                    nameable: 0,
                    named: 0,
                });
                self.faults.len() - 1
            });
        let count = &mut self.faults[position];
        count.planted += 1;
        count.caught += usize::from(outcome.caught);
        count.nameable += usize::from(outcome.named.is_some());
        count.named += usize::from(outcome.named == Some(true));
        if !outcome.caught || outcome.named == Some(false) {
            self.missed.push(outcome);
        }
    }

    /// Over all faults.
    pub fn total(&self) -> FaultCount {
        let sum = |field: fn(&FaultCount) -> usize| self.faults.iter().map(field).sum();
        FaultCount {
            fault: "all",
            planted: sum(|count| count.planted),
            caught: sum(|count| count.caught),
            nameable: sum(|count| count.nameable),
            named: sum(|count| count.named),
        }
    }

    /// Whether every fault was caught, named or not; false where none was planted, which shows nothing.
    pub fn is_perfect(&self) -> bool {
        !self.faults.is_empty() && self.faults.iter().all(|count| count.caught == count.planted)
    }
}

impl fmt::Display for KillRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:20} {:>8} {:>8} {:>6}  called by its name",
            "planted fault", "planted", "caught", "%"
        )?;
        for count in self.faults.iter().chain([&self.total()]) {
            let percent = 100.0 * count.caught as f64 / count.planted.max(1) as f64;
            writeln!(
                f,
                "{:20} {:8} {:8} {percent:6.1}  {} of {}",
                count.fault, count.planted, count.caught, count.named, count.nameable
            )?;
        }
        for missed in &self.missed {
            let what = if missed.caught { "caught, not named" } else { "NOT CAUGHT" };
            writeln!(
                f,
                "{what}: {} in input {} of {}, case {} [{}] {:?}: {}",
                missed.fault,
                missed.position,
                missed.op,
                missed.case,
                missed.label,
                missed.shape,
                missed.finding
            )?;
        }
        for (case, verdict) in &self.skipped {
            writeln!(f, "nothing planted in {case}: {verdict}")?;
        }
        Ok(())
    }
}
