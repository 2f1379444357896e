//! Walking several arrays under one broadcast shape.

use termwise_autograd::Scalar;

use crate::par;

/// How `K` row-major operands lie under one shape: a nest of loops with as few levels as possible.
///
/// Axes of extent 1 are dropped and axes that every operand steps through evenly are joined, so
/// that the innermost loop, the *run*, is long: a bias over an image, or a whole pair of equal shapes.
pub struct Layout<const K: usize> {
    /// Extent of each axis outside the run, with the step of each operand, outermost first.
    outer: Vec<(usize, [usize; K])>,
    run: usize,
    steps: [usize; K],
}

impl<const K: usize> Layout<K> {
    /// The layout of operands that broadcast to `shape`.
    pub fn broadcast(shape: &[usize], operands: [&[usize]; K]) -> Self {
        let mut strides = [1; K];
        let mut axes = Vec::with_capacity(shape.len());
        for (from_last, &extent) in shape.iter().rev().enumerate() {
            let steps = std::array::from_fn(|k| {
                let own = operands[k].iter().rev().nth(from_last).copied().unwrap_or(1);
                let step = if own == 1 { 0 } else { strides[k] };
                strides[k] *= own;
                step
            });
            axes.push((extent, steps));
        }
        axes.reverse();
        Layout::from_axes(axes)
    }

    /// The layout of axes given, outermost first, as extent and step of each operand.
    pub fn from_axes(axes: impl IntoIterator<Item = (usize, [usize; K])>) -> Self {
        let mut joined: Vec<(usize, [usize; K])> = Vec::new();
        for (extent, steps) in axes {
            if extent == 1 {
                continue;
            }
            match joined.last_mut() {
                Some((len, outer)) if (0..K).all(|k| outer[k] == steps[k] * extent) => {
                    *len *= extent;
                    *outer = steps;
                }
                _ => joined.push((extent, steps)),
            }
        }
        let (run, steps) = joined.pop().unwrap_or((1, [0; K]));
        Layout { outer: joined, run, steps }
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.outer.iter().map(|(extent, _)| extent).product::<usize>() * self.run
    }

    /// Whether there are no positions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of positions in a run.
    pub fn run(&self) -> usize {
        self.run
    }

    /// Step of each operand from one position of a run to the next.
    pub fn steps(&self) -> [usize; K] {
        self.steps
    }

    /// Offset of each operand at a row-major position.
    pub fn offsets(&self, position: usize) -> [usize; K] {
        let (mut rest, within) = (position / self.run, position % self.run);
        let mut offsets = self.steps.map(|step| within * step);
        for (extent, steps) in self.outer.iter().rev() {
            for k in 0..K {
                offsets[k] += rest % extent * steps[k];
            }
            rest /= extent;
        }
        offsets
    }

    /// Calls `f(start, len, offsets)` for the parts of runs that make up the positions
    /// `start .. start + len`, in order.
    pub fn for_each_run(&self, start: usize, len: usize, mut f: impl FnMut(usize, usize, [usize; K])) {
        let (mut position, end) = (start, start + len);
        while position < end {
            let part = (self.run - position % self.run).min(end - position);
            f(position, part, self.offsets(position));
            position += part;
        }
    }
}

/// Positions that one task computes.
const CHUNK: usize = 4096;
/// Positions computed at once; operands that stand still are spread over as many.
const BLOCK: usize = 128;
/// Rough operations per position, to decide whether splitting pays.
const WORK: usize = 4;

/// `f` of the elements of `K` operands, each given as shape and elements, broadcast to `shape`.
pub fn map<T: Scalar, const K: usize>(
    shape: &[usize],
    operands: [(&[usize], &[T]); K],
    f: impl Fn([T; K]) -> T + Sync,
) -> Vec<T> {
    let layout = Layout::broadcast(shape, operands.map(|(shape, _)| shape));
    let mut out = vec![T::zero(); shape.iter().product()];
    par::for_each_chunk(&mut out, CHUNK, CHUNK * WORK, |chunk, out| {
        let first = chunk * CHUNK;
        let mut still = [[T::zero(); BLOCK]; K];
        layout.for_each_run(first, out.len(), |position, len, offsets| {
            for k in 0..K {
                if layout.steps[k] == 0 {
                    still[k][..len.min(BLOCK)].fill(operands[k].1[offsets[k]]);
                }
            }
            let out = &mut out[position - first..][..len];
            for (i, out) in out.chunks_mut(BLOCK).enumerate() {
                let blocks: [&[T]; K] = std::array::from_fn(|k| match layout.steps[k] {
                    0 => &still[k][..out.len()],
                    _ => &operands[k].1[offsets[k] + i * BLOCK..][..out.len()],
                });
                for (j, out) in out.iter_mut().enumerate() {
                    *out = f(std::array::from_fn(|k| blocks[k][j]));
                }
            }
        });
    });
    out
}
