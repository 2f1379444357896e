//! The kernels of a block of outputs, one for each output and group of channels: predicted, or given.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{Vector, math};

use super::frame::{Block, Frame, WIDEST};
use super::product::product;

/// Most numbers in the kernels that are made at a time: they stay in the second-level cache.
const NUMBERS: usize = 1 << 14;

/// Where the kernels of one sample come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, T> {
    /// The softmax over the taps of `d x_q`, for `d` (G taps, C).
    Predicted(&'a [T]),
    /// The same, made before: for each block of outputs the values of all groups and their scales.
    Kept(&'a [T]),
    /// From an array. // (G, taps, positions)
    Given(&'a [T]),
}

/// The kernels of some groups for a block of outputs: `values` times `scale`.
pub(super) struct Kernels<T: Scalar> {
    pub groups: Range<usize>,
    pub taps: usize,
    /// Outputs, rows filled up to whole vectors: the distance between two taps.
    pub lanes: usize,
    values: Buffer<T>, // margin, (groups, taps, lanes), margin
    margin: usize,
    pub scale: Buffer<T>, // (groups, lanes)
    /// The queries that they are predicted from. // (C, lanes)
    pub queries: Buffer<T>,
}

impl<T: Scalar> Kernels<T> {
    /// Room for the kernels of blocks of up to `lanes` outputs, no numbers in it yet.
    pub fn new(frame: &Frame, channels: usize, groups: usize, lanes: usize) -> Self {
        let taps = frame.window.taps();
        let together = (NUMBERS / (taps * lanes)).clamp(1, groups);
        // Kernels are read as if their rows went on on either side.
        let margin = (frame.reach + WIDEST).next_multiple_of(WIDEST);
        Kernels {
            groups: 0..together,
            taps,
            lanes,
            values: Buffer::zeros(together * taps * lanes + 2 * margin),
            margin,
            scale: Buffer::arbitrary(together * lanes),
            queries: Buffer::arbitrary(channels * lanes),
        }
    }

    /// All groups in runs that fit.
    pub fn runs(&self, groups: usize) -> Vec<Range<usize>> {
        let together = self.groups.len();
        (0..groups).step_by(together).map(|start| start..(start + together).min(groups)).collect()
    }

    /// The values of one group. // (taps, lanes)
    pub fn group(&self, group: usize) -> *const T {
        self.values[self.margin + (group - self.groups.start) * self.taps * self.lanes..].as_ptr()
    }

    /// The values of all groups that are there. // (groups, taps, lanes)
    pub fn values_mut(&mut self) -> &mut [T] {
        let len = self.groups.len() * self.taps * self.lanes;
        &mut self.values[self.margin..][..len]
    }

    /// The scales of one group. // (lanes,)
    pub fn scales(&self, group: usize) -> &[T] {
        &self.scale[(group - self.groups.start) * self.lanes..][..self.lanes]
    }

    /// Keeps the kernels that are there, of `groups` in all, with those of the other groups of a block.
    pub fn keep(&self, groups: usize, kept: &mut [T]) {
        let (values, scales) = kept.split_at_mut(groups * self.taps * self.lanes);
        let (run, len) = (self.groups.start, self.groups.len() * self.lanes);
        values[run * self.taps * self.lanes..][..len * self.taps]
            .copy_from_slice(&self.values[self.margin..][..len * self.taps]);
        scales[run * self.lanes..][..len].copy_from_slice(&self.scale[..len]);
    }

    /// Reads the queries of a block.
    #[inline(always)]
    pub fn query(&mut self, frame: &Frame, framed: &[T], block: &Block) {
        let (width, line) = (block.width(), frame.line());
        self.lanes = block.lanes();
        let planes = framed.chunks(frame.plane());
        for (plane, queries) in planes.zip(self.queries.chunks_mut(self.lanes)) {
            for (row, queries) in block.rows.clone().zip(queries.chunks_mut(width)) {
                let from = row * frame.window.stride[0] * line + frame.query + block.cols.start;
                queries.copy_from_slice(&plane[from..from + width]);
            }
        }
    }

    /// Makes the kernels of some groups.
    #[inline(always)]
    pub fn make<V: Vector<Element = T>>(
        &mut self,
        source: &Source<T>,
        groups: Range<usize>,
        channels: usize,
        frame: &Frame,
        block: &Block,
    ) {
        let (taps, lanes) = (self.taps, block.lanes());
        self.lanes = lanes;
        self.groups = groups.clone();
        let rows = groups.start * taps..groups.end * taps;
        let values = &mut self.values[self.margin..][..rows.len() * lanes];
        match *source {
            Source::Predicted(d) => {
                let d = &d[rows.start * channels..rows.end * channels];
                let size = [rows.len(), lanes, channels];
                product::<T, V>(size, (d, channels, 1), (&self.queries, lanes), (values, lanes), false);
                let scales = self.scale.chunks_mut(lanes);
                for (logits, scale) in values.chunks_mut(taps * lanes).zip(scales) {
                    softmax::<T, V>(logits, scale);
                }
            }
            Source::Kept(kept) => {
                let all = kept.len() / (lanes * (taps + 1));
                let (kept, scales) = kept.split_at(all * taps * lanes);
                values.copy_from_slice(&kept[rows.start * lanes..rows.end * lanes]);
                let len = groups.len() * lanes;
                self.scale[..len].copy_from_slice(&scales[groups.start * lanes..][..len]);
            }
            Source::Given(kernels) => {
                let (width, [height, across]) = (block.width(), frame.window.output);
                self.scale[..groups.len() * lanes].fill(T::one());
                for (values, row) in values.chunks_mut(lanes).zip(rows) {
                    for (into, at) in values.chunks_mut(width).zip(block.rows.clone()) {
                        let from = (row * height + at) * across;
                        let from = &kernels[from + block.cols.start..from + block.cols.end];
                        into[..from.len()].copy_from_slice(from);
                        into[from.len()..].fill(T::zero());
                    }
                }
            }
        }
    }
}

/// Replaces logits (taps, lanes) by their exponentials, the largest 1, and writes one over their sums.
#[inline(always)]
fn softmax<T: Scalar, V: Vector<Element = T>>(logits: &mut [T], scale: &mut [T]) {
    let lanes = scale.len();
    let mut column = 0;
    while column < lanes {
        // Some columns side by side, so that one need not wait for the other.
        column += match (lanes - column) / V::LANES {
            4.. if const { V::REGISTERS >= 32 } => columns::<T, V, 4>(logits, lanes, column, scale),
            2.. => columns::<T, V, 2>(logits, lanes, column, scale),
            _ => columns::<T, V, 1>(logits, lanes, column, scale),
        };
    }
}

/// `M` vectors of columns, which must be there; returns how many columns that is.
#[inline(always)]
fn columns<T: Scalar, V: Vector<Element = T>, const M: usize>(
    logits: &mut [T],
    lanes: usize,
    column: usize,
    scale: &mut [T],
) -> usize {
    let (mut max, mut broken) = ([V::splat(T::neg_infinity()); M], [V::zero(); M]);
    for tap in logits.chunks_exact(lanes) {
        for m in 0..M {
            let logit = V::from_slice(&tap[column + m * V::LANES..]);
            max[m] = max[m].max(logit);
            broken[m] = V::select(logit.is_nan(), logit, broken[m]);
        }
    }
    let mut sum = [V::zero(); M];
    for tap in logits.chunks_exact_mut(lanes) {
        for m in 0..M {
            let value = &mut tap[column + m * V::LANES..];
            let exponential = math::exp_nonpositive(V::from_slice(value) - max[m]);
            sum[m] += exponential;
            exponential.write_to(value);
        }
    }
    for m in 0..M {
        // NaN where the largest is infinite: there is no distribution.
        let broken = broken[m] + max[m] * V::zero();
        (V::splat(T::one()) / sum[m] + broken).write_to(&mut scale[column + m * V::LANES..]);
    }
    M * V::LANES
}
