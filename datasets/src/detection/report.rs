//! What a reader skipped or changed.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::DataError;

/// Whether questionable boxes are counted and skipped, or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Each [`Problem`] is counted and handled as its documentation says.
    #[default]
    Lenient,
    /// The first [`Problem`] is an error.
    Strict,
}

/// A fault of an annotation that a reader can pass over. Every other fault is an error under any [`Strictness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// A box whose right side is not right of its left side, or its lower not below its upper. Skipped.
    NoArea,
    /// A box that lies outside of its picture. Skipped.
    Outside,
    /// A box that reaches beyond its picture by more than a hundredth of a pixel. Clipped.
    PartlyOutside,
    /// A box of a class that the class list does not have. Skipped.
    UnknownClass,
    /// An annotation (PASCAL VOC) without the size of its picture, or with the size 0. That of the picture is taken.
    NoSize,
}

impl Problem {
    /// What is counted, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoArea => "boxes without area, skipped",
            Self::Outside => "boxes outside of the picture, skipped",
            Self::PartlyOutside => "boxes partly outside of the picture, clipped",
            Self::UnknownClass => "boxes of unknown classes, skipped",
            Self::NoSize => "annotations without the size of the picture, taken from the picture",
        }
    }
}

/// How often a [`Problem`] was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How often; at least once.
    pub count: u64,
    /// The first one as one line: file, line or field, what was expected, what was found.
    pub first: String,
}

/// The problems of a split, each kind with its count and its first example. Displays as one line for each kind; empty
/// where there is none.
///
/// # Examples
/// ```
/// use termwise_datasets::detection::{DetectionFolder, Problem, Strictness};
/// use termwise_datasets::png_out::write_picture;
/// let folder = tempfile::tempdir()?;
/// let root = folder.path();
/// std::fs::create_dir_all(root.join("images/train"))?;
/// std::fs::create_dir_all(root.join("labels/train"))?;
/// write_picture(&root.join("images/train/a.png"), &ndarray::Array3::zeros((20, 40, 3)))?;
/// std::fs::write(root.join("labels/train/a.txt"), "0 0.5 0.5 0 0.5\n0 1.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0\n")?;
/// let report = DetectionFolder::open(root, "train", Strictness::Lenient)?.report().clone();
/// assert_eq!((report.count(Problem::NoArea), report.count(Problem::Outside)), (2, 1));
/// assert_eq!((report.count(Problem::UnknownClass), report.is_clean()), (0, false));
/// let (problem, finding) = report.findings().next().unwrap();
/// assert_eq!((problem, finding.count), (Problem::NoArea, 2));
/// let expected = "a.txt, line 1: box: expected a box with x0 < x1 and y0 < y1, found x 20 to 20, y 5 to 15";
/// assert!(finding.first.ends_with(expected));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectionReport {
    findings: BTreeMap<Problem, Finding>,
}

impl DetectionReport {
    /// Whether nothing was skipped or changed.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How often a problem was found.
    pub fn count(&self, problem: Problem) -> u64 {
        self.findings.get(&problem).map_or(0, |finding| finding.count)
    }

    /// Every kind that was found, in the order of [`Problem`].
    pub fn findings(&self) -> impl Iterator<Item = (Problem, &Finding)> {
        self.findings.iter().map(|(&problem, finding)| (problem, finding))
    }

    /// Counts a problem, or gives its error back under [`Strictness::Strict`].
    pub(super) fn add(
        &mut self,
        strictness: Strictness,
        problem: Problem,
        error: impl FnOnce() -> DataError,
    ) -> Result<(), DataError> {
        if strictness == Strictness::Strict {
            return Err(error());
        }
        let new = || Finding { count: 0, first: error().to_string() };
        self.findings.entry(problem).or_insert_with(new).count += 1;
        Ok(())
    }
}

impl fmt::Display for DetectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (problem, finding)) in self.findings().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{} {}; the first: {}", finding.count, problem.name(), finding.first)?;
        }
        Ok(())
    }
}
