//! Which vectors of a grid cover the outputs, and where those go.

use std::ops::Range;

/// Lanes of a vector that are outputs of one row, and where they go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub lane: u32,
    pub count: u32,
    /// Relative to the first output of the channel.
    pub to: u32,
}

/// Where a vector of positions lies in the grid, and where it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub from: u32,
    /// The runs `first .. end`.
    pub first: u32,
    pub end: u32,
}

/// Vectors that cover a rectangle of the grid.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub places: Vec<Place>,
    pub runs: Vec<Run>,
    /// Whether each vector is one full run.
    pub full: bool,
}

impl Places {
    /// Covers the positions `rows` x `cols`, rows `pitch` apart, with vectors of `lanes`; those of row `m`
    /// go to `to(m)` and on.
    pub fn new(
        lanes: usize,
        pitch: usize,
        rows: Range<usize>,
        cols: Range<usize>,
        to: impl Fn(usize) -> usize,
    ) -> Self {
        let mut result = Places { full: true, ..Places::default() };
        if rows.is_empty() || cols.is_empty() {
            return result;
        }
        let (width, height) = (cols.len(), rows.len());
        let span = (height - 1) * pitch + width;
        if height * width.div_ceil(lanes) <= span.div_ceil(lanes) {
            for row in rows {
                for start in cols.clone().step_by(lanes) {
                    let count = lanes.min(cols.end - start);
                    let run = Run { lane: 0, count: count as u32, to: (to(row) + start - cols.start) as u32 };
                    result.push(row * pitch + start, &[run], lanes);
                }
            }
            return result;
        }
        // One run over all rows: what lies between the end of a row and the start of the next is computed
        // too, and dropped.
        let base = rows.start * pitch + cols.start;
        for start in (0..span).step_by(lanes) {
            let mut runs = Vec::new();
            for row in start / pitch..=((start + lanes - 1) / pitch).min(height - 1) {
                let begin = start.max(row * pitch);
                let end = (start + lanes).min(row * pitch + width);
                if begin < end {
                    runs.push(Run {
                        lane: (begin - start) as u32,
                        count: (end - begin) as u32,
                        to: (to(rows.start + row) + begin - row * pitch) as u32,
                    });
                }
            }
            if !runs.is_empty() {
                result.push(base + start, &runs, lanes);
            }
        }
        result
    }

    fn push(&mut self, from: usize, runs: &[Run], lanes: usize) {
        self.full &= matches!(runs, [run] if run.count as usize == lanes);
        let first = self.runs.len() as u32;
        self.runs.extend_from_slice(runs);
        self.places.push(Place { from: from as u32, first, end: self.runs.len() as u32 });
    }
}
