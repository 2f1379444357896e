//! What is measured of one input: the lines along which it moves, and the estimates on each.

use std::cell::RefCell;
use std::collections::HashMap;

use super::difference::{Estimate, Refined, Weights, base_step, estimate, refine};
use super::problem::{Gradient, Line, Problem, root_mean_square};

/// Where one input moves.
pub(super) enum Along {
    /// Its elements, one at a time.
    Elements(Vec<usize>),
    /// All its elements at once, in fixed random ratios.
    Directions(Vec<Vec<f64>>),
}

/// Numeric derivatives of one input: a row for each line, a column for each set of weights.
///
/// Independent of the analytic side, so that many gradients can be held against one measurement.
pub(super) struct Lines<'a> {
    pub(super) input: usize,
    pub(super) along: Along,
    pub(super) weights: Weights<'a>,
    /// At the base step.
    first: Vec<Vec<Estimate>>,
    refined: RefCell<HashMap<usize, Vec<Refined>>>,
}

impl<'a> Lines<'a> {
    pub(super) fn measure(problem: &Problem<'_>, input: usize, along: Along, weights: Weights<'a>) -> Self {
        let mut lines =
            Lines { input, along, weights, first: Vec::new(), refined: RefCell::new(HashMap::new()) };
        lines.first = (0..lines.len())
            .map(|row| estimate(problem, lines.line(row), lines.step(problem, row), weights))
            .collect();
        lines
    }

    pub(super) fn len(&self) -> usize {
        match &self.along {
            Along::Elements(elements) => elements.len(),
            Along::Directions(directions) => directions.len(),
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.first.first().map_or(0, Vec::len)
    }

    /// The estimates at the base step.
    pub(super) fn first(&self) -> &[Vec<Estimate>] {
        &self.first
    }

    pub(super) fn elements(&self) -> Option<&[usize]> {
        match &self.along {
            Along::Elements(elements) => Some(elements),
            Along::Directions(_) => None,
        }
    }

    fn line(&self, row: usize) -> Line<'_> {
        match &self.along {
            Along::Elements(elements) => Line::Element { input: self.input, element: elements[row] },
            Along::Directions(directions) => Line::Direction { input: self.input, along: &directions[row] },
        }
    }

    fn step(&self, problem: &Problem<'_>, row: usize) -> f64 {
        let input = &problem.inputs[self.input];
        base_step(match &self.along {
            Along::Elements(elements) => input.scale().max(input.values[elements[row]].abs()),
            Along::Directions(_) => input.scale(),
        })
    }

    /// The best that is known of a line so far.
    pub(super) fn row(&self, row: usize) -> Vec<Refined> {
        if let Some(refined) = self.refined.borrow().get(&row) {
            return refined.clone();
        }
        self.first[row].iter().map(|&estimate| Refined { estimate, kink: None, jump: false }).collect()
    }

    /// Measures a line again, at many steps.
    pub(super) fn refine(&self, problem: &Problem<'_>, row: usize) {
        let known = self.refined.borrow().contains_key(&row);
        if !known {
            let refined = refine(problem, self.line(row), self.step(problem, row), self.weights);
            self.refined.borrow_mut().insert(row, refined);
        }
    }

    /// Root mean square of the derivatives: the scale that errors of this input are relative to.
    pub(super) fn scale(&self) -> f64 {
        let values = (0..self.len()).flat_map(|row| self.row(row));
        root_mean_square(values.map(|refined| refined.estimate.value).filter(|value| value.is_finite()))
    }

    /// What `gradient`, one array for each column, says about a line.
    pub(super) fn predicted(&self, gradient: &[Vec<f64>], row: usize, column: usize) -> f64 {
        match &self.along {
            Along::Elements(elements) => gradient[column][elements[row]],
            Along::Directions(directions) => {
                directions[row].iter().zip(&gradient[column]).map(|(u, g)| u * g).sum()
            }
        }
    }
}

/// The analytic gradients of one input, one array for each column, and whether the sweep reached it.
pub(super) struct Analytic {
    pub(super) columns: Vec<Vec<f64>>,
    pub(super) connected: bool,
}

impl Analytic {
    /// `divisors` undo the weight that an output was given, 1 for cotangents.
    pub(super) fn new(gradients: Vec<Gradient>, divisors: Option<&[f64]>) -> Self {
        let connected = gradients.iter().any(|gradient| gradient.connected);
        let mut columns: Vec<Vec<f64>> = gradients.into_iter().map(|gradient| gradient.values).collect();
        if let Some(divisors) = divisors {
            for (column, divisor) in columns.iter_mut().zip(divisors) {
                column.iter_mut().for_each(|value| *value /= divisor);
            }
        }
        Analytic { columns, connected }
    }
}
