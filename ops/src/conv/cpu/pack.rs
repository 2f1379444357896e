//! Weights in the order in which tiles read them.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};

use super::plan::Plan;
use super::{Shared, for_each_task};

/// Source channels whose weights are packed at a time.
const CHANNELS: usize = 32;

impl Plan<'_> {
    /// The weights in the order in which tiles read them, then the biases. // (groups, parts, tiles, steps, rows)
    pub fn pack<T: Scalar>(&self, weight: &[T], bias: Option<&[T]>) -> Buffer<T> {
        let product = self.product;
        let group_len = self.padded * (self.weights_per_result + 1);
        let mut packed = Buffer::arbitrary(product.groups * group_len);
        let group_weights = product.results * product.sources * product.taps;
        // Runs of source channels: each reads weights that lie together.
        let runs = product.sources.div_ceil(CHANNELS).max(1);
        let shared = Shared::new(&mut packed);
        let pack = |task: usize| {
            let (group, run) = (task / runs, task % runs);
            let sources = run * CHANNELS..((run + 1) * CHANNELS).min(product.sources);
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
        // A weight takes about as long as this many multiplications.
        const COST: usize = 16;
        for_each_task(product.groups * runs, COST * group_weights * product.groups, pack);
        packed
    }
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
            sources.for_each(|c| tiles.iter().for_each(|tile| self.pack(c, tile)));
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
    fn pack(&self, c: usize, tile: &Range<usize>) {
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
