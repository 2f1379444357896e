//! The paper's findings as claims that a study can contradict, stated before it is run.
//!
//! A claim is a list of criteria, each about two configurations of one task. A criterion about scores names a region
//! for their difference: it holds where the 95 % interval of the difference lies inside of the region as a whole,
//! does not hold where it lies outside as a whole, and is undecided else.

use serde::{Deserialize, Serialize};

use super::summary::{ConfigurationSummary, TaskSummary};
use super::{Bootstrap, Configuration, Interval, TaskKind};

mod list;

pub use list::claims;

/// Seeds that a verdict on scores needs.
pub const LEAST_SEEDS: usize = 3;

/// What became of a claim, from the best to the worst: of several verdicts the worst is that of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence is what the claim says.
    Holds,
    /// The evidence agrees with the claim and with its opposite.
    Undecided,
    /// A configuration was not run.
    NotTested,
    /// The evidence is against the claim.
    DoesNotHold,
}

impl Verdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Undecided => "undecided",
            Verdict::NotTested => "not tested",
            Verdict::DoesNotHold => "does not hold",
        }
    }

    /// A sign to find it by.
    pub fn symbol(self) -> &'static str {
        match self {
            Verdict::Holds => "\u{2713}",
            Verdict::Undecided => "?",
            Verdict::NotTested => "\u{2013}",
            Verdict::DoesNotHold => "\u{2717}",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.symbol(), self.name())
    }
}

/// What has to be so; `a` and `b` are configurations of one task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Criterion {
    /// `a` is worth less than the margin more than `b`.
    AtMost { a: Configuration, b: Configuration },
    /// `a` and `b` differ by less than the margin.
    Within { a: Configuration, b: Configuration },
    /// `a` scores more than `b` by more than `by`.
    Above { a: Configuration, b: Configuration, by: f64 },
    /// The attention of `a` takes fewer multiply-adds than that of `b`.
    Cheaper { a: Configuration, b: Configuration },
    /// No configuration whose attention takes no more multiply-adds than that of `a` is worth the margin more.
    BestForCost { a: Configuration },
}

/// Points of a task's score below which a difference is of no account.
pub fn margin(task: TaskKind) -> f64 {
    if task.is_visual() { 1.5 } else { 1.0 }
}

impl Criterion {
    /// Where the difference of the scores has to lie, between two ends that may be infinite.
    pub fn region(&self, task: TaskKind) -> Option<(f64, f64)> {
        let margin = margin(task);
        match *self {
            Criterion::AtMost { .. } | Criterion::BestForCost { .. } => Some((f64::NEG_INFINITY, margin)),
            Criterion::Within { .. } => Some((-margin, margin)),
            Criterion::Above { by, .. } => Some((by, f64::INFINITY)),
            Criterion::Cheaper { .. } => None,
        }
    }

    /// The criterion in words.
    pub fn text(&self, task: TaskKind) -> String {
        let (margin, metric) = (margin(task), task.metric());
        let points = if margin == 1.0 { "point" } else { "points" };
        match self {
            Criterion::AtMost { a, b } => {
                format!(
                    "{a} is worth less than {margin} {points} of {metric} more than {b}: the interval of {a} \u{2212} {b} lies below {margin}"
                )
            }
            Criterion::Within { a, b } => {
                format!(
                    "{a} and {b} differ by less than {margin} {points} of {metric}: the interval of {a} \u{2212} {b} lies between \u{2212}{margin} and {margin}"
                )
            }
            Criterion::Above { a, b, by } if *by == 0.0 => {
                format!("{a} has more {metric} than {b}: the interval of {a} \u{2212} {b} lies above 0")
            }
            Criterion::Above { a, b, by } => {
                format!(
                    "{a} has more than {by} points of {metric} more than {b}: the interval of {a} \u{2212} {b} lies above {by}"
                )
            }
            Criterion::Cheaper { a, b } => {
                format!("The attention of {a} takes fewer multiply-adds than that of {b}")
            }
            Criterion::BestForCost { a } => {
                format!(
                    "No configuration c whose attention takes no more multiply-adds is worth {margin} {points} of {metric} more than {a}: the interval of c \u{2212} {a} lies below {margin} for each of them"
                )
            }
        }
    }

    /// Whether a difference is as the criterion wants it, and if that is left open, why.
    fn judge(&self, task: TaskKind, difference: Option<&Interval>) -> (Verdict, Option<String>) {
        let Some(difference) = difference else {
            return (Verdict::Undecided, Some("no seed was run with both".to_owned()));
        };
        if difference.seeds < LEAST_SEEDS {
            let reason = format!("{} of the {LEAST_SEEDS} seeds that a verdict needs", difference.seeds);
            return (Verdict::Undecided, Some(reason));
        }
        let (low, high) = self.region(task).expect("a criterion about scores");
        if low < difference.low && difference.high < high {
            (Verdict::Holds, None)
        } else if difference.high < low || high < difference.low {
            (Verdict::DoesNotHold, None)
        } else {
            (Verdict::Undecided, Some("the interval reaches across a margin".to_owned()))
        }
    }
}

/// One of the paper's findings.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// `F1` to `F6`.
    pub id: &'static str,
    /// In one line.
    pub title: &'static str,
    /// What it says.
    pub text: &'static str,
    /// What has to be so, and in which tasks.
    pub criteria: Vec<(Criterion, Vec<TaskKind>)>,
    /// Differences that are shown beside them and have no part in the verdict.
    pub beside: Vec<((Configuration, Configuration), Vec<TaskKind>)>,
}

/// Two configurations of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first.
    pub a: Configuration,
    /// The second.
    pub b: Configuration,
    /// Score of `a` minus score of `b`, where a seed was run with both.
    pub difference: Option<Interval>,
    /// Multiply-adds of the attention of `a` and of `b`.
    pub attention_flops: [f64; 2],
    /// Processor seconds of the training of `a` and of `b`, the median over the seeds.
    pub training_seconds: [f64; 2],
}

impl Comparison {
    fn new(task: &TaskSummary, bootstrap: &Bootstrap, a: Configuration, b: Configuration) -> Option<Self> {
        let (one, other) = (task.configuration(&a)?, task.configuration(&b)?);
        Some(Comparison {
            a,
            b,
            difference: bootstrap.difference(&a, &b),
            attention_flops: [one.attention_flops, other.attention_flops],
            training_seconds: [one.training_seconds, other.training_seconds],
        })
    }
}

/// A criterion and what became of it in one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The criterion.
    pub criterion: Criterion,
    /// The criterion in words.
    pub text: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it is undecided or not tested.
    pub reason: Option<String>,
    /// The evidence; of [`Criterion::BestForCost`] that of the strongest rival.
    pub comparison: Option<Comparison>,
    /// Of [`Criterion::BestForCost`]: how many rivals there are.
    pub rivals: Option<usize>,
}

impl Test {
    fn new(criterion: Criterion, task: TaskKind, measured: Option<(&TaskSummary, &Bootstrap)>) -> Self {
        let test = Test {
            criterion,
            text: criterion.text(task),
            verdict: Verdict::NotTested,
            reason: Some(format!("no run of {task}")),
            comparison: None,
            rivals: None,
        };
        let Some((summary, bootstrap)) = measured else { return test };
        let missing = |wanted: &[Configuration]| {
            let names = wanted.iter().filter(|c| summary.configuration(c).is_none()).map(|c| c.to_string());
            Some(format!("no run of {}", names.collect::<Vec<_>>().join(" and of ")))
        };
        let (a, b) = match criterion {
            Criterion::BestForCost { a } => {
                return match summary.configuration(&a) {
                    Some(own) => test.against_all(own, summary, bootstrap),
                    None => Test { reason: missing(&[a]), ..test },
                };
            }
            Criterion::AtMost { a, b }
            | Criterion::Within { a, b }
            | Criterion::Above { a, b, .. }
            | Criterion::Cheaper { a, b } => (a, b),
        };
        let Some(comparison) = Comparison::new(summary, bootstrap, a, b) else {
            return Test { reason: missing(&[a, b]), ..test };
        };
        let (verdict, reason) = match criterion {
            Criterion::Cheaper { .. } if comparison.attention_flops[0] < comparison.attention_flops[1] => {
                (Verdict::Holds, None)
            }
            Criterion::Cheaper { .. } => (Verdict::DoesNotHold, None),
            _ => criterion.judge(task, comparison.difference.as_ref()),
        };
        Test { verdict, reason, comparison: Some(comparison), ..test }
    }

    /// The worst verdict against every configuration that costs no more than `own`, and the strongest rival: of those
    /// with that verdict the one with the highest score.
    fn against_all(self, own: &ConfigurationSummary, summary: &TaskSummary, bootstrap: &Bootstrap) -> Self {
        let a = own.configuration;
        let others = summary.configurations.iter().filter(|rival| rival.configuration != a);
        let rivals = others.filter(|rival| rival.attention_flops <= own.attention_flops);
        let judged = rivals.filter_map(|rival| {
            let comparison = Comparison::new(summary, bootstrap, rival.configuration, a)?;
            let (verdict, reason) = self.criterion.judge(summary.task, comparison.difference.as_ref());
            Some((verdict, reason, comparison))
        });
        let judged: Vec<_> = judged.collect();
        let lead = |comparison: &Comparison| comparison.difference.map_or(f64::NEG_INFINITY, |d| d.estimate);
        let strongest = judged.iter().max_by(|x, y| x.0.cmp(&y.0).then(lead(&x.2).total_cmp(&lead(&y.2))));
        let (verdict, reason, comparison) = match strongest {
            Some((verdict, reason, comparison)) => (*verdict, reason.clone(), Some(comparison.clone())),
            None => (Verdict::NotTested, Some("no other configuration costs as little".to_owned()), None),
        };
        Test { verdict, reason, comparison, rivals: Some(judged.len()), ..self }
    }
}

/// What became of a claim in one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskVerdict {
    /// The task.
    pub task: TaskKind,
    /// The worst of the tests.
    pub verdict: Verdict,
    /// Every criterion.
    pub tests: Vec<Test>,
    /// Differences without a part in the verdict, where both were run.
    pub beside: Vec<Comparison>,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// `F1` to `F6`.
    pub id: String,
    /// In one line.
    pub title: String,
    /// What it says.
    pub text: String,
    /// The worst of the tasks.
    pub verdict: Verdict,
    /// Every task that the claim is about.
    pub tasks: Vec<TaskVerdict>,
}

impl Claim {
    /// Holds the claim against what was measured: a summary and the resampled scores of each task that was run.
    pub fn judge(&self, measured: &[(&TaskSummary, &Bootstrap)]) -> ClaimResult {
        let concerned = TaskKind::ALL
            .into_iter()
            .filter(|task| self.criteria.iter().any(|(_, tasks)| tasks.contains(task)));
        let tasks = concerned.map(|task| {
            let measured = measured.iter().copied().find(|(summary, _)| summary.task == task);
            let criteria = self.criteria.iter().filter(|(_, tasks)| tasks.contains(&task));
            let tests: Vec<Test> =
                criteria.map(|(criterion, _)| Test::new(*criterion, task, measured)).collect();
            let beside = self.beside.iter().filter(|(_, tasks)| tasks.contains(&task));
            let beside = beside.filter_map(|((a, b), _)| Comparison::new(measured?.0, measured?.1, *a, *b));
            let verdict = tests.iter().map(|test| test.verdict).max().unwrap_or(Verdict::NotTested);
            TaskVerdict { task, verdict, beside: beside.collect(), tests }
        });
        let tasks: Vec<TaskVerdict> = tasks.collect();
        ClaimResult {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            text: self.text.to_owned(),
            verdict: tasks.iter().map(|task| task.verdict).max().unwrap_or(Verdict::NotTested),
            tasks,
        }
    }
}

#[cfg(test)]
mod tests;
