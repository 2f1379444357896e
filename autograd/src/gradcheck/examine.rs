//! One check from end to end: plan, measure, compare, conclude.

use ndarray::ArrayD;

use super::compare::compare;
use super::difference::Weights;
use super::lines::{Along, Lines};
use super::options::{Check, Mode};
use super::problem::{Function, Problem, unravel};
use super::report::{Report, Verdict};
use super::{Samples, laws};

/// Below these the full Jacobian is affordable: cells, and reverse sweeps.
const FULL_CELLS: usize = 4096;
const FULL_OUTPUTS: usize = 128;
/// Up to this size every element of an input is moved by itself.
const ELEMENTS: usize = 512;

pub(super) fn examine(
    options: &Check,
    op: &str,
    inputs: &[(&str, ArrayD<f64>)],
    function: Function<'_, f64>,
) -> Report {
    let problem = Problem::new(op, inputs, function);
    let mut report = empty_report(options, &problem);
    if let Some(note) = not_finite(&problem) {
        report.notes.push(note);
        report.verdict = Verdict::Fail;
        return report;
    }
    let plan = Plan::new(&problem, options);
    let measured = plan.measure(&problem);
    let gradients = problem.gradients(&plan.cotangents);
    report.inputs = compare(options, &problem, &plan, &measured, gradients);
    if options.laws {
        report.laws = laws::check(options, &problem, &mut report.inputs);
    }
    conclude(options, &mut report);
    report
}

pub(super) fn empty_report(options: &Check, problem: &Problem<'_>) -> Report {
    Report {
        op: problem.op.to_string(),
        label: String::new(),
        verdict: Verdict::Pass,
        seed: options.seed,
        case_shape: None,
        shrunk_from: None,
        output_shape: problem.output_shape.clone(),
        error_multiple: options.error_multiple,
        relative: options.relative,
        inputs: Vec::new(),
        laws: Vec::new(),
        notes: Vec::new(),
        reproduction: None,
    }
}

fn not_finite(problem: &Problem<'_>) -> Option<String> {
    let (element, value) = problem.base.iter().enumerate().find(|(_, value)| !value.is_finite())?;
    let index = unravel(element, &problem.output_shape);
    Some(format!("forward gives {value} at output {index:?}: nothing can be differentiated there"))
}

/// Draws the verdict on everything from its parts.
pub(super) fn conclude(options: &Check, report: &mut Report) {
    if options.kinks_allowed {
        for input in report.inputs.iter_mut().filter(|input| input.verdict == Verdict::Kink) {
            input.verdict = Verdict::Pass;
        }
    }
    let inputs = report.inputs.iter().map(|input| input.verdict);
    let laws = report.laws.iter().filter(|law| !law.holds).map(|_| Verdict::Fail);
    report.verdict = inputs.chain(laws).max().unwrap_or(Verdict::Pass);
}

/// What will be measured, decided by shapes and seed alone.
pub(super) struct Plan {
    pub(super) full: bool,
    /// The cotangents of the reverse sweeps; one for each output in full mode.
    pub(super) cotangents: Vec<Vec<f64>>,
    /// The weight of its output in each cotangent of full mode.
    pub(super) divisors: Option<Vec<f64>>,
    /// For each input, its random directions, or `None` where it moves element by element.
    directions: Vec<Option<Vec<Vec<f64>>>>,
}

impl Plan {
    pub(super) fn new(problem: &Problem<'_>, options: &Check) -> Self {
        let mut samples = Samples::new(options.seed ^ 0x5EED_C07A);
        let outputs = problem.outputs();
        let full = match options.mode {
            Mode::Auto => problem.elements() * outputs <= FULL_CELLS && outputs <= FULL_OUTPUTS,
            mode => mode == Mode::Full,
        };
        let (cotangents, divisors) = if full {
            // Not 1: a backward that takes grad_output for granted would be right by luck.
            let weights = random(&mut samples, outputs);
            let one_hot = |output: usize| {
                let mut cotangent = vec![0.0; outputs];
                cotangent[output] = weights[output];
                cotangent
            };
            ((0..outputs).map(one_hot).collect(), Some(weights))
        } else {
            ((0..options.projections).map(|_| random(&mut samples, outputs)).collect(), None)
        };
        let directions = problem
            .inputs
            .iter()
            .map(|input| {
                let projected = match options.mode {
                    Mode::Auto => !full && input.values.len() > ELEMENTS,
                    mode => mode == Mode::Projected,
                };
                projected.then(|| {
                    (0..options.projections).map(|_| random(&mut samples, input.values.len())).collect()
                })
            })
            .collect();
        Plan { full, cotangents, divisors, directions }
    }

    pub(super) fn weights(&self) -> Weights<'_> {
        if self.full { Weights::Outputs } else { Weights::Cotangents(&self.cotangents) }
    }

    pub(super) fn measure(&self, problem: &Problem<'_>) -> Vec<Lines<'_>> {
        let along = problem.inputs.iter().zip(&self.directions).map(|(input, directions)| match directions {
            Some(directions) => Along::Directions(directions.clone()),
            None => Along::Elements((0..input.values.len()).collect()),
        });
        along
            .enumerate()
            .map(|(input, along)| Lines::measure(problem, input, along, self.weights()))
            .collect()
    }
}

/// Numbers of either sign with a magnitude uniform in `[0.5, 1.5)`.
///
/// Bounded away from zero, so that a single wrong cell always shows; and whatever the other terms of
/// a sum are, a term `u e` with such a `u` brings the sum within `t` of zero with a probability of at
/// most `t / |e|`, because the density of `u e` is nowhere above `1 / 2|e|`.
pub(super) fn random(samples: &mut Samples, len: usize) -> Vec<f64> {
    (0..len)
        .map(|_| {
            let magnitude = 0.5 + samples.unit();
            if samples.unit() < 0.5 { -magnitude } else { magnitude }
        })
        .collect()
}
