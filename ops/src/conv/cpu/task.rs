//! One task of an implicit product.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};

use super::Shared;
use super::axis::Axis;
use super::plan::Plan;
use super::tile::Block;

impl Plan<'_> {
    /// Computes the results of one task.
    pub fn run<T: Scalar>(&self, task: usize, packed: &[T], source: &[T], out: Shared<T>) {
        let mut scratch = Buffer::arbitrary(self.scratch_len());
        let (grid, rows) = scratch.split_at_mut(self.grid.len(self.product.sources));
        let (rest, chunk) = (task / self.chunks(), task % self.chunks());
        let (rest, block) = (rest / self.blocks.len(), rest % self.blocks.len());
        let (n, groups) = (rest / self.group_runs(), rest % self.group_runs());
        simd::run_on(
            self.product.isa,
            Task { plan: self, packed, source, n, groups, block, chunk, grid, rows, out },
        );
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
