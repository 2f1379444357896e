//! Hypotheses about where a gradient is wrong: one slice, or the border.

use std::collections::BTreeSet;

use super::diagnose::{Evidence, say};
use super::factor;
use super::judge::Outcome;
use super::problem::unravel;
use super::report::{Diagnosis, DiagnosisKind as Kind};

pub(super) fn diagnose(evidence: &Evidence<'_>) -> Option<Diagnosis> {
    let elements = evidence.lines.elements()?;
    let shape = evidence.shape();
    let rows: BTreeSet<usize> = evidence
        .judgement
        .cells
        .iter()
        .filter(|cell| cell.outcome == Outcome::Wrong)
        .map(|cell| cell.row)
        .collect();
    let index = |row: usize| unravel(elements[row], shape);
    let wrong: Vec<Vec<usize>> = rows.iter().map(|&row| index(row)).collect();
    let right: Vec<Vec<usize>> = (0..elements.len()).filter(|row| !rows.contains(row)).map(index).collect();
    if wrong.is_empty() || right.is_empty() {
        return None;
    }
    one_slice(evidence, &wrong, &right).or_else(|| border(shape, &wrong, &right))
}

fn one_slice(evidence: &Evidence<'_>, wrong: &[Vec<usize>], right: &[Vec<usize>]) -> Option<Diagnosis> {
    let shape = evidence.shape();
    // Of several slices that hold all the errors, the one with the fewest right elements in it.
    let (axis, slice) = (0..shape.len())
        .filter(|&axis| shape[axis] > 1)
        .map(|axis| (axis, wrong[0][axis]))
        .filter(|&(axis, slice)| wrong.iter().all(|index| index[axis] == slice))
        .min_by_key(|&(axis, slice)| right.iter().filter(|index| index[axis] == slice).count())?;
    let elements = evidence.lines.elements()?;
    let in_slice = |row: usize| unravel(elements[row], shape)[axis] == slice;
    let cells = || {
        evidence.judgement.cells.iter().filter(|cell| in_slice(cell.row) && cell.outcome == Outcome::Wrong)
    };
    let whole = right.iter().all(|index| index[axis] != slice);
    let place = if wrong.len() == 1 && shape.len() > 1 && !whole {
        format!("only element {:?} is wrong", wrong[0])
    } else {
        format!("only index {slice} of axis {axis} is wrong")
    };
    if cells().all(|cell| cell.analytic == 0.0) {
        return Some(say(Kind::DroppedTerm, Some(0.0), format!("dropped term: {place}, and it is zero")));
    }
    let factor = factor::least_squares(evidence, in_slice).filter(|factor| {
        cells().all(|cell| {
            let left = (cell.analytic - factor * cell.numeric).abs();
            left <= 0.01 * cell.difference() + 10.0 * cell.error * factor.abs().max(1.0)
        })
    });
    let text = match factor {
        Some(factor) => format!("one slice: {place}, there analytic = {} x numeric", factor::show(factor)),
        None => format!("one slice: {place}"),
    };
    Some(say(Kind::OneSlice, factor, text))
}

/// Only elements at the first or last index of some axes, with right ones in the interior.
fn border(shape: &[usize], wrong: &[Vec<usize>], right: &[Vec<usize>]) -> Option<Diagnosis> {
    let wide: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] > 2).collect();
    let mut candidates: Vec<Vec<usize>> = wide.iter().map(|&axis| vec![axis]).collect();
    if wide.len() > 2 {
        candidates.push(wide[wide.len() - 2..].to_vec());
    }
    candidates.push(wide);
    let at_border = |axes: &[usize], index: &[usize]| {
        axes.iter().any(|&axis| index[axis] == 0 || index[axis] == shape[axis] - 1)
    };
    let axes = candidates.into_iter().find(|axes| {
        wrong.iter().all(|index| at_border(axes, index)) && right.iter().any(|index| !at_border(axes, index))
    })?;
    let text = format!(
        "boundary only: all wrong elements lie at the first or last index of axis {axes:?}, the interior is right"
    );
    Some(say(Kind::Boundary, None, text))
}
