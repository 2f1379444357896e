//! Holds an analytic gradient against the measured one, cell by cell.

use super::difference::{Estimate, Kink};
use super::lines::{Analytic, Lines};
use super::options::Check;
use super::problem::Problem;
use super::report::Side;

/// How many lines must stay wrong when measured again before the rest is believed to be wrong as well.
const CONFIRMED: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Right,
    Wrong,
    /// At a kink, with the analytic derivative on an admissible side.
    Kink(Side),
    /// The measurement is too coarse.
    Unclear,
}

/// One line and one combination of outputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) analytic: f64,
    pub(super) numeric: f64,
    pub(super) error: f64,
    pub(super) kink: Option<Kink>,
    pub(super) jump: bool,
    pub(super) finite: bool,
    pub(super) outcome: Outcome,
}

impl Judged {
    pub(super) fn difference(&self) -> f64 {
        let difference = (self.analytic - self.numeric).abs();
        if difference.is_nan() { f64::INFINITY } else { difference }
    }
}

/// All cells of one input.
pub(super) struct Judgement {
    pub(super) cells: Vec<Judged>,
    /// Root mean square of the numeric gradient.
    pub(super) scale: f64,
    /// Whether the gradient vanishes as far as can be seen, both sides.
    pub(super) vanishes: bool,
    /// Largest tolerance used.
    pub(super) tolerance: f64,
}

/// What a derivative of one input has to be compared with before it can be called zero.
struct Floor {
    /// Output over input: a derivative of this size doubles the output when the input doubles.
    unit: f64,
}

impl Floor {
    fn new(problem: &Problem<'_>, lines: &Lines<'_>) -> Self {
        let estimates = || lines.first().iter().flatten();
        let largest = estimates().map(|estimate| estimate.reach).fold(0.0, f64::max);
        let moving = estimates().filter(|e| e.moves).map(|e| e.reach).fold(0.0, f64::max);
        let input_scale = problem.inputs[lines.input].scale();
        // A function that does not move at all may be the rounding of one of size 1.
        let unit = if moving > 0.0 { largest } else { largest.max(1.0) } / input_scale;
        // Beside a gradient that is there, outputs that it does not reach count for nothing.
        let zero = lines.scale() <= 1e3 * f64::EPSILON * unit;
        Floor { unit: if zero { unit } else { moving / input_scale } }
    }

    /// No more than the rounding of an analytic gradient.
    fn is_rounding(&self, value: f64) -> bool {
        value.abs() <= 1e3 * f64::EPSILON * self.unit
    }

    /// A noise under which zero may be called confirmed.
    fn is_quiet(&self, noise: f64) -> bool {
        noise <= 1e-7 * self.unit
    }
}

pub(super) fn judge(
    problem: &Problem<'_>,
    options: &Check,
    lines: &Lines<'_>,
    analytic: &Analytic,
) -> Judgement {
    let floor = Floor::new(problem, lines);
    let first = Judge { options, floor: &floor, scale: lines.scale() };
    let mut suspicious = Vec::new();
    for row in 0..lines.len() {
        let mut excess = 0.0_f64;
        let mut unreliable = false;
        for (column, refined) in lines.row(row).iter().enumerate() {
            let estimate = refined.estimate;
            unreliable |=
                !estimate.finite || estimate.looks_kinked(first.scale) || first.is_coarse(estimate.error);
            let predicted = lines.predicted(&analytic.columns, row, column);
            if first.differs(predicted, &estimate) {
                excess = excess.max((predicted - estimate.value).abs());
            }
        }
        if unreliable {
            lines.refine(problem, row);
        } else if excess > 0.0 {
            suspicious.push((excess, row));
        }
    }
    // An error estimate may be too small by luck: a failure counts only after further steps agree.
    suspicious.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut confirmed = 0;
    for (_, row) in suspicious {
        if confirmed == CONFIRMED {
            break;
        }
        lines.refine(problem, row);
        let still = lines.row(row).iter().enumerate().any(|(column, refined)| {
            let predicted = lines.predicted(&analytic.columns, row, column);
            first.differs(predicted, &refined.estimate)
        });
        confirmed += usize::from(still);
    }

    let last = Judge { options, floor: &floor, scale: lines.scale() };
    let mut cells = Vec::with_capacity(lines.len() * lines.columns());
    for row in 0..lines.len() {
        for (column, refined) in lines.row(row).into_iter().enumerate() {
            let estimate = refined.estimate;
            let mut cell = Judged {
                row,
                column,
                analytic: lines.predicted(&analytic.columns, row, column),
                numeric: estimate.value,
                error: estimate.error,
                kink: refined.kink,
                jump: refined.jump,
                finite: estimate.finite,
                outcome: Outcome::Right,
            };
            cell.outcome = last.outcome(&cell);
            cells.push(cell);
        }
    }
    let vanishes = cells.iter().all(|cell| {
        let noise = options.error_multiple * cell.error;
        cell.outcome == Outcome::Right && floor.is_rounding(cell.analytic) && cell.numeric.abs() <= noise
    });
    let tolerance = cells.iter().map(|cell| last.tolerance(cell.error)).fold(0.0, f64::max);
    Judgement { cells, scale: last.scale, vanishes, tolerance }
}

struct Judge<'a> {
    options: &'a Check,
    floor: &'a Floor,
    scale: f64,
}

impl Judge<'_> {
    fn tolerance(&self, error: f64) -> f64 {
        let measured = (self.options.error_multiple * error).max(self.options.relative * self.scale);
        // Where the true derivative is zero, what is left of the analytic side is its rounding.
        measured.max(64.0 * f64::EPSILON * self.floor.unit)
    }

    fn differs(&self, analytic: f64, estimate: &Estimate) -> bool {
        (analytic - estimate.value).abs() > self.tolerance(estimate.error)
    }

    fn is_coarse(&self, error: f64) -> bool {
        self.options.error_multiple * error > self.options.resolution * self.scale
    }

    fn outcome(&self, cell: &Judged) -> Outcome {
        if !cell.analytic.is_finite() {
            return Outcome::Wrong;
        }
        if !cell.finite || cell.jump {
            return Outcome::Unclear;
        }
        if let Some(kink) = &cell.kink {
            return side(cell.analytic, kink).map_or(Outcome::Wrong, Outcome::Kink);
        }
        if (cell.analytic - cell.numeric).abs() > self.tolerance(cell.error) {
            return Outcome::Wrong;
        }
        let zero = self.floor.is_rounding(cell.analytic)
            && self.floor.is_quiet(self.options.error_multiple * cell.error);
        if self.is_coarse(cell.error) && !zero { Outcome::Unclear } else { Outcome::Right }
    }
}

/// Which of the derivatives at a kink the analytic one equals; `None` where it lies outside.
fn side(analytic: f64, kink: &Kink) -> Option<Side> {
    let gap = (kink.right - kink.left).abs();
    let near = |value: f64| (analytic - value).abs() <= 1e-3 * gap + 10.0 * kink.rounding;
    let slack = 1e-3 * (kink.high - kink.low) + 10.0 * kink.rounding;
    if near(kink.left) {
        Some(Side::Left)
    } else if near(kink.right) {
        Some(Side::Right)
    } else if near((kink.left + kink.right) / 2.0) {
        Some(Side::Mean)
    } else if (kink.low - slack..=kink.high + slack).contains(&analytic) {
        Some(Side::Between)
    } else {
        None
    }
}
