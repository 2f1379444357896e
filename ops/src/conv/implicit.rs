//! Convolution as an implicit matrix product: `y[o, q] = b[o] + sum_k W[o, k] grid[step_k + q]`.
//!
//! The forward pass and the gradient in the input are the same computation over different
//! [`grid`](super::grid) axes. Each task copies the rows it reads into a grid of its own, which stays in its
//! core's cache, and runs over the blocks of output channels.

use std::ops::Range;

use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::ConvGeometry;
use super::grid::{Axis, Grid};
use super::tile::{Block, Places, TileRows};

/// Bytes of a task's grid: a part of a core's second cache.
const GRID_BYTES: usize = 320 << 10;
/// Tasks there should be at least, where there is work for them.
const MIN_TASKS: usize = 8;
/// Multiplications that are worth a task.
const MIN_TASK_WORK: usize = 1 << 18;

/// Source channels whose weights are packed at a time.
const PACKED_CHANNELS: usize = 32;
/// Weights from which on they are packed in parallel.
const MIN_PARALLEL_PACKING: usize = 1 << 16;

/// Numbers that tasks on several threads write, each its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(*mut T);

// SAFETY: whoever writes through it vouches for it that no two tasks write the same element.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(all: &mut [T]) -> Self {
        Shared(all.as_mut_ptr())
    }

    /// The element at an index and those after it.
    ///
    /// # Safety
    /// The index must lie in the slice, or one past its end.
    pub unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller vouches for the index.
        unsafe { self.0.add(index) }
    }
}

/// `y = W x + bias`. // (N, O, Ho, Wo)
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Buffer<T> {
    let (inputs, taps) = (geometry.group_inputs(), geometry.window.taps());
    let product = Product {
        isa,
        batch: geometry.batch,
        groups: geometry.groups,
        sources: inputs,
        results: geometry.group_outputs(),
        taps,
        kernel_width: geometry.window.kernel[1],
        result_stride: inputs * taps,
        source_stride: taps,
        axes: [0, 1].map(|axis| Axis::convolution(&geometry.window, axis)),
    };
    product.compute(x, weight, bias)
}

/// `dx = W^T dy`. // (N, C, H, W)
pub(super) fn input_gradient<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    weight: &[T],
    grad_output: &[T],
) -> Buffer<T> {
    let (inputs, taps) = (geometry.group_inputs(), geometry.window.taps());
    let product = Product {
        isa,
        batch: geometry.batch,
        groups: geometry.groups,
        sources: geometry.group_outputs(),
        results: inputs,
        taps,
        kernel_width: geometry.window.kernel[1],
        result_stride: taps,
        source_stride: inputs * taps,
        axes: [0, 1].map(|axis| Axis::transposed(&geometry.window, axis)),
    };
    product.compute(grad_output, weight, None)
}

struct Product {
    isa: Isa,
    batch: usize,
    groups: usize,
    /// Channels of a group that are read and written.
    sources: usize,
    results: usize,
    taps: usize,
    kernel_width: usize,
    /// Distance in the weights of neighbouring result and source channels.
    result_stride: usize,
    source_stride: usize,
    axes: [Axis; 2],
}

/// Outputs that share their taps: those of one part of the rows and one of the columns.
struct Part {
    rows: usize,
    cols: usize,
    taps: Vec<usize>,
    /// Offset in the grid of each channel and tap.
    steps: Vec<u32>,
    /// Where a group's packed weights of this part start, in units of padded result channels.
    weights: usize,
}

/// A block of rows: its values of `m`, and for each part where its vectors lie.
struct RowBlock {
    range: Range<usize>,
    places: Vec<Places>,
    /// Rows of the result that it makes.
    results: Vec<usize>,
}

impl Product {
    fn compute<T: Scalar>(&self, source: &[T], weight: &[T], bias: Option<&[T]>) -> Buffer<T> {
        let [height, width] = [0, 1].map(|axis| self.axes[axis].outputs);
        let mut out = Buffer::arbitrary(self.batch * self.groups * self.results * height * width);
        if out.is_empty() {
            return out;
        }
        if source.is_empty() {
            for (plane, out) in out.chunks_mut(height * width).enumerate() {
                out.fill(bias.map_or(T::zero(), |bias| bias[plane % bias.len()]));
            }
            return out;
        }
        let plan = Plan::new::<T>(self);
        let packed = plan.pack(weight, bias);
        let shared = Shared::new(&mut out);
        let run = |task: usize| {
            let mut scratch = Buffer::arbitrary(plan.scratch_len());
            let (grid, rows) = scratch.split_at_mut(plan.grid.len(self.sources));
            let chunks = plan.chunks();
            let (rest, chunk) = (task / chunks, task % chunks);
            let (rest, block) = (rest / plan.blocks.len(), rest % plan.blocks.len());
            let (n, groups) = (rest / plan.group_runs(), rest % plan.group_runs());
            simd::run_on(
                self.isa,
                Task {
                    plan: &plan,
                    packed: &packed,
                    source,
                    n,
                    groups,
                    block,
                    chunk,
                    grid,
                    rows,
                    out: shared,
                },
            );
        };
        let tasks = plan.tasks();
        if self.work() < 2 * MIN_TASK_WORK {
            (0..tasks).for_each(run);
        } else {
            (0..tasks).into_par_iter().for_each(run);
        }
        out
    }

    /// Multiplications in all.
    fn work(&self) -> usize {
        let positions = self.axes[0].extent() * self.axes[1].extent();
        self.batch * self.groups * self.results * self.sources * self.taps * positions
    }
}

/// How a product is computed.
struct Plan<'a> {
    product: &'a Product,
    grid: Grid,
    parts: Vec<Part>,
    blocks: Vec<RowBlock>,
    /// Result channels of the tiles of a group, first and number of each.
    tiles: Vec<Range<usize>>,
    /// Tiles that a task computes.
    tiles_per_task: usize,
    /// Groups that a task computes one after the other.
    groups_per_task: usize,
    /// Padded result channels of a group.
    padded: usize,
    /// Weights of a group for one result channel, over all parts.
    weights_per_result: usize,
}

impl<'a> Plan<'a> {
    fn new<T: Scalar>(product: &'a Product) -> Self {
        let [rows, cols] = &product.axes;
        let tiles = TileRows::on::<T>(product.isa).cover(product.results);
        let padded = tiles.last().map_or(0, |last| last.end);

        // As many rows as fit the cache, less where that leaves threads idle.
        let row_bytes = product.sources * Grid::row_len(rows, cols) * size_of::<T>();
        let extent = rows.extent();
        let units = product.batch * product.groups;
        let row_work = (product.work() / (units * extent).max(1)).max(1);
        let fits = (GRID_BYTES / row_bytes.max(1)).clamp(1, extent);
        let fair = extent.div_ceil(MIN_TASKS.div_ceil(units));
        let block = fits.min(fair.max(MIN_TASK_WORK.div_ceil(row_work))).max(1);
        let block = extent.div_ceil(extent.div_ceil(block)); // even blocks
        let blocks = extent.div_ceil(block);
        let tiles_per_task = tiles.len().div_ceil(MIN_TASKS.div_ceil(units * blocks)).max(1);
        let unit_work = (product.work() / (units * blocks).max(1)).max(1);
        let groups_per_task = (MIN_TASK_WORK / unit_work).clamp(1, product.groups);

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
        let lanes = match product.isa {
            Isa::Portable => <T::Portable as Vector>::LANES,
            Isa::Avx2 => <T::Avx2 as Vector>::LANES,
            Isa::Avx512 => <T::Avx512 as Vector>::LANES,
        };
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

    fn chunks(&self) -> usize {
        self.tiles.len().div_ceil(self.tiles_per_task)
    }

    fn group_runs(&self) -> usize {
        self.product.groups.div_ceil(self.groups_per_task)
    }

    fn tasks(&self) -> usize {
        self.product.batch * self.group_runs() * self.blocks.len() * self.chunks()
    }

    /// Whether columns of several parts alternate in the result.
    fn interleaves(&self) -> bool {
        self.grid.cols.step > 1
    }

    fn scratch_len(&self) -> usize {
        let rows = self.blocks.iter().map(|block| block.results.len()).max().unwrap_or(0);
        let channels = if self.interleaves() { self.tiles.first().map_or(0, Range::len) } else { 0 };
        let interleaved = channels * rows * self.grid.cols.outputs;
        self.grid.len(self.product.sources) + interleaved
    }

    /// The weights in the order in which tiles read them, then the biases. // (groups, parts, tiles, steps, rows)
    fn pack<T: Scalar>(&self, weight: &[T], bias: Option<&[T]>) -> Buffer<T> {
        let product = self.product;
        let group_len = self.padded * (self.weights_per_result + 1);
        let mut packed = Buffer::arbitrary(product.groups * group_len);
        let group_weights = product.results * product.sources * product.taps;
        // Runs of source channels: each reads weights that lie together.
        let runs = product.sources.div_ceil(PACKED_CHANNELS).max(1);
        let shared = Shared::new(&mut packed);
        let pack = |task: usize| {
            let (group, run) = (task / runs, task % runs);
            let sources = run * PACKED_CHANNELS..((run + 1) * PACKED_CHANNELS).min(product.sources);
            let weight = &weight[group * group_weights..][..group_weights];
            // SAFETY: the groups lie one behind the other.
            let packed = unsafe { shared.at(group * group_len) };
            simd::run_on(product.isa, Pack { plan: self, weight, sources, packed });
            if run == 0 {
                // SAFETY: a group's biases lie behind its weights.
                let biases = unsafe {
                    let first = packed.add(self.padded * self.weights_per_result);
                    std::slice::from_raw_parts_mut(first, self.padded)
                };
                biases.fill(T::zero());
                if let Some(bias) = bias {
                    let bias = &bias[group * product.results..][..product.results];
                    biases[..bias.len()].copy_from_slice(bias);
                }
            }
        };
        if group_weights * product.groups < MIN_PARALLEL_PACKING {
            (0..product.groups * runs).for_each(pack);
        } else {
            (0..product.groups * runs).into_par_iter().for_each(pack);
        }
        packed
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

/// One group's weights of a run of source channels.
struct Pack<'a, T> {
    plan: &'a Plan<'a>,
    weight: &'a [T],
    sources: Range<usize>,
    packed: *mut T,
}

impl<T: Scalar> Kernel<T> for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        // In the order in which the weights lie.
        let (sources, tiles) = (self.sources.clone(), &self.plan.tiles);
        let product = self.plan.product;
        let whole = matches!(&self.plan.parts[..], [part] if part.taps.len() == product.taps);
        if whole && product.result_stride == product.sources * product.taps {
            tiles.iter().for_each(|tile| self.pack_run::<V>(tile));
        } else {
            sources.for_each(|c| tiles.iter().for_each(|tile| self.pack::<V>(c, tile)));
        }
    }
}

impl<T: Scalar> Pack<'_, T> {
    /// Packs the weights of all of the source channels and the results of one tile, which lie in one run.
    #[inline(always)]
    fn pack_run<V: Vector<Element = T>>(&self, tile: &Range<usize>) {
        let (product, sources) = (self.plan.product, &self.sources);
        let valid = tile.len().min(product.results - tile.start);
        let first = tile.start * product.result_stride + sources.start * product.taps;
        let steps = sources.len() * product.taps;
        let weight = &self.weight[first..][..(valid - 1) * product.result_stride + steps];
        let start = tile.start * product.sources * product.taps + sources.start * product.taps * tile.len();
        // SAFETY: as in `pack`, for the only part there is.
        unsafe {
            let into = self.packed.add(start);
            if valid < tile.len() {
                std::slice::from_raw_parts_mut(into, steps * tile.len()).fill(T::zero());
            }
            simd::transpose::<V>([valid, steps], weight.as_ptr(), product.result_stride, into, tile.len());
        }
    }

    /// Packs the weights of one source channel and the results of one tile.
    #[inline(always)]
    fn pack<V: Vector<Element = T>>(&self, c: usize, tile: &Range<usize>) {
        let (plan, product) = (self.plan, self.plan.product);
        let valid = tile.len().min(product.results - tile.start);
        let first = tile.start * product.result_stride + c * product.source_stride;
        let weight = &self.weight[first..][..(valid - 1) * product.result_stride + product.taps];
        for part in &plan.parts {
            let taps = part.taps.len();
            let start = part.weights * plan.padded + tile.start * part.steps.len() + c * taps * tile.len();
            // SAFETY: the part holds the tile's rows for each step, of which these are the channel's; they belong
            // to this task.
            let into = unsafe { std::slice::from_raw_parts_mut(self.packed.add(start), taps * tile.len()) };
            if valid < tile.len() {
                into.fill(T::zero());
            }
            for (into, &tap) in into.chunks_exact_mut(tile.len()).zip(&part.taps) {
                for (r, into) in into[..valid].iter_mut().enumerate() {
                    *into = weight[r * product.result_stride + tap];
                }
            }
        }
    }
}

/// The work of one task.
struct Task<'a, T> {
    plan: &'a Plan<'a>,
    packed: &'a [T],
    source: &'a [T],
    n: usize,
    groups: usize,
    block: usize,
    chunk: usize,
    grid: &'a mut [T],
    rows: &'a mut [T],
    out: Shared<T>,
}

impl<T: Scalar> Kernel<T> for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Task { plan, packed, source, n, groups, block, chunk, grid, rows, out } = self;
        let (product, block) = (plan.product, &plan.blocks[block]);
        let (read, written) =
            (plan.grid.rows.source * plan.grid.cols.source, plan.grid.rows.outputs * plan.grid.cols.outputs);
        let tiles = chunk * plan.tiles_per_task..((chunk + 1) * plan.tiles_per_task).min(plan.tiles.len());
        let groups = groups * plan.groups_per_task..((groups + 1) * plan.groups_per_task).min(product.groups);
        for group in groups {
            let group_of_all = n * product.groups + group;
            let source = &source[group_of_all * product.sources * read..][..product.sources * read];
            plan.grid.fill::<V>(&block.range, source, grid);
            let packed = &packed[group * plan.padded * (plan.weights_per_result + 1)..];
            let biases = &packed[plan.padded * plan.weights_per_result..];
            for tile in &plan.tiles[tiles.clone()] {
                let valid = tile.len().min(product.results - tile.start);
                // SAFETY: the tile's channels lie in the output.
                let channel = unsafe { out.at((group_of_all * product.results + tile.start) * written) };
                let (into, distance) = if plan.interleaves() {
                    (rows.as_mut_ptr(), block.results.len() * plan.grid.cols.outputs)
                } else {
                    (channel, written)
                };
                for (part, places) in plan.parts.iter().zip(&block.places) {
                    let weights = &packed[part.weights * plan.padded + tile.start * part.steps.len()..];
                    let tile = Block {
                        weights: weights.as_ptr(),
                        bias: biases[tile.start..].as_ptr(),
                        rows: tile.len(),
                        valid,
                        steps: &part.steps,
                        grid: grid.as_ptr(),
                        places,
                        out: into,
                        channel: distance,
                    };
                    // SAFETY: the packed weights hold the tile's rows for each step; places and steps were made
                    // for this grid, which has slack for the last vector; this task alone writes the rows of
                    // its block of its channels.
                    unsafe { tile.compute::<V>() };
                }
                if plan.interleaves() {
                    for r in 0..valid {
                        let made = &rows[r * distance..][..distance];
                        // SAFETY: as above.
                        let channel =
                            unsafe { std::slice::from_raw_parts_mut(channel.add(r * written), written) };
                        interleave::<V>(&plan.grid.cols, &block.results, made, channel);
                    }
                }
            }
        }
    }
}

/// Deals the parts of each row, which lie side by side, to their places in the result.
#[inline(always)]
fn interleave<V: Vector>(cols: &Axis, results: &[usize], made: &[V::Element], channel: &mut [V::Element]) {
    for (made, &row) in made.chunks(cols.outputs).zip(results) {
        let into = &mut channel[row * cols.outputs..][..cols.outputs];
        if let [one, two] = &cols.parts[..]
            && cols.step == 2
        {
            let (left, right) = made.split_at(one.range.len());
            let (even, odd) = if one.first < two.first { (left, right) } else { (right, left) };
            for (i, into) in into.chunks_mut(2 * V::LANES).enumerate() {
                let (even, odd) = (&even[i * V::LANES..], &odd[(i * V::LANES).min(odd.len())..]);
                let (low, high) = V::from_slice(even).interleave(V::from_slice(odd));
                let (into_low, into_high) = into.split_at_mut(into.len().min(V::LANES));
                low.write_to(into_low);
                high.write_to(into_high);
            }
            continue;
        }
        let mut made = made;
        for part in &cols.parts {
            let (now, rest) = made.split_at(part.range.len());
            made = rest;
            for (into, &from) in into[part.first..].iter_mut().step_by(cols.step).zip(now) {
                *into = from;
            }
        }
    }
}
