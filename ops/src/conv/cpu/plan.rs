//! How an implicit product is dealt to tasks, and where its tiles lie.

use std::ops::Range;

use termwise_autograd::Scalar;

use super::grid::Grid;
use super::implicit::Product;
use super::places::Places;
use super::tile::TileRows;
use super::{TASK_WORK, lanes_on, tasks_wanted};

/// Bytes of a task's grid: a part of a core's second cache.
const GRID_BYTES: usize = 320 << 10;

/// Outputs that share their taps: those of one part of the rows and one of the columns.
pub(super) struct Part {
    pub rows: usize,
    pub cols: usize,
    pub taps: Vec<usize>,
    /// Offset in the grid of each channel and tap.
    pub steps: Vec<u32>,
    /// Where a group's packed weights of this part start, in units of padded result channels.
    pub weights: usize,
}

/// A block of rows: its values of `m`, and for each part where its vectors lie.
pub(super) struct RowBlock {
    pub range: Range<usize>,
    pub places: Vec<Places>,
    /// Rows of the result that it makes.
    pub results: Vec<usize>,
}

/// How a product is computed.
pub(super) struct Plan<'a> {
    pub product: &'a Product,
    pub grid: Grid,
    pub parts: Vec<Part>,
    pub blocks: Vec<RowBlock>,
    /// Result channels of the tiles of a group, first and number of each.
    pub tiles: Vec<Range<usize>>,
    /// Tiles that a task computes.
    pub tiles_per_task: usize,
    /// Groups that a task computes one after the other.
    pub groups_per_task: usize,
    /// Padded result channels of a group.
    pub padded: usize,
    /// Weights of a group for one result channel, over all parts.
    pub weights_per_result: usize,
}

impl<'a> Plan<'a> {
    pub fn new<T: Scalar>(product: &'a Product) -> Self {
        let [rows, cols] = &product.axes;
        let tiles = TileRows::on::<T>(product.isa).cover(product.results);
        let padded = tiles.last().map_or(0, |last| last.end);

        // As many rows as fit the cache, less where that leaves threads idle.
        let (units, extent) = (product.batch * product.groups, rows.extent());
        let wanted = tasks_wanted(product.work());
        let row_bytes = product.sources * Grid::row_len(rows, cols) * size_of::<T>();
        let fits = (GRID_BYTES / row_bytes.max(1)).max(1);
        let block = extent.div_ceil(wanted.div_ceil(units)).min(fits);
        let block = extent.div_ceil(extent.div_ceil(block)); // even blocks
        let units = units * extent.div_ceil(block);
        let tiles_per_task = tiles.len().div_ceil(wanted.div_ceil(units));
        let groups_per_task = (TASK_WORK / (product.work() / units).max(1)).clamp(1, product.groups);

        let grid = Grid::new(rows.clone(), cols.clone(), block);
        let mut parts = Vec::new();
        let mut weights = 0;
        for (i, row) in rows.parts.iter().enumerate() {
            for (j, col) in cols.parts.iter().enumerate() {
                let taps = grid.taps(row, col, product.kernel_width);
                let offset = |channel| move |&(_, offset): &(usize, usize)| (channel + offset) as u32;
                let channels = (0..product.sources).map(|c| c * grid.channel);
                let steps = channels.flat_map(|channel| taps.iter().map(offset(channel)));
                let steps: Vec<_> = steps.collect();
                let count = steps.len();
                parts.push(Part {
                    rows: i,
                    cols: j,
                    taps: taps.iter().map(|&(tap, _)| tap).collect(),
                    steps,
                    weights,
                });
                weights += count;
            }
        }
        let lanes = lanes_on::<T>(product.isa);
        let blocks = grid.blocks().map(|range| row_block(&grid, &parts, lanes, range)).collect();
        Plan {
            product,
            grid,
            parts,
            blocks,
            tiles,
            tiles_per_task,
            groups_per_task,
            padded,
            weights_per_result: weights,
        }
    }

    pub fn chunks(&self) -> usize {
        self.tiles.len().div_ceil(self.tiles_per_task)
    }

    pub fn group_runs(&self) -> usize {
        self.product.groups.div_ceil(self.groups_per_task)
    }

    pub fn tasks(&self) -> usize {
        self.product.batch * self.group_runs() * self.blocks.len() * self.chunks()
    }

    /// Whether columns of several parts alternate in the result.
    pub fn interleaves(&self) -> bool {
        self.grid.cols.step > 1
    }

    pub fn scratch_len(&self) -> usize {
        let rows = self.blocks.iter().map(|block| block.results.len()).max().unwrap_or(0);
        let channels = if self.interleaves() { self.tiles.first().map_or(0, Range::len) } else { 0 };
        let interleaved = channels * rows * self.grid.cols.outputs;
        self.grid.len(self.product.sources) + interleaved
    }
}

fn row_block(grid: &Grid, parts: &[Part], lanes: usize, range: Range<usize>) -> RowBlock {
    let (rows, cols) = (&grid.rows, &grid.cols);
    let clip = |part: &Range<usize>| part.start.max(range.start)..part.end.min(range.end);
    let result = |part: usize, m: usize| {
        let part = &rows.parts[part];
        part.first + rows.step * (m - part.range.start)
    };
    let of_part = |part: usize| clip(&rows.parts[part].range).map(move |m| result(part, m));
    let mut results: Vec<_> = (0..rows.parts.len()).flat_map(of_part).collect();
    results.sort_unstable();
    let places = parts.iter().map(|part| {
        let (of_rows, of_cols) = (clip(&rows.parts[part.rows].range), &cols.parts[part.cols]);
        let local = of_rows.start.saturating_sub(range.start)..of_rows.end.saturating_sub(range.start);
        Places::new(lanes, grid.pitch, local, of_cols.range.clone(), |m| {
            let row = result(part.rows, m + range.start);
            if cols.step == 1 {
                return row * cols.outputs;
            }
            // Rows of a block one below the other, the parts of each side by side.
            let before = cols.parts[..part.cols].iter().map(|part| part.range.len()).sum::<usize>();
            results.binary_search(&row).expect("the block makes this row") * cols.outputs + before
        })
    });
    let places = places.collect();
    RowBlock { places, range, results }
}
