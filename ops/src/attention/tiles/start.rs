//! Where the energies of a tile start: what is read in the place of a zero.

use termwise_autograd::simd::Vector;

/// Starting values of the energies of a tile, without the factor of a query.
pub(super) trait Origin<V: Vector>: Copy {
    /// What the rows of a column of vectors have in common.
    type Column: Copy;

    /// The column of vectors at column `j`.
    ///
    /// # Safety
    /// It must lie within the tile.
    unsafe fn column(&self, j: usize) -> Self::Column;

    /// The vector of row `i`.
    ///
    /// # Safety
    /// The row must lie within the tile.
    unsafe fn at(&self, i: usize, column: Self::Column) -> V;
}

/// Starting values that lie in memory: those of row `i` from `rows[i]` on.
#[derive(Clone, Copy)]
pub(super) struct Rows<T>(pub *const *const T);

impl<V: Vector> Origin<V> for Rows<V::Element> {
    type Column = usize;

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> usize {
        j
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize, j: usize) -> V {
        // SAFETY: each row reaches as far as the tile; it may start before its allocation.
        unsafe { V::load((*self.0.add(i)).wrapping_add(j)) }
    }
}

/// Relative terms of an image whose rows of keys are whole vectors: `x(q, column) + y(q, row)`.
#[derive(Clone, Copy)]
pub(super) struct Crossed<T> {
    pub x: *const T,
    pub y: *const T,
    pub line: [usize; 2],
    /// Column and row of each vector of the chunk.
    pub places: *const [u32; 2],
}

impl<V: Vector> Origin<V> for Crossed<V::Element> {
    type Column = [*const V::Element; 2];

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> Self::Column {
        // SAFETY: there is a place for each vector, and columns and rows lie within the lines.
        unsafe {
            let [x, y] = *self.places.add(j / V::LANES);
            [self.x.add(x as usize), self.y.add(y as usize)]
        }
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize, [x, y]: Self::Column) -> V {
        // SAFETY: as above.
        unsafe { V::load(x.add(i * self.line[0])) + V::splat(*y.add(i * self.line[1])) }
    }
}

/// Relative terms of an image whose rows of keys are no whole vectors but one at least: a vector spans the end
/// of a row and the start of the next. `x` goes on from its end as from its start.
#[derive(Clone, Copy)]
pub(super) struct Spanning<T> {
    pub crossed: Crossed<T>,
    /// Keys in a row.
    pub columns: usize,
}

impl<V: Vector> Origin<V> for Spanning<V::Element> {
    /// Where x and y lie, and how many lanes are of the first row.
    type Column = ([*const V::Element; 2], usize);

    #[inline(always)]
    unsafe fn column(&self, j: usize) -> Self::Column {
        // SAFETY: as for `Crossed`.
        unsafe {
            let [x, y] = *self.crossed.places.add(j / V::LANES);
            let count = (self.columns - x as usize).min(V::LANES);
            ([self.crossed.x.add(x as usize), self.crossed.y.add(y as usize)], count)
        }
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize, ([x, y], count): Self::Column) -> V {
        let [x_line, y_line] = self.crossed.line;
        // SAFETY: as for `Crossed`; both lines reach a vector further.
        unsafe {
            let y = y.add(i * y_line);
            V::load(x.add(i * x_line)) + V::splat(*y).with_rest(count, V::splat(*y.add(1)))
        }
    }
}

/// Where the starting values of a tile come from.
pub(super) enum Start<T> {
    Rows(Rows<T>),
    Crossed(Crossed<T>),
    Spanning(Spanning<T>),
}
