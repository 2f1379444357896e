//! The tiles in which products are computed, and how kernels are compiled for their sizes.

use crate::buffer::Real;
use crate::program::Defines;

/// Work-items of a work-group along each side of its tile: `SIDE` in `common.cl`.
const SIDE: usize = 8;

/// The sizes of a tile: 64 work-items compute `8 rows` by `8 columns` numbers from `depth` columns of both operands at
/// a time. They change how fast a product is, and no bit of it: every sum is added in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tiles {
    /// Rows of a work-item: `EACH_ROW` in `common.cl`.
    pub rows: usize,
    /// Columns of a work-item: `EACH_COLUMN`.
    pub columns: usize,
    /// Columns of both operands in local memory: `DEPTH`.
    pub depth: usize,
}

impl Tiles {
    pub const fn square(each: usize, depth: usize) -> Self {
        Tiles { rows: each, columns: each, depth }
    }

    /// What needs no tuning: the largest that fits into 16 KiB of local memory.
    pub fn standard<T: Real>() -> Self {
        Tiles::square(8, if size_of::<T>() == 8 { 8 } else { 16 })
    }

    /// The smallest that hold `m` rows and `n` columns, where these are fewer than a tile has.
    pub fn fitted(self, m: usize, n: usize) -> Self {
        Tiles { rows: fitted(m, self.rows), columns: fitted(n, self.columns), ..self }
    }

    /// Tiles that cover `m` rows and `n` columns.
    pub fn cover(self, m: usize, n: usize) -> usize {
        m.div_ceil(SIDE * self.rows) * n.div_ceil(SIDE * self.columns)
    }

    pub fn defines(self) -> Defines {
        [("EACH_ROW", self.rows), ("EACH_COLUMN", self.columns), ("DEPTH", self.depth)]
    }
}

/// The least power of two of which eight times as many hold `extent`, at most `most`.
pub(crate) fn fitted(extent: usize, most: usize) -> usize {
    extent.div_ceil(SIDE).max(1).checked_next_power_of_two().map_or(most, |least| least.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_no_larger_than_its_operands_need() {
        let each = |extent: usize| Tiles::square(8, 16).fitted(extent, 64).rows;
        let expected =
            [(0, 1), (1, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4), (33, 8), (65, 8), (usize::MAX, 8)];
        for (extent, rows) in expected {
            assert_eq!(each(extent), rows, "{extent}");
        }
        // Never larger than was chosen.
        assert_eq!(Tiles::square(4, 8).fitted(64, 3), Tiles { rows: 4, columns: 1, depth: 8 });
        assert_eq!(Tiles { rows: 2, columns: 8, depth: 8 }.cover(17, 65), 2 * 2);
    }
}
