//! What a check found, for people and for machines.

use serde::Serialize;

/// The outcome of a check, from the best to the worst: that of a whole is the largest of its parts.
///
/// # Examples
/// ```
/// use termwise_autograd::gradcheck::{Verdict, check};
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
/// let verdict = |value, derivative| {
///     let x = ndarray::arr1(&[1.0, 2.5]).into_dyn();
///     check("map", &[("x", x)], move |v| map(&v[0], value, derivative)).verdict()
/// };
/// assert_eq!(verdict(|x| x * x, |x| 2.0 * x), Verdict::Pass);
/// assert_eq!(verdict(|x| (x - 1.0).abs(), |_| 1.0), Verdict::Kink); // at 1; -1 would do as well
/// assert_eq!(verdict(|x| x.floor(), |_| 0.0), Verdict::Inconclusive); // it jumps at 1
/// assert_eq!(verdict(|x| x * x, |x| 2.02 * x), Verdict::Fail);
/// assert_eq!(verdict(|x| (x - 1.0).ln(), |x| 1.0 / (x - 1.0)), Verdict::Fail); // -inf at 1
/// assert!(Verdict::Kink < Verdict::Inconclusive && Verdict::Fail.to_string() == "FAIL");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The gradient is right.
    Pass,
    /// The point lies on a kink, and the analytic derivative is an admissible one there.
    Kink,
    /// Finite differences cannot tell at this point.
    Inconclusive,
    /// The gradient is wrong, or a law is broken.
    Fail,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Pass => "PASS",
            Verdict::Kink => "KINK",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Fail => "FAIL",
        })
    }
}

/// Which derivative an analytic one equals at a kink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The left one.
    Left,
    /// The right one.
    Right,
    /// The mean of both.
    Mean,
    /// One between both.
    Between,
}

/// What a check found; see [`check`](super::check()).
///
/// Displayed it is a text of at most 25 lines: verdict, worst input, diagnosis, the worst cells and a map of where
/// they lie.
///
/// # Examples
/// ```
/// use termwise_autograd::gradcheck::{Law, check};
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
/// let x = ndarray::arr2(&[[0.5, -1.0], [2.0, 0.25]]).into_dyn();
/// let report = check("square", &[("x", x)], |v| map(&v[0], |x| x * x, |x| if x == 2.0 { 8.0 } else { 2.0 * x }));
/// assert_eq!(report.inputs[0].map, ["..", "#."]); // the element of the second row is wrong
/// let summary = report.summary();
/// assert_eq!((summary.mode, summary.cells, summary.wrong, summary.laws), ("full", 16, 1, [5, 5]));
/// let laws: Vec<Law> = report.laws.iter().map(|law| law.law).collect();
/// assert_eq!(laws, [Law::Linear, Law::Twice, Law::Unchanged, Law::Threads, Law::Repeatable]);
/// assert!(report.to_json().starts_with(r#"{"op":"square","label":"","verdict":"FAIL","seed":0"#));
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The operation's name.
    pub op: String,
    /// What sets a [`Case`](super::Case) apart from the others of its op.
    pub label: String,
    /// The verdict on everything together.
    pub verdict: Verdict,
    /// Seed of inputs, cotangents and directions.
    pub seed: u64,
    /// Shape of a [`Case`](super::Case).
    pub case_shape: Option<Vec<usize>>,
    /// The shape that failed first, where a smaller one fails as well and is reported here.
    pub shrunk_from: Option<Vec<usize>>,
    /// Shape of the output.
    pub output_shape: Vec<usize>,
    /// A cell is wrong beyond this many times the error estimate of the finite difference ...
    pub error_multiple: f64,
    /// ... and beyond this times the gradient scale of its input.
    pub relative: f64,
    /// One entry for each input.
    pub inputs: Vec<InputReport>,
    /// One entry for each law that was checked.
    pub laws: Vec<LawReport>,
    /// What can be said of the whole, such as an output that is not finite.
    pub notes: Vec<String>,
    /// A test to paste that fails in the same way.
    pub reproduction: Option<String>,
}

/// The gradient with respect to one input.
#[derive(Clone, Debug, Serialize)]
pub struct InputReport {
    /// The input's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The verdict on it.
    pub verdict: Verdict,
    /// `"full"`, `"elements"` or `"projected"`.
    pub mode: &'static str,
    /// Number of elements looked at one by one; 0 where projections were enough.
    pub elements: usize,
    /// How many of them are wrong, for any output.
    pub wrong_elements: usize,
    /// Number of derivatives compared: elements or directions, times outputs or cotangents.
    pub cells: usize,
    /// How many of them are wrong.
    pub wrong_cells: usize,
    /// Root mean square of the numeric gradient.
    pub scale: f64,
    /// Whether the gradient is zero as far as can be seen.
    pub vanishes: bool,
    /// Largest difference between analytic and numeric, relative to `scale` unless it vanishes.
    pub largest_error: f64,
    /// The five worst cells that are not right.
    pub worst: Vec<Cell>,
    /// Where: rows and columns are the last two axes. `#` wrong, `+` partly, `k` kink, `?` unclear,
    /// `.` right, a space not looked at.
    pub map: Vec<String>,
    /// What the errors look like, most telling first.
    pub diagnoses: Vec<Diagnosis>,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// Bound on the chance that the random cotangents and directions hide an error of 1 % of `scale`
    /// in one element; 0 for the full Jacobian.
    pub miss_probability: f64,
}

/// One derivative that is not right.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Index of the input element; empty for a direction.
    pub index: Vec<usize>,
    /// Index of the output element, where each was differentiated by itself.
    pub output: Option<Vec<usize>>,
    /// Number of the random cotangent otherwise.
    pub cotangent: Option<usize>,
    /// What backward says.
    pub analytic: f64,
    /// What the finite difference says.
    pub numeric: f64,
    /// Estimated error of `numeric`.
    pub numeric_error: f64,
    /// Difference of the two in units of `numeric_error`.
    pub units: f64,
    /// The verdict on this cell.
    pub verdict: Verdict,
    /// Left and right derivative at a kink.
    pub one_sided: Option<[f64; 2]>,
    /// Which of them the analytic one equals.
    pub side: Option<Side>,
}

/// A property that every gradient has, whatever its value.
#[derive(Clone, Debug, Serialize)]
pub struct LawReport {
    /// Which one.
    pub law: Law,
    /// Whether it holds.
    pub holds: bool,
    /// What was compared, and what came of it.
    pub detail: String,
}

/// The laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// The gradient is linear in `grad_output`.
    Linear,
    /// A computation done twice brings both gradients.
    Twice,
    /// An input's gradient does not depend on which other inputs need one.
    Needs,
    /// Inputs, output and cotangent have the same bits after the sweep.
    Unchanged,
    /// A second run has the same bits.
    Repeatable,
    /// 1, 2 and 3 threads give the same bits.
    Threads,
    /// The `f32` run is near the `f64` run.
    F32,
}

impl Law {
    /// A name of one or two words.
    pub fn name(self) -> &'static str {
        match self {
            Law::Linear => "linear",
            Law::Twice => "twice",
            Law::Needs => "needs",
            Law::Unchanged => "unchanged",
            Law::Repeatable => "repeatable",
            Law::Threads => "threads",
            Law::F32 => "f32",
        }
    }
}

/// A hypothesis about the errors that the numbers bear out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// Which one.
    pub kind: DiagnosisKind,
    /// The constant, where one is part of it.
    pub factor: Option<f64>,
    /// It in words.
    pub text: String,
}

/// What can be wrong with a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagnosisKind {
    /// A NaN or an infinity.
    NotFinite,
    /// No gradient reached the input, or zeros did.
    Disconnected,
    /// It does not depend on `grad_output`.
    GradOutputIgnored,
    /// All of it is off by one constant factor.
    Factor,
    /// Two axes are swapped.
    Transposed,
    /// Each element's gradient is its neighbour's.
    OffByOne,
    /// Only one slice of what should be summed is there.
    BroadcastNotReduced,
    /// One use of the input replaces the other.
    Overwritten,
    /// One slice is zero.
    DroppedTerm,
    /// Only one slice is wrong.
    OneSlice,
    /// Only elements at the border are wrong.
    Boundary,
    /// At a kink, outside both one-sided derivatives.
    OutsideKink,
}

/// One line of a table of many checks; see [`Report::summary`].
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The operation's name.
    pub op: String,
    /// What sets the case apart from others of its op.
    pub label: String,
    /// Shapes of the inputs.
    pub shapes: Vec<Vec<usize>>,
    /// The verdict.
    pub verdict: Verdict,
    /// How much of the Jacobian was compared.
    pub mode: &'static str,
    /// Number of derivatives compared.
    pub cells: usize,
    /// How many of them are wrong.
    pub wrong: usize,
    /// Largest difference between analytic and numeric, relative to the gradient scale.
    pub largest_error: f64,
    /// Number of laws that hold, and number checked.
    pub laws: [usize; 2],
    /// The first diagnosis, broken law or note; empty where all is right.
    pub finding: String,
}

impl Report {
    /// The verdict on everything together.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the verdict is PASS.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    /// All diagnoses of all inputs.
    pub fn diagnoses(&self) -> impl Iterator<Item = &Diagnosis> {
        self.inputs.iter().flat_map(|input| &input.diagnoses)
    }

    /// Panics with this report unless the verdict is PASS.
    ///
    /// # Panics
    /// If the verdict is FAIL, INCONCLUSIVE or KINK.
    #[track_caller]
    pub fn assert_pass(&self) -> &Self {
        assert!(self.passed(), "{self}");
        self
    }

    /// The report as one line of JSON. Numbers that are not finite become `null`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has string keys only")
    }

    /// The report as one line of a table.
    pub fn summary(&self) -> Summary {
        let worst = self.inputs.iter().max_by_key(|input| input.verdict);
        let finding = self.findings().into_iter().next().unwrap_or_default();
        Summary {
            op: self.op.clone(),
            label: self.label.clone(),
            shapes: self.inputs.iter().map(|input| input.shape.clone()).collect(),
            verdict: self.verdict,
            mode: worst.map_or("none", |input| input.mode),
            cells: self.inputs.iter().map(|input| input.cells).sum(),
            wrong: self.inputs.iter().map(|input| input.wrong_cells).sum(),
            largest_error: self.inputs.iter().map(|input| input.largest_error).fold(0.0, f64::max),
            laws: [self.laws.iter().filter(|law| law.holds).count(), self.laws.len()],
            finding,
        }
    }

    /// Everything that is not right, in words, the most serious first.
    fn findings(&self) -> Vec<String> {
        let mut findings = self.notes.clone();
        let mut inputs: Vec<&InputReport> =
            self.inputs.iter().filter(|input| input.verdict != Verdict::Pass).collect();
        inputs.sort_by_key(|input| std::cmp::Reverse(input.verdict));
        for input in inputs {
            let texts = input.diagnoses.iter().map(|diagnosis| &diagnosis.text).chain(&input.notes);
            findings.extend(texts.map(|text| format!("{}: {text}", input.name)));
            if input.diagnoses.is_empty() && input.notes.is_empty() {
                findings.push(format!("{}: no simple pattern", input.name));
            }
        }
        findings.extend(self.laws.iter().filter(|law| !law.holds).map(|law| law.detail.clone()));
        findings
    }
}
