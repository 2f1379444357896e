//! The product in blocks that fit the caches.
//!
//! ```text
//! pack B into panels of a tile's columns
//! for each cell of C (at most MC x NC), in parallel
//!     for each block of KC steps of k
//!         copy the rows of A, where they lie far apart (they stay in L2)
//!         for each panel of B (it stays in L1)
//!             for each tile of rows: multiply
//! ```
//!
//! Each element of C is summed over `k` in the same order whatever the cells, so the bits do not depend
//! on the number of threads.

use rayon::prelude::*;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Kernel, Vector};
use termwise_autograd::{Scalar, simd::Isa};

use super::pack::Pack;
use super::tile::{AddTo, Output, Strided, tile};

/// Steps of `k` in a block: a panel of B is then at most 32 KiB of `f32`.
const KC: usize = 128;
/// Most rows of a cell.
const MC: usize = 192;
/// Most columns of a cell.
const NC: usize = 512;
/// Columns of B that are packed in one go.
const GROUP: usize = 96;
/// Rows of C below which B is read in place, where its columns are contiguous.
const MIN_ROWS_TO_PACK: usize = 13;
/// Floating-point operations below which a product stays on one thread.
const MIN_PARALLEL_FLOPS: usize = 1 << 21;

/// `C = alpha A B + ..`, `a` (m, k), `b` (k, n), `c` (m, n).
#[derive(Clone, Copy)]
pub(super) struct Product<T> {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub alpha: T,
    pub a: Strided<T>,
    pub b: Strided<T>,
    pub add_to: AddTo<T>,
    pub c: Output<T>,
}

// SAFETY: the pointers come from borrows that outlive the product, and cells of C that are computed
// on different threads do not overlap.
unsafe impl<T: Scalar> Sync for Product<T> {}

/// Rows and columns of a full tile: accumulators, one row of B and one number of A fill the registers.
const fn tile_shape<V: Vector>() -> (usize, usize) {
    match V::REGISTERS {
        32.. => (6, 4 * V::LANES),
        16.. => (6, 2 * V::LANES),
        _ => (4, V::LANES),
    }
}

/// [`tile_shape`] of an instruction set.
fn tile_shape_of<T: Scalar>(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Portable => tile_shape::<T::Portable>(),
        Isa::Avx2 => tile_shape::<T::Avx2>(),
        Isa::Avx512 => tile_shape::<T::Avx512>(),
    }
}

/// Panels of B: those of one block of `k` after those of another.
struct Panels<T: Scalar> {
    data: Buffer<T>,
    /// Columns of a panel.
    width: usize,
    /// Columns in all, padded to whole panels.
    extent: usize,
}

impl<T: Scalar> Panels<T> {
    /// Packs `operand` (k, count).
    fn pack(isa: Isa, operand: Strided<T>, k: usize, count: usize, width: usize) -> Self {
        let extent = count.next_multiple_of(width);
        let mut data = Buffer::arbitrary(extent * k);
        let operand = Shared(operand);
        // Some panels at a time, so that what is read in one go is a few cache lines.
        let group = width * (GROUP / width).max(1);
        let groups: Vec<_> = data
            .chunks_mut(extent * KC)
            .enumerate()
            .flat_map(|(block, data)| {
                let steps = KC.min(k - block * KC);
                let groups = data.chunks_mut(group * steps).enumerate();
                groups.map(move |(i, panels)| (block * KC, steps, i * group, panels))
            })
            .collect();
        let pack = |(start, steps, first, panels): (usize, usize, usize, &mut [T])| {
            // SAFETY: the group's first element lies in the operand.
            let from = unsafe { operand.get().at(start, first) };
            simd::run_on(isa, Pack { from, steps, count: group.min(count - first), width, panels });
        };
        if extent * k < 1 << 16 {
            groups.into_iter().for_each(pack);
        } else {
            groups.into_par_iter().with_min_len(4).for_each(pack);
        }
        Panels { data, width, extent }
    }

    /// The panel from column `first` on, of the block of `k` that starts at `start`.
    fn panel(&self, start: usize, steps: usize, first: usize) -> *const T {
        self.data[self.extent * start + first * steps..].as_ptr()
    }
}

/// An operand that several threads read.
struct Shared<T>(Strided<T>);

// SAFETY: it is only read, while the borrow it was made from is alive.
unsafe impl<T: Scalar> Sync for Shared<T> {}

impl<T: Scalar> Shared<T> {
    fn get(&self) -> Strided<T> {
        self.0
    }
}

impl<T: Scalar> Product<T> {
    /// Computes it.
    ///
    /// # Safety
    /// The operands must be readable and `c` writable in their extents, and `c` overlap with neither.
    pub(super) unsafe fn compute(&self, isa: Isa) {
        let &Product { m, k, n, b, .. } = self;
        let (tile_rows, tile_columns) = tile_shape_of::<T>(isa);
        let b_panels =
            (m >= MIN_ROWS_TO_PACK || b.cols != 1).then(|| Panels::pack(isa, b, k, n, tile_columns));
        let (rows, columns) = self.cell(tile_rows, tile_columns);
        let across = n.div_ceil(columns);
        let cells = m.div_ceil(rows) * across;
        let compute = |cell: usize| {
            let (i, j) = (cell / across * rows, cell % across * columns);
            simd::run_on(
                isa,
                Cell {
                    product: self,
                    b_panels: b_panels.as_ref(),
                    rows: (i, rows.min(m - i)),
                    columns: (j, columns.min(n - j)),
                },
            );
        };
        if cells == 1 {
            compute(0);
        } else {
            (0..cells).into_par_iter().for_each(compute);
        }
    }

    /// Rows and columns of a cell.
    fn cell(&self, tile_rows: usize, tile_columns: usize) -> (usize, usize) {
        let flops = 2 * self.m * self.n * self.k;
        if flops < MIN_PARALLEL_FLOPS {
            return (self.m, self.n);
        }
        // Halve the longer side until there are enough cells for every thread to be busy to the end.
        let (mut rows, mut columns) = (MC.min(self.m), NC.min(self.n));
        let wanted = (flops / MIN_PARALLEL_FLOPS).min(16);
        while self.m.div_ceil(rows) * self.n.div_ceil(columns) < wanted {
            if rows >= columns && rows > tile_rows {
                rows = (rows / 2).next_multiple_of(tile_rows);
            } else if columns > tile_columns {
                columns = (columns / 2).next_multiple_of(tile_columns);
            } else {
                break;
            }
        }
        (rows.next_multiple_of(tile_rows), columns.next_multiple_of(tile_columns))
    }
}

/// A rectangle of C.
struct Cell<'a, T: Scalar> {
    product: &'a Product<T>,
    b_panels: Option<&'a Panels<T>>,
    /// First and number.
    rows: (usize, usize),
    columns: (usize, usize),
}

impl<T: Scalar> Kernel<T> for Cell<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let &Product { k, alpha, a, b, add_to, c, .. } = self.product;
        let (tile_rows, tile_columns) = tile_shape::<V>();
        let ((first_row, rows), (first_column, columns)) = (self.rows, self.columns);
        // Rows of A that run along k are read in place, and so are its columns where they lie close. The
        // columns of a large A would each take a page: then the block is copied, to a step of an odd
        // number of cache lines, which spreads over all sets of the cache.
        let line = 64 / size_of::<T>();
        let in_place = a.cols == 1 || a.rows == 1 && (0..=32 * line as isize).contains(&a.cols) || rows == 1;
        let step = rows.next_multiple_of(2 * line) + line;
        let mut block = Buffer::arbitrary(if in_place { 0 } else { step * KC.min(k) });
        for start in (0..k).step_by(KC) {
            let steps = KC.min(k - start);
            // SAFETY: the position lies in a.
            let mut a = unsafe { a.at(first_row, start) };
            if !in_place {
                for (p, to) in block.chunks_exact_mut(step).take(steps).enumerate() {
                    // SAFETY: column p of the block has `rows` elements.
                    unsafe { copy_column(a.at(0, p), &mut to[..rows]) };
                }
                a = Strided { data: block.as_ptr(), rows: 1, cols: step as isize };
            }
            let add_to = if start == 0 { add_to } else { AddTo::Output(T::one()) };
            for j in (first_column..first_column + columns).step_by(tile_columns) {
                let width = tile_columns.min(first_column + columns - j);
                let b_panel = match self.b_panels {
                    Some(panels) => {
                        Strided { data: panels.panel(start, steps, j), rows: panels.width as isize, cols: 1 }
                    }
                    // SAFETY: the position lies in b.
                    None => unsafe { b.at(start, j) },
                };
                for i in (first_row..first_row + rows).step_by(tile_rows) {
                    let height = tile_rows.min(first_row + rows - i);
                    // SAFETY: the position lies in a or its copy.
                    let a_rows = unsafe { a.at(i - first_row, 0) };
                    let size = (steps, height, width);
                    // SAFETY: `height x width` from (i, j) lie in c. Panels hold as many rows and columns
                    // for the steps of this block, those of B padded to full vectors; what is not packed
                    // is read only as far as the tile goes.
                    unsafe {
                        let (c, add_to) = (c.at(i, j), add_to.at(j));
                        if self.b_panels.is_some() {
                            tiles::<V, false>(size, alpha, a_rows, b_panel, add_to, c);
                        } else {
                            tiles::<V, true>(size, alpha, a_rows, b_panel, add_to, c);
                        }
                    }
                }
            }
        }
    }
}

/// The first elements of the first column of `from`.
///
/// # Safety
/// It must have as many as `to`.
#[inline(always)]
unsafe fn copy_column<T: Scalar>(from: Strided<T>, to: &mut [T]) {
    if from.rows == 1 {
        // SAFETY: the caller vouches for the elements, which are contiguous.
        to.copy_from_slice(unsafe { std::slice::from_raw_parts(from.data, to.len()) });
    } else {
        for (i, to) in to.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the elements.
            *to = unsafe { *from.at(i, 0).data };
        }
    }
}

/// At most a full tile, in strips of as many rows as fit; `size` is (steps, rows, columns).
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn tiles<V: Vector, const PARTIAL_B: bool>(
    size: (usize, usize, usize),
    alpha: V::Element,
    a: Strided<V::Element>,
    b: Strided<V::Element>,
    add_to: AddTo<V::Element>,
    c: Output<V::Element>,
) {
    let (steps, rows, columns) = size;
    let mut i = 0;
    macro_rules! strip {
        ($rows:literal) => {{
            // SAFETY: rows i.. lie in the tile that the caller vouches for.
            unsafe { strip::<V, $rows, PARTIAL_B>(steps, columns, alpha, a.at(i, 0), b, add_to, c.at(i, 0)) };
            i += $rows;
        }};
    }
    while i < rows {
        match rows - i {
            6.. if const { V::REGISTERS >= 16 } => strip!(6),
            4.. => strip!(4),
            2.. => strip!(2),
            _ => strip!(1),
        }
    }
}

/// `MR` rows of a tile, in as many vectors as its columns fill.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn strip<V: Vector, const MR: usize, const PARTIAL_B: bool>(
    steps: usize,
    columns: usize,
    alpha: V::Element,
    a: Strided<V::Element>,
    b: Strided<V::Element>,
    add_to: AddTo<V::Element>,
    c: Output<V::Element>,
) {
    let mut j = 0;
    macro_rules! vectors {
        ($count:literal) => {{
            let width = (columns - j).min($count * V::LANES);
            // SAFETY: columns j.. lie in the tile that the caller vouches for.
            unsafe {
                let (b, add_to, c) = (b.at(0, j), add_to.at(j), c.at(0, j));
                tile::<V, MR, $count, PARTIAL_B>(steps, width, alpha, a, b, add_to, c);
            }
            j += width;
        }};
    }
    while j < columns {
        match (columns - j).div_ceil(V::LANES) {
            4.. if const { V::REGISTERS >= 32 } => vectors!(4),
            2.. if const { V::REGISTERS >= 16 } => vectors!(2),
            _ => vectors!(1),
        }
    }
}
