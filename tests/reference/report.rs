//! What came of a folder of cases.

use std::collections::BTreeMap;
use std::fmt;

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
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Cases without a failure.
    pub passed: usize,
    /// All cases.
    pub total: usize,
    /// Tensors compared.
    pub compared: usize,
    /// The largest error of them, as a share of its tolerance.
    pub worst: f64,
}

/// Counts by operation, and every failure.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<String, Count>,
    failures: Vec<Failure>,
}

impl Report {
    /// Adds a case of `op` that compared so many tensors, with this worst share of the tolerance.
    pub fn case(&mut self, op: &str, failures: Vec<Failure>, compared: usize, worst: f64) {
        let count = self.counts.entry(op.to_string()).or_default();
        count.total += 1;
        count.passed += usize::from(failures.is_empty());
        count.compared += compared;
        count.worst = if worst.is_nan() || worst > count.worst { worst } else { count.worst };
        self.failures.extend(failures);
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
        for (op, Count { passed, total, compared, worst }) in &self.counts {
            let mark = if passed == total { "" } else { "  FAILED" };
            writeln!(f, "{op:36} {:>9} {compared:>9} {worst:>18.2e}{mark}", format!("{passed}/{total}"))?;
        }
        let (passed, total) = self.totals();
        let compared: usize = self.counts.values().map(|count| count.compared).sum();
        let name = format!("{} operations", self.counts.len());
        writeln!(f, "{name:36} {:>9} {compared:>9}", format!("{passed}/{total}"))
    }
}
