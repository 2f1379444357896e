//! The hypothesis that a gradient holds one slice of a sum instead of the sum.

use super::diagnose::{Evidence, say};
use super::difference::Weights;
use super::lines::{Along, Lines};
use super::problem::root_mean_square;
use super::report::{Diagnosis, DiagnosisKind as Kind};

/// How many elements are measured again, with the other slices of the output masked.
const ELEMENTS: usize = 32;

/// An input that acts on many outputs collects from all of them. If backward forgets to add up, its
/// gradient is the one of a single slice of the output: the right gradient of a cotangent that is
/// zero elsewhere. So that is measured, for the first and the last slice of every axis.
pub(super) fn broadcast_not_reduced(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let problem = evidence.problem;
    let checked = evidence.lines.elements()?;
    if problem.outputs() <= problem.inputs[evidence.lines.input].values.len() {
        return None;
    }
    let spread = checked.len().div_ceil(ELEMENTS).max(1);
    let elements: Vec<usize> = checked.iter().copied().step_by(spread).collect();
    for (axis, &extent) in problem.output_shape.iter().enumerate().filter(|(_, extent)| **extent > 1) {
        let inner: usize = problem.output_shape[axis + 1..].iter().product();
        for slice in [0, extent - 1] {
            let masked: Vec<Vec<f64>> = evidence
                .plan
                .cotangents
                .iter()
                .map(|cotangent| {
                    let keep = |output: usize| output / inner % extent == slice;
                    cotangent.iter().enumerate().map(|(o, &c)| if keep(o) { c } else { 0.0 }).collect()
                })
                .collect();
            if agrees(evidence, &elements, &masked) {
                let text = format!(
                    "broadcast not reduced: only slice {slice} of axis {axis} of the output contributes, the sum over its {extent} slices is missing"
                );
                return Some(say(Kind::BroadcastNotReduced, None, text));
            }
        }
    }
    None
}

fn agrees(evidence: &Evidence<'_>, elements: &[usize], cotangents: &[Vec<f64>]) -> bool {
    let weights = Weights::Cotangents(cotangents);
    let measured =
        Lines::measure(evidence.problem, evidence.lines.input, Along::Elements(elements.to_vec()), weights);
    let left = (0..measured.len()).flat_map(|row| {
        let estimates = measured.row(row);
        let divisors = &evidence.plan.divisors;
        estimates.into_iter().enumerate().map(move |(column, refined)| {
            let divisor = divisors.as_ref().map_or(1.0, |divisors| divisors[column]);
            evidence.analytic.columns[column][elements[row]] - refined.estimate.value / divisor
        })
    });
    evidence.explains(root_mean_square(left))
}
