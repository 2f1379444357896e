//! Checks the checker: plants mistakes in the sweep of a right operation and looks whether they are
//! caught and called by their name.

use serde::Serialize;

use super::compare::compare;
use super::examine::{Plan, conclude, empty_report};
use super::lines::Lines;
use super::problem::{Gradient, Problem, root_mean_square};
use super::report::{DiagnosisKind, Report, Verdict};
use super::{Case, Check, laws};
use crate::tape::Edge;
use crate::{Array, Cpu, Fault, FaultKind, Op, Var, apply};

/// What became of one planted fault.
#[derive(Clone, Debug, Serialize)]
pub struct FaultOutcome {
    /// The operation of the case.
    pub case: String,
    /// What sets the case apart from the others of its op.
    pub label: String,
    /// Shape of the case.
    pub shape: Vec<usize>,
    /// The op on the tape whose backward was spoiled, and the number of its input.
    pub op: String,
    /// See `op`.
    pub position: usize,
    /// The input of the case that this is, where no other op stands between.
    pub input: Option<String>,
    /// The fault.
    pub fault: &'static str,
    /// Whether the verdict was FAIL.
    pub caught: bool,
    /// Whether the diagnosis was the right one; `None` where an op stands between the fault and all
    /// inputs, so that what arrives has no name.
    pub named: Option<bool>,
    /// What the report said.
    pub finding: String,
}

/// Plants every fault that applies, in every input of every op that the case records.
///
/// A fault applies where it changes a gradient by more than the checker claims to see (0.1 % of the
/// gradient scale): swapping the axes of a symmetric gradient is no fault. Empty for a case that does
/// not pass as it is.
///
/// # Examples
/// ```
/// use termwise_autograd::gradcheck::{Built, Case, plant};
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
/// let square = Case::new("square", "", &[3], |shape, samples| {
///     Built::new([("x", samples.normal(shape))], |v| map(&v[0], |x| x * x, |x| 2.0 * x))
/// });
/// let outcomes = plant(&square);
/// let negated = outcomes.iter().find(|outcome| outcome.fault == "x -1").unwrap();
/// assert_eq!((negated.op.as_str(), negated.position, negated.input.as_deref()), ("map", 0, Some("x")));
/// assert_eq!((negated.caught, negated.named), (true, Some(true)));
/// assert!(outcomes.iter().all(|outcome| outcome.fault != "transposed")); // a vector has no axes to swap
/// ```
pub fn plant(case: &Case<Cpu<f64>>) -> Vec<FaultOutcome> {
    plant_in(case).unwrap_or_default()
}

/// The faults, the names of which are fixed.
#[derive(Clone, Copy)]
struct Planted {
    name: &'static str,
    kind: FaultKind,
    named: DiagnosisKind,
    /// What the function is multiplied by.
    scale: Option<f64>,
}

fn faults(edge: &Edge) -> Vec<Planted> {
    use DiagnosisKind as Named;
    let fault = |name, kind, named| Planted { name, kind, named, scale: None };
    let mut faults = vec![
        fault("x 2", FaultKind::Scale(2.0), Named::Factor),
        fault("x 1/2", FaultKind::Scale(0.5), Named::Factor),
        fault("x -1", FaultKind::Scale(-1.0), Named::Factor),
        fault("x 1.01", FaultKind::Scale(1.01), Named::Factor),
        fault("transposed", FaultKind::Transposed, Named::Transposed),
        fault("dropped term", FaultKind::DroppedTerm, Named::DroppedTerm),
        fault("off by one", FaultKind::OffByOne, Named::OffByOne),
        fault("grad_output ignored", FaultKind::GradOutputIgnored, Named::GradOutputIgnored),
        fault("overwritten", FaultKind::Overwritten, Named::Overwritten),
        fault("disconnected", FaultKind::Disconnected, Named::Disconnected),
        Planted { scale: Some(1e-6), ..fault("x 2 at 1e-6", FaultKind::Scale(2.0), Named::Factor) },
    ];
    if let Some(axis) = reduced_axis(&edge.input_shape, &edge.output_shape) {
        faults.push(fault(
            "missing reduction",
            FaultKind::MissingReduction { axis },
            Named::BroadcastNotReduced,
        ));
    }
    faults
}

/// An axis of the output that the gradient of a smaller input sums over.
fn reduced_axis(input: &[usize], output: &[usize]) -> Option<usize> {
    if input.iter().product::<usize>() >= output.iter().product() {
        return None;
    }
    let missing = output.len().saturating_sub(input.len());
    let broadcast = |axis: &usize| output[*axis] > 1 && (*axis < missing || input[*axis - missing] == 1);
    let any = |axis: &usize| output[*axis] > 1;
    let aligned = input.len() <= output.len();
    (0..output.len()).find(|axis| aligned && broadcast(axis)).or_else(|| (0..output.len()).find(any))
}

/// `Err` with the verdict of a case that does not pass as it is.
pub(super) fn plant_in(case: &Case<Cpu<f64>>) -> Result<Vec<FaultOutcome>, Verdict> {
    let options = Check::new().threads(false);
    let built = case.build(options.seed).ok_or(Verdict::Inconclusive)?;
    let run = &*built.run;
    let scaled = |v: &[Var<Cpu<f64>>]| apply(Times(1e-6), [&run(v)]);
    let plain = Problem::new(case.op(), &built.inputs, run);
    let plan = Plan::new(&plain, &options);
    let plain = Bench::new(&plain, &options, &plan);
    let tiny = Problem::new(case.op(), &built.inputs, &scaled);
    let tiny_plan = Plan::new(&tiny, &options);
    let tiny = Bench::new(&tiny, &options, &tiny_plan);

    let clean = plain.report(plain.problem, plain.right.clone());
    if clean.verdict != Verdict::Pass {
        return Err(clean.verdict);
    }
    let mut outcomes = Vec::new();
    for site in sites(plain.problem) {
        for planted in faults(&site.edge) {
            let bench = if planted.scale.is_some() { &tiny } else { &plain };
            let fault = Fault { op: site.edge.op, input: site.edge.position, kind: planted.kind };
            let problem = bench.problem.with_fault(fault);
            let gradients = problem.gradients(&bench.plan.cotangents);
            if !applies(bench, &clean, &gradients, &site, planted.kind) {
                continue;
            }
            let report = bench.report(&problem, gradients);
            let input = site.input.map(|input| plain.problem.inputs[input].name.clone());
            outcomes.push(FaultOutcome {
                case: case.op().to_string(),
                label: case.label().to_string(),
                shape: case.shape().to_vec(),
                op: site.edge.op.to_string(),
                position: site.edge.position,
                fault: planted.name,
                caught: report.verdict == Verdict::Fail,
                named: site.names(planted.kind).then(|| is_named(&report, site.input, planted)),
                finding: report.summary().finding,
                input,
            });
        }
    }
    Ok(outcomes)
}

/// A problem, and the numeric side that all its faults are held against.
struct Bench<'a> {
    problem: &'a Problem<'a>,
    options: &'a Check,
    plan: &'a Plan,
    lines: Vec<Lines<'a>>,
    /// Without a fault.
    right: Vec<Vec<Gradient>>,
}

impl<'a> Bench<'a> {
    fn new(problem: &'a Problem<'a>, options: &'a Check, plan: &'a Plan) -> Self {
        Bench {
            problem,
            options,
            plan,
            lines: plan.measure(problem),
            right: problem.gradients(&plan.cotangents),
        }
    }

    fn report(&self, problem: &Problem<'_>, gradients: Vec<Vec<Gradient>>) -> Report {
        let mut report = empty_report(self.options, problem);
        report.inputs = compare(self.options, problem, self.plan, &self.lines, gradients);
        conclude(self.options, &mut report);
        if report.verdict == Verdict::Pass {
            report.laws = laws::check(self.options, problem, &mut report.inputs);
            conclude(self.options, &mut report);
        }
        report
    }
}

/// One place for a fault.
struct Site {
    edge: Edge,
    /// The input of the case that it is, where the only way from that input leads through here.
    input: Option<usize>,
    /// Whether the op's output is that of the case.
    last: bool,
    /// The input of the case that it is, be it used elsewhere or not.
    leaf: Option<usize>,
}

impl Site {
    /// Whether the fault reaches an input in the form that its name says.
    fn names(&self, kind: FaultKind) -> bool {
        self.input.is_some() && (self.last || !matches!(kind, FaultKind::MissingReduction { .. }))
    }
}

/// Every input of every op on the tape, ops of the same name together.
fn sites(problem: &Problem<'_>) -> Vec<Site> {
    let tape = problem.tape();
    let leaves = problem.leaves(&tape);
    let output = (problem.function)(&leaves);
    let edges = tape.edges();
    let mut sites: Vec<Site> = Vec::new();
    for edge in &edges {
        if sites.iter().any(|site| (site.edge.op, site.edge.position) == (edge.op, edge.position)) {
            continue;
        }
        let leaf = leaves.iter().position(|leaf| leaf.node() == Some(edge.from));
        let alone =
            edges.iter().filter(|other| (other.op, other.position) == (edge.op, edge.position)).count() == 1
                && edges.iter().filter(|other| other.from == edge.from).count() == 1;
        sites.push(Site {
            input: leaf.filter(|_| alone),
            last: output.node() == Some(edge.to),
            leaf,
            edge: edge.clone(),
        });
    }
    sites
}

/// Whether the numbers say that a fault is one.
fn applies(bench: &Bench<'_>, clean: &Report, wrong: &[Vec<Gradient>], site: &Site, kind: FaultKind) -> bool {
    let mut changed = false;
    for (position, (right, wrong)) in bench.right.iter().zip(wrong).enumerate() {
        if clean.inputs[position].vanishes {
            continue;
        }
        let right: Vec<f64> = right.iter().flat_map(|gradient| gradient.values.iter().copied()).collect();
        let wrong: Vec<f64> = wrong.iter().flat_map(|gradient| gradient.values.iter().copied()).collect();
        let scale = root_mean_square(right.iter().copied());
        let largest = right.iter().zip(&wrong).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let gone = wrong.iter().all(|&value| value == 0.0);
        let differs = largest > bench.options.resolution * scale;
        changed |= match kind {
            FaultKind::Disconnected => differs,
            FaultKind::Overwritten => site.leaf == Some(position) || differs,
            // A gradient that is gone altogether is that other fault, by whatever name it came.
            _ => differs && !gone,
        };
    }
    changed
}

fn is_named(report: &Report, input: Option<usize>, planted: Planted) -> bool {
    let Some(input) = input else { return false };
    report.inputs[input].diagnoses.iter().any(|diagnosis| {
        diagnosis.kind == planted.named
            && match (planted.kind, diagnosis.factor) {
                (FaultKind::Scale(factor), Some(found)) => (found - factor).abs() <= 1e-4 * factor.abs(),
                _ => true,
            }
    })
}

/// `y = c x`, to make a function small.
struct Times(f64);

impl Op<Cpu<f64>, 1> for Times {
    type Saved = ();

    fn name(&self) -> &'static str {
        "gradcheck_times"
    }

    fn forward(&self, [x]: [&Array<Cpu<f64>>; 1]) -> (Array<Cpu<f64>>, ()) {
        (x.view().mapv(|v| v * self.0).into(), ())
    }

    fn backward(&self, (): &(), grad_output: &Array<Cpu<f64>>, _: [bool; 1]) -> [Option<Array<Cpu<f64>>>; 1] {
        [Some(grad_output.view().mapv(|v| v * self.0).into())]
    }
}
