//! A tiny picture of where a gradient is wrong.

use super::judge::{Judgement, Outcome};
use super::lines::Lines;

const ROWS: usize = 5;
const COLUMNS: usize = 60;

/// Rows and columns are the last two axes, everything before them is laid on top of each other, and
/// large maps are binned.
pub(super) fn draw(shape: &[usize], lines: &Lines<'_>, judgement: &Judgement) -> Vec<String> {
    let Some(elements) = lines.elements() else { return Vec::new() };
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let rows = if shape.len() < 2 { 1 } else { shape[shape.len() - 2].max(1) };
    let (height, width) = (rows.min(ROWS), columns.min(COLUMNS));
    let mut bins = vec![Bin::default(); height * width];
    // An element counts as what its worst cell is.
    for cells in judgement.cells.chunks(lines.columns().max(1)) {
        let cell = cells.iter().max_by_key(|cell| severity(cell.outcome)).expect("a chunk is not empty");
        let element = elements[cell.row];
        let (row, column) = (element / columns % rows, element % columns);
        bins[row * height / rows * width + column * width / columns].add(cell.outcome);
    }
    bins.chunks(width).map(|row| row.iter().map(Bin::mark).collect()).collect()
}

fn severity(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Right => 0,
        Outcome::Kink(_) => 1,
        Outcome::Unclear => 2,
        Outcome::Wrong => 3,
    }
}

#[derive(Clone, Copy, Default)]
struct Bin {
    right: usize,
    wrong: usize,
    kinks: usize,
    unclear: usize,
}

impl Bin {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::Wrong => self.wrong += 1,
            Outcome::Kink(_) => self.kinks += 1,
            Outcome::Unclear => self.unclear += 1,
        }
    }

    fn mark(&self) -> char {
        match *self {
            Bin { wrong: 1.., right: 0, .. } => '#',
            Bin { wrong: 1.., .. } => '+',
            Bin { unclear: 1.., .. } => '?',
            Bin { kinks: 1.., .. } => 'k',
            Bin { right: 1.., .. } => '.',
            _ => ' ',
        }
    }
}
