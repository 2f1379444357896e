//! The two directions of the image, and where queries and keys lie along them.

use termwise_autograd::simd::Vector;

use super::{BLOCK, Problem};
use crate::attention::Lattice;

/// Queries and keys along one direction. Query `i` and key `j` read row
/// `j key_step + shift - i query_step` of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// 0 for x, 1 for y.
    pub which: usize,
    pub queries: usize,
    pub keys: usize,
    pub query_step: usize,
    pub key_step: usize,
    pub shift: usize,
    pub rows: usize,
    /// Along this axis, how far apart neighbours are in the order of all keys.
    pub key_stride: usize,
}

impl Axis {
    /// The x-axis, then the y-axis of an image.
    pub fn both(lattice: &Lattice) -> [Axis; 2] {
        let (query_grid, key_grid, (query_step, key_step)) =
            (lattice.query_grid(), lattice.key_grid(), lattice.strides());
        let axis = |which: usize, queries: usize, keys: usize, key_stride: usize| {
            let shift = (queries - 1) * query_step;
            let rows = (keys - 1) * key_step + shift + 1;
            Axis { which, queries, keys, query_step, key_step, shift, rows, key_stride }
        };
        [axis(0, query_grid.1, key_grid.1, 1), axis(1, query_grid.0, key_grid.0, key_grid.1)]
    }

    /// The row that a query's first key reads.
    #[inline(always)]
    pub fn first_row(&self, query: usize) -> usize {
        self.shift - query * self.query_step
    }
}

/// The two axes in the order that suits a vector of `V`: `inner` runs along its lanes.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub inner: Axis,
    pub outer: Axis,
    /// Keys along the inner axis, rounded up to whole vectors.
    pub inner_padded: usize,
    /// Keys along the outer axis, rounded up to whole vectors.
    pub outer_padded: usize,
    /// Query columns: queries in a row of the image.
    pub width: usize,
}

impl Grid {
    #[inline(always)]
    pub fn of<V: Vector>(p: &Problem<V::Element>) -> Self {
        let padded = |axis: Axis| axis.keys.next_multiple_of(V::LANES);
        let [x, y] = p.axes;
        // The axis that fills its vectors better, x where both do alike.
        let (inner, outer) = if padded(x) * y.keys <= padded(y) * x.keys { (x, y) } else { (y, x) };
        Grid { inner, outer, inner_padded: padded(inner), outer_padded: padded(outer), width: x.queries }
    }

    /// Position (x, y) of a query.
    #[inline(always)]
    pub fn place(&self, query: usize) -> [usize; 2] {
        [query % self.width, query / self.width]
    }

    /// Positions along the inner and the outer axis of the `count` queries from `start`, 0 where there is
    /// none.
    #[inline(always)]
    pub fn positions(&self, start: usize, count: usize) -> [[usize; BLOCK]; 2] {
        let [mut x, mut y] = self.place(start);
        let (mut along_x, mut along_y) = ([0; BLOCK], [0; BLOCK]);
        for i in 0..count {
            (along_x[i], along_y[i]) = (x, y);
            x += 1;
            if x == self.width {
                (x, y) = (0, y + 1);
            }
        }
        if self.inner.which == 0 { [along_x, along_y] } else { [along_y, along_x] }
    }

    /// How far apart neighbours along the inner axis are in the order of all queries.
    #[inline(always)]
    pub fn inner_query_stride(&self) -> usize {
        if self.inner.which == 0 { 1 } else { self.width }
    }

    /// Place of a query in the order of all queries.
    #[inline(always)]
    pub fn query(&self, outer: usize, inner: usize) -> usize {
        if self.inner.which == 0 { outer * self.width + inner } else { inner * self.width + outer }
    }

    /// Place of a key in the order of all keys.
    #[inline(always)]
    pub fn key(&self, outer: usize, inner: usize) -> usize {
        outer * self.outer.key_stride + inner * self.inner.key_stride
    }
}
