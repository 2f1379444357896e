//! From cells to the report on one input: how much is wrong, where, and what it looks like.

use super::diagnose::diagnose;
use super::examine::Plan;
use super::judge::{Judged, Judgement, Outcome, judge};
use super::lines::{Along, Analytic, Lines};
use super::options::Check;
use super::problem::{Gradient, Problem, unravel};
use super::report::{Cell, InputReport, Verdict};
use super::{map, report::Side};

/// How many failing elements a bisection looks for, and how many others are looked at besides.
const BISECTED: usize = 8;
const SAMPLED: usize = 248;

pub(super) fn compare(
    options: &Check,
    problem: &Problem<'_>,
    plan: &Plan,
    measured: &[Lines<'_>],
    gradients: Vec<Vec<Gradient>>,
) -> Vec<InputReport> {
    measured
        .iter()
        .zip(gradients)
        .map(|(lines, gradients)| {
            let analytic = Analytic::new(gradients, plan.divisors.as_deref());
            compare_input(options, problem, plan, lines, &analytic)
        })
        .collect()
}

fn compare_input(
    options: &Check,
    problem: &Problem<'_>,
    plan: &Plan,
    lines: &Lines<'_>,
    analytic: &Analytic,
) -> InputReport {
    let judgement = judge(problem, options, lines, analytic);
    let verdict = verdict(&judgement);
    if lines.elements().is_some() || verdict == Verdict::Pass {
        return report(options, problem, plan, lines, analytic, &judgement);
    }
    // A projection says that something is wrong, its elements say what.
    let elements = localise(options, problem, lines, analytic);
    let local = Lines::measure(problem, lines.input, Along::Elements(elements), lines.weights);
    let local_judgement = judge(problem, options, &local, analytic);
    let mut found = report(options, problem, plan, &local, analytic, &local_judgement);
    if found.verdict == Verdict::Pass {
        found = report(options, problem, plan, lines, analytic, &judgement);
        found.notes.push("no single element stands out: the error is spread thinly".into());
    }
    found.mode = "projected";
    found
}

fn report(
    options: &Check,
    problem: &Problem<'_>,
    plan: &Plan,
    lines: &Lines<'_>,
    analytic: &Analytic,
    judgement: &Judgement,
) -> InputReport {
    let input = &problem.inputs[lines.input];
    let count =
        |outcome: fn(&Outcome) -> bool| judgement.cells.iter().filter(|cell| outcome(&cell.outcome)).count();
    let verdict = verdict(judgement);
    let wrong_rows: std::collections::BTreeSet<usize> =
        judgement.cells.iter().filter(|cell| cell.outcome == Outcome::Wrong).map(|cell| cell.row).collect();
    let largest = judgement.cells.iter().map(Judged::difference).fold(0.0, f64::max);
    InputReport {
        name: input.name.clone(),
        shape: input.shape.clone(),
        verdict,
        mode: match (plan.full, &lines.along) {
            (true, _) => "full",
            (false, Along::Elements(_)) => "elements",
            (false, Along::Directions(_)) => "projected",
        },
        elements: lines.elements().map_or(0, <[usize]>::len),
        wrong_elements: if lines.elements().is_some() { wrong_rows.len() } else { 0 },
        cells: judgement.cells.len(),
        wrong_cells: count(|outcome| *outcome == Outcome::Wrong),
        scale: judgement.scale,
        vanishes: judgement.vanishes,
        // Where the gradient vanishes there is nothing that the noise could be relative to.
        largest_error: if judgement.scale > 0.0 && !judgement.vanishes {
            largest / judgement.scale
        } else {
            largest
        },
        worst: worst(problem, plan, lines, judgement),
        map: if verdict == Verdict::Pass { Vec::new() } else { map::draw(&input.shape, lines, judgement) },
        diagnoses: if verdict == Verdict::Fail {
            diagnose(options, problem, plan, lines, analytic, judgement)
        } else {
            Vec::new()
        },
        notes: notes(options, judgement),
        miss_probability: miss_probability(plan, options, lines, judgement, input.values.len()),
    }
}

fn verdict(judgement: &Judgement) -> Verdict {
    let verdicts = judgement.cells.iter().map(|cell| cell_verdict(cell.outcome));
    verdicts.max().unwrap_or(Verdict::Pass)
}

fn cell_verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Right => Verdict::Pass,
        Outcome::Wrong => Verdict::Fail,
        Outcome::Kink(_) => Verdict::Kink,
        Outcome::Unclear => Verdict::Inconclusive,
    }
}

fn worst(problem: &Problem<'_>, plan: &Plan, lines: &Lines<'_>, judgement: &Judgement) -> Vec<Cell> {
    let mut cells: Vec<&Judged> =
        judgement.cells.iter().filter(|cell| cell.outcome != Outcome::Right).collect();
    cells.sort_by(|a, b| {
        let verdicts = cell_verdict(b.outcome).cmp(&cell_verdict(a.outcome));
        verdicts
            .then(b.difference().total_cmp(&a.difference()))
            .then((a.row, a.column).cmp(&(b.row, b.column)))
    });
    let shape = &problem.inputs[lines.input].shape;
    cells
        .into_iter()
        .take(5)
        .map(|cell| Cell {
            index: lines.elements().map_or(Vec::new(), |elements| unravel(elements[cell.row], shape)),
            output: plan.full.then(|| unravel(cell.column, &problem.output_shape)),
            cotangent: (!plan.full).then_some(cell.column),
            analytic: cell.analytic,
            numeric: cell.numeric,
            numeric_error: cell.error,
            units: if cell.error > 0.0 { cell.difference() / cell.error } else { f64::INFINITY },
            verdict: cell_verdict(cell.outcome),
            one_sided: cell.kink.map(|kink| [kink.left, kink.right]),
            side: match cell.outcome {
                Outcome::Kink(side) => Some(side),
                _ => None,
            },
        })
        .collect()
}

fn notes(options: &Check, judgement: &Judgement) -> Vec<String> {
    let mut notes = Vec::new();
    let unclear: Vec<&Judged> =
        judgement.cells.iter().filter(|cell| cell.outcome == Outcome::Unclear).collect();
    if let Some(cell) = unclear.first() {
        notes.push(if !cell.finite {
            "the function is not finite next to this point: it lies at the edge of its domain".into()
        } else if cell.jump {
            "the difference quotient grows as the step shrinks: the function jumps here".into()
        } else {
            format!(
                "the finite difference is too noisy: {} x its error {:.1e} hides an error of {} of the gradient scale {:.1e}",
                options.error_multiple, cell.error, options.resolution, judgement.scale
            )
        });
    }
    let sides: Vec<Side> = judgement
        .cells
        .iter()
        .filter_map(|cell| match cell.outcome {
            Outcome::Kink(side) => Some(side),
            _ => None,
        })
        .collect();
    if let Some(&first) = sides.first() {
        let which = match first {
            _ if sides.iter().any(|side| *side != first) => {
                "an admissible derivative, not always of the same side"
            }
            Side::Left => "the left derivative",
            Side::Right => "the right derivative",
            Side::Mean => "the mean of the left and the right derivative",
            Side::Between => "a value between the left and the right derivative",
        };
        notes.push(format!(
            "kink: left and right derivative differ in {} cells, where the analytic one is {which}",
            sides.len()
        ));
    }
    if judgement.vanishes && !judgement.cells.is_empty() {
        notes.push("the gradient is zero as far as can be seen".into());
    }
    notes
}

fn miss_probability(
    plan: &Plan,
    options: &Check,
    lines: &Lines<'_>,
    judgement: &Judgement,
    len: usize,
) -> f64 {
    if plan.full || judgement.cells.is_empty() || judgement.scale == 0.0 {
        return 0.0;
    }
    // A derivative along a direction is a sum over `len` elements: one of them is that much smaller.
    let terms = if lines.elements().is_some() { 1.0 } else { (len as f64).sqrt() };
    let one_percent = 0.01 * judgement.scale / terms;
    (judgement.tolerance / one_percent).min(1.0).powi(options.projections as i32)
}

/// The elements to look at where a direction fails: some that fail, found by bisection, and others
/// spread evenly.
fn localise(options: &Check, problem: &Problem<'_>, lines: &Lines<'_>, analytic: &Analytic) -> Vec<usize> {
    let Along::Directions(directions) = &lines.along else { unreachable!("elements are known") };
    let len = problem.inputs[lines.input].values.len();
    let mut elements: std::collections::BTreeSet<usize> =
        (0..SAMPLED.min(len)).map(|i| i * len / SAMPLED.min(len)).collect();
    let mut found = 0;
    let mut ranges = vec![(0, len)];
    while let Some((start, end)) = ranges.pop() {
        if found == BISECTED {
            break;
        }
        let mut along = vec![0.0; len];
        along[start..end].copy_from_slice(&directions[0][start..end]);
        let part = Lines::measure(problem, lines.input, Along::Directions(vec![along]), lines.weights);
        if !suspicious(options, &part, analytic) {
            continue;
        }
        if end - start == 1 {
            elements.insert(start);
            found += 1;
        } else {
            let middle = start.midpoint(end);
            ranges.push((middle, end));
            ranges.push((start, middle));
        }
    }
    elements.into_iter().collect()
}

/// Whether a line looks wrong, kinked or noisy at first sight.
fn suspicious(options: &Check, lines: &Lines<'_>, analytic: &Analytic) -> bool {
    let scale = lines.scale();
    lines.first()[0].iter().enumerate().any(|(column, estimate)| {
        let difference = (lines.predicted(&analytic.columns, 0, column) - estimate.value).abs();
        let tolerance = (options.error_multiple * estimate.error).max(options.relative * scale);
        // Not `>`: a NaN is suspicious.
        let near = difference <= tolerance;
        !near
            || estimate.looks_kinked(scale)
            || options.error_multiple * estimate.error > options.resolution * scale
    })
}
