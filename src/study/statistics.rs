//! Means and differences of scores, and how far chance reaches.
//!
//! Another seed gives another score, and so does another choice of validation items. Both are resampled at once: a
//! replicate draws items and seeds with replacement, the same draw for every configuration of a task, so that what
//! they share (a hard picture, a lucky order of the data) cancels in their difference. The 2.5th and 97.5th
//! percentile of the replicates, which are too close together where seeds are few, are moved away from the estimate
//! by the factor
//!
//! ```text
//! sqrt(n / (n - 1)) t(.975, n - 1) / z(.975)      for n seeds
//! ```
//!
//! The factor is right where scores differ by the seed. Where they differ by the choice of items alone it makes the
//! interval wider than it need be, by 2.7 for three seeds and 1.6 for five: a verdict is then rather left open.
//!
//! Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993; the factor: Hesterberg, "What Teachers
//! Should Know About the Bootstrap", The American Statistician 69 (2015), section 4.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::{Configuration, Run};

/// Replicates of the bootstrap.
pub const REPLICATES: usize = 1000;

/// Seed of its draws.
const SEED: u64 = 190_405_873;

/// Draws of items that are tried before a replicate is given up: a choice of pictures without any object has no
/// score, and is drawn again.
const ATTEMPTS: usize = 1000;

/// What an interval takes into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The choice of validation items alone: there is one seed, and no claim can rest on it.
    Items,
    /// The choice of seeds and of validation items.
    SeedsAndItems,
}

/// A mean score or a difference of two, with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean over the seeds, all items.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How many seeds it is made of.
    pub seeds: usize,
    /// What it takes into account.
    pub over: Over,
}

/// The scores of one task's runs, and those of their replicates.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    configurations: Vec<Configuration>,
    num_seeds: usize,
    /// For each configuration and seed, where there is a run: the score of all items, then that of each replicate.
    scores: Vec<Option<Vec<f64>>>,
    /// For each replicate a number in [0, 1) for each seed, by which seeds are drawn.
    draws: Vec<Vec<f64>>,
}

impl Bootstrap {
    /// Resamples the runs of one task, in parallel; the numbers do not depend on how many threads there are.
    ///
    /// # Errors
    /// If there is no run or no item, if the runs are of several tasks, or one is there twice, if they were measured
    /// on different numbers of items, or a score is not what its evidence says.
    pub fn new(runs: &[&Run]) -> Result<Self, String> {
        let num_items = check(runs)?;
        let (mut configurations, mut seeds) = (Vec::new(), Vec::new());
        for id in runs.iter().map(|run| run.record.id) {
            if !configurations.contains(&id.configuration) {
                configurations.push(id.configuration);
            }
            if !seeds.contains(&id.seed) {
                seeds.push(id.seed);
            }
        }
        seeds.sort_unstable();
        let replicates: Vec<Vec<f64>> = (0..REPLICATES)
            .into_par_iter()
            .map(|replicate| replicate_scores(runs, num_items, replicate))
            .collect::<Result<_, _>>()?;
        let mut scores = vec![None; configurations.len() * seeds.len()];
        for (r, run) in runs.iter().enumerate() {
            let configuration = configurations.iter().position(|c| *c == run.record.id.configuration);
            let seed = seeds.iter().position(|seed| *seed == run.record.id.seed);
            let place = configuration.zip(seed).map(|(c, s)| c * seeds.len() + s).expect("both were listed");
            let replicates = replicates.iter().map(|scores| scores[r]);
            scores[place] = Some(std::iter::once(run.evidence.score_of_all()).chain(replicates).collect());
        }
        let draw = |replicate| {
            let mut rng = stream(replicate, 1);
            (0..seeds.len()).map(|_| rng.random::<f64>()).collect()
        };
        Ok(Bootstrap {
            configurations,
            num_seeds: seeds.len(),
            scores,
            draws: (0..REPLICATES).map(draw).collect(),
        })
    }

    /// The mean score of a configuration; none where it was not run.
    pub fn mean(&self, of: &Configuration) -> Option<Interval> {
        self.interval(&self.of(of)?.iter().flatten().cloned().collect::<Vec<_>>())
    }

    /// How much more `a` scores than `b` with the seeds that both have; none where they have none in common.
    pub fn difference(&self, a: &Configuration, b: &Configuration) -> Option<Interval> {
        let both = self.of(a)?.iter().zip(self.of(b)?).filter_map(|(a, b)| a.as_ref().zip(b.as_ref()));
        let differences = both.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect());
        self.interval(&differences.collect::<Vec<Vec<f64>>>())
    }

    /// The runs of a configuration, one place for each seed.
    fn of(&self, configuration: &Configuration) -> Option<&[Option<Vec<f64>>]> {
        let place = self.configurations.iter().position(|c| c == configuration)?;
        Some(&self.scores[place * self.num_seeds..][..self.num_seeds])
    }

    /// From the values of each seed: that of all items, then those of the replicates.
    fn interval(&self, seeds: &[Vec<f64>]) -> Option<Interval> {
        let n = seeds.len();
        if n == 0 {
            return None;
        }
        let estimate = seeds.iter().map(|values| values[0]).sum::<f64>() / n as f64;
        let replicate = |(r, draws): (usize, &Vec<f64>)| {
            let drawn = draws[..n].iter().map(|draw| &seeds[(draw * n as f64) as usize]);
            drawn.map(|values| values[r + 1]).sum::<f64>() / n as f64
        };
        let mut replicates: Vec<f64> = self.draws.iter().enumerate().map(replicate).collect();
        replicates.sort_by(f64::total_cmp);
        let factor = widening(n);
        // Of a score that is no mean the percentiles may lie on one side of the estimate.
        let below = factor * (estimate - quantile(&replicates, 0.025)).max(0.0);
        let above = factor * (quantile(&replicates, 0.975) - estimate).max(0.0);
        let over = if n == 1 { Over::Items } else { Over::SeedsAndItems };
        Some(Interval { estimate, low: estimate - below, high: estimate + above, seeds: n, over })
    }
}

/// The number of items, if it is one and the runs fit together.
fn check(runs: &[&Run]) -> Result<usize, String> {
    let first = *runs.first().ok_or("no run to compare")?;
    let num_items = first.evidence.num_items();
    if num_items == 0 {
        return Err(format!("{}: evidence: expected one item or more, found none", first.record.id));
    }
    for (r, run) in runs.iter().enumerate() {
        let id = run.record.id;
        let other_task = id.task != first.record.id.task
            || std::mem::discriminant(&run.evidence) != std::mem::discriminant(&first.evidence);
        if other_task {
            return Err(format!("{id}: expected the task of {}, found another", first.record.id));
        }
        if run.evidence.num_items() != num_items {
            return Err(format!(
                "{id}: evidence: expected {num_items} items as in {}, found {}",
                first.record.id,
                run.evidence.num_items()
            ));
        }
        if runs[..r].iter().any(|earlier| earlier.record.id == id) {
            return Err(format!("{id}: expected one run, found two"));
        }
        let score = run.evidence.score_of_all();
        // Negated, so that what is not a number is refused.
        if !((score - run.record.score).abs() <= 1e-6 && score >= 0.0) {
            return Err(format!(
                "{id}: score: expected {score} as its evidence says, found {}",
                run.record.score
            ));
        }
    }
    Ok(num_items)
}

/// The score of each run on items drawn with replacement.
fn replicate_scores(runs: &[&Run], num_items: usize, replicate: usize) -> Result<Vec<f64>, String> {
    let mut rng = stream(replicate, 0);
    for _ in 0..ATTEMPTS {
        let mut weights = vec![0; num_items];
        // u64: the same on every machine
        (0..num_items).for_each(|_| weights[rng.random_range(0..num_items as u64) as usize] += 1);
        let scores: Vec<f64> = runs.iter().map(|run| run.evidence.score(&weights)).collect();
        if scores.iter().all(|score| *score >= 0.0) {
            return Ok(scores);
        }
    }
    let task = runs[0].record.id.task;
    Err(format!("{task}: no choice of {num_items} items on which every run has a score was found"))
}

/// The random numbers of a replicate, apart for items and seeds.
fn stream(replicate: usize, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    rng.set_stream(2 * replicate as u64 + purpose);
    rng
}

/// By how much percentiles over `n` seeds lie too close together; see the [module](self).
fn widening(n: usize) -> f64 {
    if n < 2 {
        return 1.0;
    }
    let freedom = (n - 1) as f64;
    let t = StudentsT::new(0.0, 1.0, freedom).expect("one degree of freedom or more").inverse_cdf(0.975);
    (n as f64 / freedom).sqrt() * t / Normal::standard().inverse_cdf(0.975)
}

/// Of sorted values, between the two nearest by a straight line.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let along = share * (sorted.len() - 1) as f64;
    let (below, above) = (along.floor() as usize, along.ceil() as usize);
    sorted[below] + (along - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
