//! What came of a folder of cases.

use std::collections::BTreeMap;
use std::fmt;

use crate::case::Outcome;

/// One thing that is wrong with one case, or with the folder.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The case file, or the folder's listing.
    pub file: String,
    /// The tensor or attribute, where it is about one.
    pub tensor: String,
    /// What was expected and what was found.
    pub message: String,
}

/// The cases of one operation.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Cases without a failure.
    pub passed: usize,
    /// All cases.
    pub total: usize,
    /// Tensors compared.
    pub compared: usize,
    /// The largest error of them, as a share of its tolerance.
    pub worst: f64,
    /// Case and tensor that have it.
    pub worst_at: String,
}

/// Counts by operation, and every failure.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<String, Count>,
    failures: Vec<Failure>,
}

impl Report {
    /// Adds what came of the case `file` of `op`.
    pub fn case(&mut self, op: &str, file: &str, outcome: Outcome) {
        let count = self.counts.entry(op.to_string()).or_default();
        count.total += 1;
        count.passed += usize::from(outcome.failures.is_empty());
        count.compared += outcome.compared;
        if outcome.worst > count.worst {
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            let short = stem.strip_prefix(op).unwrap_or(stem).trim_start_matches('_');
            (count.worst, count.worst_at) = (outcome.worst, format!("{short} {}", outcome.worst_at));
        }
        let failure = |(tensor, message)| Failure { file: file.to_string(), tensor, message };
        self.failures.extend(outcome.failures.into_iter().map(failure));
    }

    /// Adds a failure of the folder itself, or of a file that could not be read as a case.
    pub fn fail(&mut self, file: &str, message: impl Into<String>) {
        self.failures.push(Failure {
            file: file.to_string(),
            tensor: String::new(),
            message: message.into(),
        });
    }

    /// Whether at least one case ran and nothing failed.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.counts.values().any(|count| count.total > 0)
    }

    /// How many things are wrong.
    pub fn num_failures(&self) -> usize {
        self.failures.len()
    }

    /// Everything that is wrong.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Cases that passed and all cases.
    pub fn totals(&self) -> (usize, usize) {
        self.counts.values().fold((0, 0), |(passed, total), c| (passed + c.passed, total + c.total))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for failure in &self.failures {
            if failure.file != last {
                writeln!(f, "{}", failure.file)?;
                last = &failure.file;
            }
            let colon = if failure.tensor.is_empty() { "" } else { ": " };
            writeln!(f, "    {}{colon}{}", failure.tensor, failure.message)?;
        }
        if !self.failures.is_empty() {
            writeln!(f)?;
        }
        writeln!(f, "{:36} {:>9} {:>9} {:>18}", "operation", "passed", "compared", "worst / tolerance")?;
        for (op, Count { passed, total, compared, worst, worst_at }) in &self.counts {
            let mark = if passed == total { "" } else { "  FAILED" };
            // Rounding far below the tolerance has no place worth naming.
            let place = if *worst < 1e-3 { "" } else { worst_at.as_str() };
            let passed = format!("{passed}/{total}");
            let row = format!("{op:36} {passed:>9} {compared:>9} {worst:>18.2e}  {place}");
            writeln!(f, "{}{mark}", row.trim_end())?;
        }
        let (passed, total) = self.totals();
        let compared: usize = self.counts.values().map(|count| count.compared).sum();
        let name = format!("{} operations", self.counts.len());
        writeln!(f, "{name:36} {:>9} {compared:>9}", format!("{passed}/{total}"))
    }
}
