//! What a convolution reads along one axis, and what its transpose reads.
//!
//! A convolution reads `x[s q + d k - p]` for output `q` and tap `k`; its transpose reads `dy[(u + p - d k) / s]` for
//! output `u`, where that is whole. Both become reads of a padded source at `split * m + t`, with `m` running over
//! outputs and one constant `t` a tap:
//!
//! - the convolution: `split = s`, `t = d k`, `m = q`;
//! - the transpose: `split = 1`, and the outputs fall into up to `s` *parts* by the remainder of their position, each
//!   of which has its own taps.

use std::ops::Range;

use crate::conv::Window;

/// Outputs on one axis that share their taps.
#[derive(Clone, Debug)]
pub(super) struct AxisPart {
    /// Position of the output `m = range.start`; the following ones are `step` apart.
    pub first: usize,
    /// Values of `m`.
    pub range: Range<usize>,
    /// Each tap and the `t` that it reads at.
    pub taps: Vec<(usize, usize)>,
}

/// Reads of a convolution or its transpose along one axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Extent of what is read.
    pub source: usize,
    /// Extent of what is written.
    pub outputs: usize,
    /// Distance of the outputs of a part.
    pub step: usize,
    pub parts: Vec<AxisPart>,
    /// Number of phases that the source is dealt to: position `j` goes to phase `j % split`.
    pub split: usize,
    /// Where in the padded source the source starts; negative where its first elements are never read.
    pub left: isize,
}

impl Axis {
    /// The reads of a convolution.
    pub fn convolution(window: &Window, axis: usize) -> Self {
        let (stride, dilation) = (window.stride[axis], window.dilation[axis]);
        let taps = (0..window.kernel[axis]).map(|k| (k, k * dilation)).collect();
        Axis {
            source: window.image[axis],
            outputs: window.output[axis],
            step: 1,
            parts: vec![AxisPart { first: 0, range: 0..window.output[axis], taps }],
            split: stride,
            left: window.padding[axis] as isize,
        }
    }

    /// The reads of the transpose, which writes the convolution's input from its output.
    pub fn transposed(window: &Window, axis: usize) -> Self {
        let (stride, padding, dilation) = (window.stride[axis], window.padding[axis], window.dilation[axis]);
        let (outputs, taps) = (window.image[axis], window.kernel[axis]);
        // Output i is reached from (i + padding - k dilation) / stride: with i + padding = m stride + a by
        // the taps whose k dilation has the remainder a, from m - (k dilation / stride).
        let parts = (0..stride).filter_map(|a| {
            let first = (a + stride - padding % stride) % stride;
            let start = (first + padding) / stride;
            let count = outputs.checked_sub(first)?.div_ceil(stride);
            (count > 0).then_some((a, first, start..start + count))
        });
        let parts: Vec<_> = parts.collect();
        let base = parts.iter().map(|(_, _, range)| range.start).min().unwrap_or(0);
        let furthest = (taps - 1) * dilation / stride;
        let parts = parts.into_iter().map(|(a, first, range)| {
            let of_part = (0..taps).filter(|k| k * dilation % stride == a);
            AxisPart {
                first,
                range: range.start - base..range.end - base,
                taps: of_part.map(|k| (k, furthest - k * dilation / stride)).collect(),
            }
        });
        Axis {
            source: window.output[axis],
            outputs,
            step: stride,
            parts: parts.collect(),
            split: 1,
            left: furthest as isize - base as isize,
        }
    }

    /// One more than the largest `m`.
    pub fn extent(&self) -> usize {
        self.parts.iter().map(|part| part.range.end).max().unwrap_or(0)
    }

    fn taps(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().flat_map(|part| part.taps.iter().map(|&(_, t)| t))
    }

    /// Phases that are read.
    pub fn phases(&self) -> Vec<usize> {
        (0..self.split).filter(|&phase| self.taps().any(|t| t % self.split == phase)).collect()
    }

    /// How many rows of a phase the last tap lies below the first.
    pub fn furthest(&self) -> usize {
        self.taps().map(|t| t / self.split).max().unwrap_or(0)
    }

    /// Elements of a phase from the start of one row to that of the next.
    pub fn pitch(&self) -> usize {
        let reads = self.parts.iter().flat_map(|part| {
            part.taps.iter().map(|&(_, t)| (part.range.end * self.split + t + 1).saturating_sub(self.split))
        });
        let reach = reads.max().unwrap_or(0); // one more than the last position read
        let data = (self.left + self.source as isize).max(0).unsigned_abs();
        // What is read beyond the pitch is the start of the next row, which must be zeros that stand for zeros.
        let wrapped = reach.saturating_sub(self.zeros());
        self.extent().max(data.min(reach).div_ceil(self.split)).max(wrapped.div_ceil(self.split))
    }

    /// Zeros before the source, which serve as those behind the row above too.
    pub fn zeros(&self) -> usize {
        self.left.max(0).unsigned_abs()
    }

    /// The elements of a phase's row that hold source, and the source position of the first.
    pub fn data(&self, phase: usize, pitch: usize) -> (Range<usize>, usize) {
        let (split, shift) = (self.split as isize, phase as isize - self.left);
        // Element q holds source position split q + shift.
        let first_at_least = |bound: isize| (bound - shift).max(0).unsigned_abs().div_ceil(self.split);
        let end = first_at_least(self.source as isize).min(pitch);
        let start = first_at_least(0).min(end);
        (start..end, (start as isize * split + shift).max(0).unsigned_abs())
    }
}
