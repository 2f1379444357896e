//! Images with a frame of zeros around them, laid out so that whatever a tap reads for neighbouring outputs
//! are neighbouring numbers.

use std::ops::Range;

use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;

use crate::conv::Window;
use crate::par;

/// Every row starts at a multiple of this: the widest vector.
pub(super) const WIDEST: usize = 16;
/// Outputs of a block, about.
const OUTPUTS: usize = 64;
/// Most outputs of a block in one row.
const MAX_COLS: usize = 128;

/// The layout: for each channel rows of padded input, in each row the columns that lie a stride apart beside
/// each other. Column `p` of the padded image is number `p / stride` of class `p % stride`.
#[derive(Clone)]
pub(super) struct Frame {
    pub window: Window,
    /// Classes of columns.
    pub classes: usize,
    /// Columns of one class.
    pub width: usize,
    /// Rows that some tap or query reads.
    pub rows: usize,
    /// Where each tap reads, for output 0.
    pub taps: Vec<usize>,
    /// Where the query of output 0 lies.
    pub query: usize,
    /// How far to the right of an output's own place its taps reach.
    pub reach: usize,
}

/// Neighbouring outputs that are computed at a time.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    /// Lanes of all blocks before it.
    pub first_lane: usize,
}

impl Block {
    /// Columns, whole vectors of them.
    pub fn width(&self) -> usize {
        self.cols.len().next_multiple_of(WIDEST)
    }

    /// Outputs, each row filled up to whole vectors.
    pub fn lanes(&self) -> usize {
        self.rows.len() * self.width()
    }

    /// Outputs.
    pub fn outputs(&self) -> usize {
        self.rows.len() * self.cols.len()
    }
}

impl Frame {
    pub fn new(window: Window) -> Self {
        let Window { kernel, stride, padding, dilation, output, .. } = window;
        let extent = |axis: usize| dilation[axis] * (kernel[axis] - 1);
        let classes = stride[1];
        let reach = (extent(1) / classes).max(padding[1] / classes);
        let width = (output[1].next_multiple_of(WIDEST) + reach).next_multiple_of(WIDEST);
        let rows = (output[0] - 1) * stride[0] + extent(0).max(padding[0]) + 1;
        let place = |row: usize, col: usize| (row * classes + col % classes) * width + col / classes;
        let taps = (0..window.taps())
            .map(|tap| place(tap / kernel[1] * dilation[0], tap % kernel[1] * dilation[1]))
            .collect();
        Frame { window, classes, width, rows, taps, query: place(padding[0], padding[1]), reach }
    }

    /// Numbers in one row.
    pub fn line(&self) -> usize {
        self.classes * self.width
    }

    /// Numbers in the rows of one channel.
    pub fn plane(&self) -> usize {
        self.rows * self.line()
    }

    /// All blocks, in the order of their outputs: whole rows, or parts of a row where rows are long.
    pub fn blocks(&self) -> Vec<Block> {
        let [height, width] = self.window.output;
        let rows = (OUTPUTS / width.next_multiple_of(WIDEST)).max(1);
        let mut blocks = Vec::new();
        let mut first_lane = 0;
        for row in (0..height).step_by(rows) {
            for col in (0..width).step_by(MAX_COLS) {
                let (rows, cols) = (row..(row + rows).min(height), col..(col + MAX_COLS).min(width));
                let block = Block { rows, cols, first_lane };
                first_lane += block.lanes();
                blocks.push(block);
            }
        }
        blocks
    }

    /// `image` (C, H, W) in its frame. // (C, rows, classes, width)
    pub fn around<T: Scalar>(&self, image: &[T], channels: usize) -> Buffer<T> {
        let Window { image: [height, width], padding, .. } = self.window;
        let mut framed = Buffer::arbitrary(channels * self.plane());
        par::for_each_chunk(&mut framed, self.plane(), self.plane(), |channel, framed| {
            let plane = &image[channel * height * width..][..height * width];
            for (row, framed) in framed.chunks_mut(self.line()).enumerate() {
                let Some(row) = row.checked_sub(padding[0]).filter(|&row| row < height) else {
                    framed.fill(T::zero());
                    continue;
                };
                let line = &plane[row * width..][..width];
                for (class, framed) in framed.chunks_mut(self.width).enumerate() {
                    // The first number of the class that lies in the image.
                    let first = padding[1].saturating_sub(class).div_ceil(self.classes).min(self.width);
                    let (before, rest) = framed.split_at_mut(first);
                    before.fill(T::zero());
                    let start = (first * self.classes + class).saturating_sub(padding[1]).min(width);
                    let inside = line[start..].len().div_ceil(self.classes).min(rest.len());
                    let (rest, after) = rest.split_at_mut(inside);
                    after.fill(T::zero());
                    if self.classes == 1 {
                        rest.copy_from_slice(&line[start..start + inside]);
                    } else {
                        for (to, &from) in rest.iter_mut().zip(line[start..].iter().step_by(self.classes)) {
                            *to = from;
                        }
                    }
                }
            }
        });
        framed
    }

    /// Adds what lies within the frame in `framed`, the rows from `first` on of one channel, to the image of that
    /// channel.
    pub fn add_inside<T: Scalar>(&self, framed: &[T], first: usize, plane: &mut [T]) {
        let Window { image: [height, width], padding, .. } = self.window;
        for (row, framed) in framed.chunks(self.line()).enumerate() {
            let Some(row) = (first + row).checked_sub(padding[0]).filter(|&row| row < height) else {
                continue;
            };
            let line = &mut plane[row * width..][..width];
            if self.classes == 1 {
                let from = framed.get(padding[1]..).unwrap_or(&[]);
                line.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
                continue;
            }
            for (col, to) in line.iter_mut().enumerate() {
                let at = col + padding[1];
                if at / self.classes < self.width {
                    *to += framed[at % self.classes * self.width + at / self.classes];
                }
            }
        }
    }
}
