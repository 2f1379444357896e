//! Tests hypotheses about what a wrong gradient is.
//!
//! Each hypothesis has an inverse: if backward swapped two axes, swapping them back makes it right.
//! So a hypothesis corrects the *analytic* gradient and holds it against the measurement again; it is
//! accepted where that explains at least 99 % of the error. This works for the full Jacobian, for
//! projections and for a sample of the elements alike.

use super::examine::{Plan, random};
use super::judge::{Judgement, Outcome};
use super::lines::{Analytic, Lines};
use super::options::Check;
use super::problem::{Problem, root_mean_square, swap_axes};
use super::report::{Diagnosis, DiagnosisKind as Kind};
use super::{Samples, factor, reduction, region};

/// Everything that a hypothesis may look at.
pub(super) struct Evidence<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) plan: &'a Plan,
    pub(super) lines: &'a Lines<'a>,
    pub(super) analytic: &'a Analytic,
    pub(super) judgement: &'a Judgement,
    misfit: f64,
    noise: f64,
}

impl<'a> Evidence<'a> {
    pub(super) fn shape(&self) -> &'a [usize] {
        &self.problem.inputs[self.lines.input].shape
    }

    /// Root mean square of what is left between `gradient` and the measurement, over the cells that
    /// `keep` accepts.
    fn misfit_where(&self, gradient: &[Vec<f64>], keep: impl Fn(usize) -> bool) -> f64 {
        let cells =
            self.judgement.cells.iter().filter(|cell| cell.finite && cell.kink.is_none() && keep(cell.row));
        root_mean_square(
            cells.map(|cell| self.lines.predicted(gradient, cell.row, cell.column) - cell.numeric),
        )
    }

    /// Whether a misfit is as good as none, next to that of the gradient as it is.
    pub(super) fn explains(&self, misfit: f64) -> bool {
        misfit <= 0.01 * self.misfit + 10.0 * self.noise
    }

    fn fits(&self, gradient: &[Vec<f64>]) -> bool {
        self.explains(self.misfit_where(gradient, |_| true))
    }

    fn map_columns(&self, f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
        self.analytic.columns.iter().map(|column| f(column)).collect()
    }
}

pub(super) fn diagnose(
    options: &Check,
    problem: &Problem<'_>,
    plan: &Plan,
    lines: &Lines<'_>,
    analytic: &Analytic,
    judgement: &Judgement,
) -> Vec<Diagnosis> {
    let mut evidence = Evidence { problem, plan, lines, analytic, judgement, misfit: 0.0, noise: 0.0 };
    evidence.misfit = evidence.misfit_where(&analytic.columns, |_| true);
    evidence.noise =
        root_mean_square(judgement.cells.iter().map(|cell| cell.error).filter(|e| e.is_finite()));

    if let Some(decisive) = not_finite(&evidence)
        .or_else(|| outside_kink(&evidence))
        .or_else(|| disconnected(&evidence))
        .or_else(|| grad_output_ignored(&evidence, options))
    {
        return vec![decisive];
    }
    let mut found = Vec::new();
    if evidence.misfit > 10.0 * evidence.noise {
        found.extend(constant_factor(&evidence));
        found.extend(transposed(&evidence));
        found.extend(off_by_one(&evidence));
        found.extend(reduction::broadcast_not_reduced(&evidence));
    }
    found.extend(region::diagnose(&evidence));
    found
}

pub(super) fn say(kind: Kind, factor: Option<f64>, text: impl Into<String>) -> Diagnosis {
    Diagnosis { kind, factor, text: text.into() }
}

fn not_finite(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let values = || evidence.analytic.columns.iter().flatten();
    let value = values().find(|value| !value.is_finite())?;
    let cells = values().filter(|value| !value.is_finite()).count();
    Some(say(
        Kind::NotFinite,
        None,
        format!("not finite: backward gives {value} in {cells} of {} cells", values().count()),
    ))
}

fn outside_kink(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let mut wrong = evidence.judgement.cells.iter().filter(|cell| cell.outcome == Outcome::Wrong);
    let kink = wrong.clone().next()?.kink?;
    wrong.all(|cell| cell.kink.is_some()).then(|| {
        let text = format!(
            "outside the kink: the left derivative is {:.4e}, the right one {:.4e}, the analytic one not between them",
            kink.left, kink.right
        );
        say(Kind::OutsideKink, None, text)
    })
}

fn disconnected(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    if evidence.analytic.columns.iter().flatten().any(|&value| value != 0.0) {
        return None;
    }
    let text = if evidence.analytic.connected {
        "disconnected: the gradient is zero everywhere, though the output depends on this input"
    } else {
        "disconnected: no gradient reaches this input (detached, or made a constant), though the output depends on it"
    };
    Some(say(Kind::Disconnected, Some(0.0), text))
}

fn grad_output_ignored(evidence: &Evidence<'_>, options: &Check) -> Option<Diagnosis> {
    let problem = evidence.problem;
    let mut samples = Samples::new(options.seed ^ 0x16A0_4ED0);
    let [first, second] = [0; 2].map(|_| {
        problem.gradient(&random(&mut samples, problem.outputs())).swap_remove(evidence.lines.input)
    });
    let difference = root_mean_square(first.values.iter().zip(&second.values).map(|(a, b)| a - b));
    let same = difference <= 1e-9 * root_mean_square(first.values.iter().copied());
    same.then(|| {
        say(Kind::GradOutputIgnored, None, "grad_output ignored: another cotangent gives the same gradient")
    })
}

fn constant_factor(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let rows = 0..evidence.lines.len();
    let factor = factor::least_squares(evidence, |row| rows.contains(&row))?;
    let corrected = evidence.map_columns(|column| column.iter().map(|value| value / factor).collect());
    evidence.fits(&corrected).then(|| {
        let meaning = factor::meaning(factor, evidence);
        let text = format!("constant factor: analytic = {} x numeric{meaning}", factor::show(factor));
        say(Kind::Factor, Some(factor), text)
    })
}

fn transposed(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let shape = evidence.shape();
    for second in 1..shape.len() {
        for first in 0..second {
            if shape[first] < 2 || shape[second] < 2 {
                continue;
            }
            // The elements lie as those of the swapped array would; swap them back.
            let mut swapped = shape.to_vec();
            swapped.swap(first, second);
            if evidence.fits(&evidence.map_columns(|column| swap_axes(column, &swapped, first, second))) {
                return Some(say(
                    Kind::Transposed,
                    None,
                    format!("transposed: axes {first} and {second} are swapped"),
                ));
            }
        }
    }
    let columns = &evidence.analytic.columns;
    if evidence.plan.full && columns.len() > 1 && columns.len() == columns[0].len() {
        let jacobian = (0..columns.len()).map(|i| columns.iter().map(|column| column[i]).collect());
        if evidence.fits(&jacobian.collect::<Vec<_>>()) {
            return Some(say(
                Kind::Transposed,
                None,
                "transposed: it is the product with the transposed Jacobian",
            ));
        }
    }
    None
}

fn off_by_one(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let shape = evidence.shape();
    let index = |row: usize, axis: usize| {
        let element = evidence.lines.elements().map_or(0, |elements| elements[row]);
        element / shape[axis + 1..].iter().product::<usize>() % shape[axis]
    };
    for axis in (0..shape.len()).rev().filter(|&axis| shape[axis] > 1) {
        for (back, direction) in [(1, "later"), (shape[axis] - 1, "earlier")] {
            let corrected = evidence.map_columns(|column| roll_back(column, shape, axis, back));
            // What came in at the other end is wrapped round or lost; both are off by one.
            let lost = if back == 1 { shape[axis] - 1 } else { 0 };
            let inside =
                |row| shape[axis] < 3 || evidence.lines.elements().is_none() || index(row, axis) != lost;
            if evidence.explains(evidence.misfit_where(&corrected, inside)) {
                let text = format!("off by one: each gradient lies one {direction} along axis {axis}");
                return Some(say(Kind::OffByOne, None, text));
            }
        }
    }
    None
}

/// Moves every element `by` towards the front of an axis, wrapping round.
fn roll_back(values: &[f64], shape: &[usize], axis: usize, by: usize) -> Vec<f64> {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut rolled = values.to_vec();
    for block in rolled.chunks_exact_mut((inner * shape[axis]).max(1)) {
        block.rotate_left(by * inner);
    }
    rolled
}
