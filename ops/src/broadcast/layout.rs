//! Walking several arrays under one broadcast shape.

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Lanes, Vector};

use crate::lanes::{self, Pointwise};
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

    /// Extent of each joined axis, and the step of each operand along it, outermost first, the run last.
    pub fn axes(&self) -> impl Iterator<Item = (usize, [usize; K])> {
        self.outer.iter().copied().chain([(self.run, self.steps)])
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
    #[inline]
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

    /// The part of a run that starts at `position`, of at most `most` positions: its length, and the offset
    /// of each operand there.
    #[inline]
    pub fn run_at(&self, position: usize, most: usize) -> (usize, [usize; K]) {
        ((self.run - position % self.run).min(most), self.offsets(position))
    }

    /// Calls `f(start, len, offsets)` for the parts of runs that make up the positions
    /// `start .. start + len`, in order.
    pub fn for_each_run(&self, start: usize, len: usize, mut f: impl FnMut(usize, usize, [usize; K])) {
        let (mut position, end) = (start, start + len);
        while position < end {
            let (part, offsets) = self.run_at(position, end - position);
            f(position, part, offsets);
            position += part;
        }
    }
}

/// Positions that one task computes.
const CHUNK: usize = 1 << 13;
/// Positions whose operands are laid side by side where runs are short.
const BLOCK: usize = 256;
/// Runs from this length on are worked on where they lie.
const LONG: usize = 32;
/// Rough operations per position, to decide whether splitting pays.
const WORK: usize = 4;

/// `f` of the elements of `K` operands, each given as shape and elements, broadcast to `shape`.
pub fn map<T: Scalar, F: Pointwise<K>, const K: usize>(
    shape: &[usize],
    operands: [(&[usize], &[T]); K],
    f: F,
) -> Buffer<T> {
    let layout = &Layout::broadcast(shape, operands.map(|(shape, _)| shape));
    let x = operands.map(|(_, x)| x);
    let mut y = Buffer::arbitrary(shape.iter().product());
    par::for_each_chunk(&mut y, CHUNK, CHUNK * WORK, |chunk, y| {
        simd::run(MapLayout { f, layout, x, first: chunk * CHUNK, y });
    });
    y
}

/// The positions `first ..` of [`map`].
struct MapLayout<'a, F, T, const K: usize> {
    f: F,
    layout: &'a Layout<K>,
    x: [&'a [T]; K],
    first: usize,
    y: &'a mut [T],
}

impl<T: Scalar, F: Pointwise<K>, const K: usize> Kernel<T> for MapLayout<'_, F, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let MapLayout { f, layout, x, first, y } = self;
        let mut done = 0;
        if layout.run >= LONG {
            while done < y.len() {
                let (len, offsets) = layout.run_at(first + done, y.len() - done);
                // An operand moves along with the run or stands still: then it is read from a vector full of it.
                let parts: [&[T]; K] = std::array::from_fn(|k| {
                    &x[k][offsets[k]..][..if layout.steps[k] == 0 { 1 } else { len }]
                });
                let mut still = parts.map(|part| Lanes::of(V::splat(part[0])));
                let mut from = [std::ptr::null(); K];
                for k in 0..K {
                    from[k] = match layout.steps[k] {
                        0 => still[k].as_mut_slice().as_ptr(),
                        _ => parts[k].as_ptr(),
                    };
                }
                let moves = layout.steps.map(|step| if step == 0 { 0 } else { usize::MAX });
                let out = &mut y[done..done + len];
                let whole = len - len % V::LANES;
                for i in (0..whole).step_by(V::LANES) {
                    // SAFETY: i + LANES <= len, the length of what moves; what stands still has LANES elements.
                    let operands = std::array::from_fn(|k| unsafe { V::load(from[k].add(i & moves[k])) });
                    f.at(operands).write_to(&mut out[i..i + V::LANES]);
                }
                if whole < len {
                    let rest = len - whole;
                    // SAFETY: as above, with the rest of len.
                    let operands =
                        std::array::from_fn(|k| unsafe { V::load_part(from[k].add(whole & moves[k]), rest) });
                    f.at(operands).write_to(&mut out[whole..]);
                }
                done += len;
            }
            return;
        }
        // Short runs: gather a block of each operand, then work on whole vectors.
        let mut blocks = [[T::zero(); BLOCK]; K];
        while done < y.len() {
            let block = BLOCK.min(y.len() - done);
            let mut filled = 0;
            while filled < block {
                let (len, offsets) = layout.run_at(first + done + filled, block - filled);
                for k in 0..K {
                    for i in 0..len {
                        blocks[k][filled + i] = x[k][offsets[k] + i * layout.steps[k]];
                    }
                }
                filled += len;
            }
            let blocks = std::array::from_fn(|k| &blocks[k][..block]);
            lanes::Map { f, x: blocks, y: &mut y[done..done + block] }.run::<V>();
            done += block;
        }
    }
}
