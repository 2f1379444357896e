//! Where a convolution reads, made plain: a copy of the input in which every tap is one offset.
//!
//! The padded source of the [`Axis`] module is dealt to `split` phases an axis, so that `m` walks contiguous memory
//! whatever the stride: with rows `pitch` apart, output `(m, n)` and tap `(t, u)` meet at `m pitch + n` + a constant.
//! That makes the whole image one run of numbers, and vectors may cross the ends of rows. The zeros to the left
//! of one row serve as those to the right of the row above.

use std::ops::Range;

use termwise_autograd::simd::Vector;

use super::axis::{Axis, AxisPart};

/// Elements behind the last channel that a vector may read, beyond what it needs.
const SLACK: usize = 64;
/// A cache line holds this many elements or half as many; planes are an odd number of these apart, so that
/// the same position of all channels does not fall into few sets of the cache.
const LINE: usize = 16;

/// A 2-D tap: its index in the kernel, and its offset in a channel of the grid.
pub(super) type Tap = (usize, usize);

/// What of a row belongs to one phase.
#[derive(Clone, Copy, Debug)]
struct Phase {
    number: usize,
    /// Elements of the phase's row that hold source; there are zeros around them.
    start: usize,
    end: usize,
    /// Source position of the first of them.
    first: usize,
}

/// Layout of the padded, phase-split source of a block of rows.
#[derive(Debug)]
pub(super) struct Grid {
    pub rows: Axis,
    pub cols: Axis,
    /// Values of `m` on the row axis in a block.
    pub block: usize,
    /// Distance of neighbouring rows.
    pub pitch: usize,
    row_phases: Vec<usize>,
    col_phases: Vec<Phase>,
    plane: usize,
    /// Distance of neighbouring channels.
    pub channel: usize,
}

impl Grid {
    /// The layout for blocks of `block` rows.
    pub fn new(rows: Axis, cols: Axis, block: usize) -> Self {
        let (pitch, row_phases) = (cols.pitch(), rows.phases());
        let phase = |number| {
            let (Range { start, end }, first) = cols.data(number, pitch);
            Phase { number, start, end, first }
        };
        let col_phases: Vec<_> = cols.phases().into_iter().map(phase).collect();
        // Behind the rows, zeros to the right of the last one, and room for what its last vector holds.
        let plane = (block + rows.furthest()) * pitch + cols.zeros().div_ceil(cols.split) + LINE;
        let planes = row_phases.len() * col_phases.len();
        let channel = ((plane * planes).div_ceil(LINE) | 1) * LINE;
        Grid { rows, cols, block, pitch, row_phases, col_phases, plane, channel }
    }

    /// Elements of one row of `m`, over all phases.
    pub fn row_len(rows: &Axis, cols: &Axis) -> usize {
        rows.phases().len() * cols.phases().len() * cols.pitch()
    }

    /// The blocks of rows.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let (block, extent) = (self.block, self.rows.extent());
        (0..extent.div_ceil(block)).map(move |i| i * block..((i + 1) * block).min(extent))
    }

    /// Elements that hold so many channels.
    pub fn len(&self, channels: usize) -> usize {
        channels * self.channel + SLACK
    }

    /// The taps that a part of the rows and a part of the columns have in common, in the kernel's order.
    pub fn taps(&self, rows: &AxisPart, cols: &AxisPart, kernel_width: usize) -> Vec<Tap> {
        let row_plane = |phase| self.row_phases.iter().position(|&p| p == phase).expect("it is read");
        let col_plane = |phase| self.col_phases.iter().position(|p| p.number == phase).expect("it is read");
        let pairs = rows.taps.iter().flat_map(|row| cols.taps.iter().map(move |col| (row, col)));
        let tap = |(&(i, t), &(j, u)): (&(usize, usize), &(usize, usize))| {
            let (down, right) = (self.rows.split, self.cols.split);
            let plane = row_plane(t % down) * self.col_phases.len() + col_plane(u % right);
            (i * kernel_width + j, plane * self.plane + t / down * self.pitch + u / right)
        };
        pairs.map(tap).collect()
    }

    /// Copies the rows of `block` of each plane of `source` into `grid`, which holds as many channels.
    ///
    /// # Panics
    /// If it does not.
    #[inline(always)]
    pub fn fill<V: Vector>(&self, block: &Range<usize>, source: &[V::Element], grid: &mut [V::Element]) {
        let pixels = self.rows.source * self.cols.source;
        let channels = source.len() / pixels.max(1);
        let lines = block.len() + self.rows.furthest();
        assert!(
            grid.len() >= channels * self.channel && lines * self.pitch <= self.plane,
            "a grid of {channels}"
        );
        let both = self.cols.split == 2 && self.col_phases.len() == 2;
        for channel in 0..channels {
            for (i, &row_phase) in self.row_phases.iter().enumerate() {
                let (data, _) = self.rows.data(row_phase, block.start + lines);
                let data = data.start.max(block.start)..data.end.max(block.start);
                for j in (0..self.col_phases.len()).step_by(if both { 2 } else { 1 }) {
                    let plane = (i * self.col_phases.len() + j) * self.plane;
                    // SAFETY: planes lie in the channel, lines in the plane; `data` holds the lines whose
                    // source row there is.
                    unsafe {
                        let mut into = grid.as_mut_ptr().add(channel * self.channel + plane);
                        let above = (data.start - block.start) * self.pitch;
                        let below = self.plane - (data.end - block.start) * self.pitch;
                        // The first row's zeros to the left too: rows care for what follows them.
                        let phases = [self.col_phases[j], self.col_phases[if both { j + 1 } else { j }]];
                        zero::<V>(into, above + phases[0].start);
                        if both {
                            zero::<V>(into.add(self.plane), above + phases[1].start);
                        }
                        into = into.add(above);
                        for line in data.clone() {
                            let y = (line * self.rows.split + row_phase).wrapping_add_signed(-self.rows.left);
                            let row = source.as_ptr().add(channel * pixels + y * self.cols.source);
                            if both {
                                self.deal_row::<V>(row, phases, into);
                            } else {
                                self.copy_row::<V>(row, phases[0], into);
                            }
                            into = into.add(self.pitch);
                        }
                        zero::<V>(into, below);
                        if both {
                            zero::<V>(into.add(self.plane), below);
                        }
                    }
                }
            }
        }
    }

    /// Copies one phase of a row, and zeros to where the data of the next row starts.
    ///
    /// # Safety
    /// The row must be readable, a row of the plane and what follows it writable.
    #[inline(always)]
    unsafe fn copy_row<V: Vector>(&self, row: *const V::Element, phase: Phase, into: *mut V::Element) {
        let count = phase.end - phase.start;
        // SAFETY: that of the caller; the elements `start .. end` have a source in the row. Behind the last
        // row of a plane there is room for a vector.
        unsafe {
            let (from, into) = (row.add(phase.first), into.add(phase.start));
            let step = self.cols.split;
            let done = if step == 1 {
                copy::<V>(from, into, count)
            } else {
                for i in 0..count {
                    *into.add(i) = *from.add(i * step);
                }
                count
            };
            if done < self.pitch {
                zero::<V>(into.add(done), self.pitch - done);
            }
        }
    }

    /// Copies both phases of a row, the second to the plane after that of the first; zeros as for one.
    ///
    /// # Safety
    /// The row must be readable, a row of both planes and what follows them writable.
    #[inline(always)]
    unsafe fn deal_row<V: Vector>(&self, row: *const V::Element, phases: [Phase; 2], into: *mut V::Element) {
        let [one, two] = phases;
        let (one_count, two_count) = (one.end - one.start, two.end - two.start);
        // SAFETY: as for one phase.
        unsafe {
            let (one_into, two_into) = (into.add(one.start), into.add(self.plane + two.start));
            let done = if one.first < two.first {
                deal::<V>(row.add(one.first), one_into, two_into, one_count + two_count)
            } else {
                deal::<V>(row.add(two.first), two_into, one_into, one_count + two_count)
            };
            if done < self.pitch {
                zero::<V>(one_into.add(done), self.pitch - done);
                zero::<V>(two_into.add(done), self.pitch - done);
            }
        }
    }
}

/// # Safety
/// `count` elements must be writable.
#[inline(always)]
unsafe fn zero<V: Vector>(into: *mut V::Element, count: usize) {
    // SAFETY: that of the caller.
    unsafe {
        let mut done = 0;
        while done + V::LANES <= count {
            V::zero().store(into.add(done));
            done += V::LANES;
        }
        if done < count {
            V::zero().store_part(into.add(done), count - done);
        }
    }
}

/// Copies `count` elements, and zeros to fill the last vector; returns how many both are.
///
/// # Safety
/// Those must be readable and writable, the zeros writable.
#[inline(always)]
unsafe fn copy<V: Vector>(from: *const V::Element, into: *mut V::Element, count: usize) -> usize {
    // SAFETY: that of the caller.
    unsafe {
        let mut done = 0;
        while done + V::LANES <= count {
            V::load(from.add(done)).store(into.add(done));
            done += V::LANES;
        }
        if done < count {
            V::load_part(from.add(done), count - done).store(into.add(done));
            done += V::LANES;
        }
        done
    }
}

/// Deals `count` elements to two places in turn, and zeros to fill the last vectors; returns how many
/// elements and zeros either takes.
///
/// # Safety
/// Those must be readable and writable, the zeros writable.
#[inline(always)]
unsafe fn deal<V: Vector>(
    from: *const V::Element,
    even: *mut V::Element,
    odd: *mut V::Element,
    count: usize,
) -> usize {
    // SAFETY: that of the caller.
    unsafe {
        let mut done = 0;
        while 2 * (done + V::LANES) <= count {
            let from = from.add(2 * done);
            let (evens, odds) = V::load(from).deinterleave(V::load(from.add(V::LANES)));
            evens.store(even.add(done));
            odds.store(odd.add(done));
            done += V::LANES;
        }
        let left = count - 2 * done;
        if left > 0 {
            let (from, low) = (from.add(2 * done), left.min(V::LANES));
            let low_lanes = V::load_part(from, low);
            let (evens, odds) = low_lanes.deinterleave(V::load_part(from.add(low), left - low));
            evens.store(even.add(done));
            odds.store(odd.add(done));
            done += V::LANES;
        }
        done
    }
}
