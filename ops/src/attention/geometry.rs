//! Where queries and keys lie, which keys a query may look at, and how an offset is embedded.

use ndarray::{Array2, ArrayD};

use super::VisibleKeys;

/// Rows of a table of relative positions: the pair (query `q`, key `k`) reads row
/// `key[k] + shift - query[q]`.
///
/// A table holds one row per *distinct* offset, of which there are far fewer than pairs: `2 N - 1`
/// for a sequence of `N`, `2 W - 1` and `2 H - 1` for an image.
///
/// ```
/// use termwise_ops::attention::Lattice;
/// let index = Lattice::Sequence { queries: 3, keys: 3 }.x_index();
/// assert_eq!(index.offsets().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]); // one row each
/// assert_eq!((index.row(2, 0), index.row(1, 1), index.row(0, 2)), (0, 2, 4)); // two back, here, two ahead
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeIndex {
    /// Position of each query along the table's direction.
    pub query: Vec<usize>,
    /// Position of each key.
    pub key: Vec<usize>,
    /// Largest query position: makes every row number non-negative.
    pub shift: usize,
    /// Number of rows of the table.
    pub rows: usize,
}

impl RelativeIndex {
    fn new(query: Vec<usize>, key: Vec<usize>) -> Self {
        let shift = query.iter().copied().max().unwrap_or(0);
        let rows = key.iter().copied().max().unwrap_or(0) + shift + 1;
        RelativeIndex { query, key, shift, rows }
    }

    /// Row of the pair.
    #[inline]
    pub fn row(&self, q: usize, k: usize) -> usize {
        self.key[k] + self.shift - self.query[q]
    }

    /// Whether there is a row for every pair that is visible by position; hidden pairs need none, such as
    /// those ahead of the query in Transformer-XL.
    pub(super) fn covers(&self, lattice: &Lattice, visibility: &Visibility) -> bool {
        let last = |keys: &[usize]| keys.iter().max().map_or(0, |last| last + self.shift + 1);
        let first = self.query.iter().min().unwrap_or(&0);
        let covers = |q: usize| {
            let mut intervals = visibility.visible_keys(lattice, q).intervals();
            intervals.all(|keys| last(&self.key[keys]) <= self.rows + self.query[q])
        };
        last(&self.key) <= self.rows + first || (0..self.query.len()).all(covers)
    }

    /// Offset key minus query of each row, in the units of the positions.
    pub fn offsets(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.rows).map(|row| row as i64 - self.shift as i64)
    }
}

/// The lattice on which queries and keys lie.
///
/// ```
/// use termwise_ops::attention::Lattice;
/// let lattice = Lattice::Image { height: 3, width: 6, query_stride: 2, key_stride: 3 };
/// assert_eq!((lattice.query_grid(), lattice.key_grid()), ((2, 3), (1, 2)));
/// assert_eq!(lattice.queries(), [(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)]);
/// assert_eq!(lattice.keys(), [(0, 0), (0, 3)]);
/// assert_eq!(lattice.x_index().row(5, 1), 3); // offset 3 - 4 = -1, and the first row is -4
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lattice {
    /// Two sequences that share their origin.
    Sequence {
        /// Number of queries.
        queries: usize,
        /// Number of keys.
        keys: usize,
    },
    /// One image of `height` by `width`; queries and keys are every `query_stride`-th and
    /// `key_stride`-th row and column of it, flattened row by row.
    Image {
        /// Height of the image in pixels.
        height: usize,
        /// Width of the image in pixels.
        width: usize,
        /// Every how many pixels there is a query.
        query_stride: usize,
        /// Every how many pixels there is a key.
        key_stride: usize,
    },
}

impl Lattice {
    /// Position `(y, x)` in pixels of each query; `y` is 0 on a sequence.
    pub fn queries(&self) -> Vec<(usize, usize)> {
        match *self {
            Lattice::Sequence { queries, .. } => (0..queries).map(|x| (0, x)).collect(),
            Lattice::Image { height, width, query_stride, .. } => grid(height, width, query_stride),
        }
    }

    /// Position `(y, x)` in pixels of each key.
    pub fn keys(&self) -> Vec<(usize, usize)> {
        match *self {
            Lattice::Sequence { keys, .. } => (0..keys).map(|x| (0, x)).collect(),
            Lattice::Image { height, width, key_stride, .. } => grid(height, width, key_stride),
        }
    }

    /// Stride from one query to the next and from one key to the next, in pixels.
    pub(super) fn strides(&self) -> (usize, usize) {
        match *self {
            Lattice::Sequence { .. } => (1, 1),
            Lattice::Image { query_stride, key_stride, .. } => (query_stride, key_stride),
        }
    }

    /// Rows and columns of the queries; a sequence is one row.
    pub fn query_grid(&self) -> (usize, usize) {
        match *self {
            Lattice::Sequence { queries, .. } => (1, queries),
            Lattice::Image { height, width, query_stride, .. } => {
                (height.div_ceil(query_stride), width.div_ceil(query_stride))
            }
        }
    }

    /// Rows and columns of the keys; a sequence is one row.
    pub fn key_grid(&self) -> (usize, usize) {
        match *self {
            Lattice::Sequence { keys, .. } => (1, keys),
            Lattice::Image { height, width, key_stride, .. } => {
                (height.div_ceil(key_stride), width.div_ceil(key_stride))
            }
        }
    }

    /// Position `(y, x)` in pixels of query `q`.
    pub(super) fn query(&self, q: usize) -> (usize, usize) {
        let (columns, stride) = (self.query_grid().1, self.strides().0);
        (q / columns * stride, q % columns * stride)
    }

    /// Position `(y, x)` in pixels of key `k`.
    pub(super) fn key(&self, k: usize) -> (usize, usize) {
        let (columns, stride) = (self.key_grid().1, self.strides().1);
        (k / columns * stride, k % columns * stride)
    }

    /// The index into a table of x-offsets.
    pub fn x_index(&self) -> RelativeIndex {
        let x = |(rows, columns): (usize, usize), stride: usize| {
            let mut positions = Vec::with_capacity(rows * columns);
            (0..rows).for_each(|_| positions.extend((0..columns).map(|x| x * stride)));
            positions
        };
        let (query_stride, key_stride) = self.strides();
        RelativeIndex::new(x(self.query_grid(), query_stride), x(self.key_grid(), key_stride))
    }

    /// The index into a table of y-offsets.
    pub fn y_index(&self) -> RelativeIndex {
        let y = |(rows, columns): (usize, usize), stride: usize| {
            let mut positions = Vec::with_capacity(rows * columns);
            (0..rows).for_each(|y| positions.extend(std::iter::repeat_n(y * stride, columns)));
            positions
        };
        let (query_stride, key_stride) = self.strides();
        RelativeIndex::new(y(self.query_grid(), query_stride), y(self.key_grid(), key_stride))
    }

    /// Whether an index is [`Lattice::x_index`] or, for `axis` 1, [`Lattice::y_index`]; a lot faster than
    /// making that.
    pub(super) fn is_index(&self, axis: usize, index: &RelativeIndex) -> bool {
        let runs = |positions: &[usize], (rows, columns): (usize, usize), stride: usize| {
            positions.len() == rows * columns
                && positions.chunks_exact(columns.max(1)).enumerate().all(|(y, row)| match axis {
                    0 => row.iter().enumerate().all(|(x, &position)| position == x * stride),
                    _ => row.iter().all(|&position| position == y * stride),
                })
        };
        let (query_stride, key_stride) = self.strides();
        let last =
            |(rows, columns): (usize, usize), stride: usize| [columns, rows][axis].saturating_sub(1) * stride;
        let shift = last(self.query_grid(), query_stride);
        runs(&index.query, self.query_grid(), query_stride)
            && runs(&index.key, self.key_grid(), key_stride)
            && index.shift == shift
            && index.rows == last(self.key_grid(), key_stride) + shift + 1
    }

    /// The index into one table over all pairs of a y-offset and an x-offset, row-major in `(y, x)`.
    pub fn joint_index(&self) -> RelativeIndex {
        let (x, y) = (self.x_index(), self.y_index());
        // (dy + sy) * rows_x + (dx + sx) is again a key part plus a shift minus a query part.
        let flat = |y: &[usize], xs: &[usize]| y.iter().zip(xs).map(|(y, xv)| y * x.rows + xv).collect();
        RelativeIndex {
            query: flat(&y.query, &x.query),
            key: flat(&y.key, &x.key),
            shift: y.shift * x.rows + x.shift,
            rows: y.rows * x.rows,
        }
    }
}

fn grid(height: usize, width: usize, stride: usize) -> Vec<(usize, usize)> {
    let rows = (0..height).step_by(stride);
    rows.flat_map(|y| (0..width).step_by(stride).map(move |x| (y, x))).collect()
}

/// A limit on how far a query looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// `|dy| <= radius` and `|dx| <= radius`, in pixels of the image (or positions of the sequence).
    Symmetric(usize),
    /// The window of mmcv's `spatial_range`, reproduced for loading its weights: one further down and
    /// to the right (`radius + 1`), and the query's row and column are *not* scaled by its stride.
    Mmcv(usize),
}

/// The keys `Omega_q` that each query may look at. The default is all of them.
///
/// ```
/// use termwise_ops::attention::{Lattice, Range, Visibility};
/// let lattice = Lattice::Sequence { queries: 4, keys: 4 };
/// let visibility = Visibility { causal: true, range: Some(Range::Symmetric(1)), key_padding: None };
/// let seen = |q: usize| (0..4).filter(|&k| !visibility.hides(&lattice, q, k)).collect::<Vec<_>>();
/// assert_eq!([seen(0), seen(1), seen(3)], [vec![0], vec![0, 1], vec![2, 3]]);
/// assert_eq!(visibility.hidden(&lattice).unwrap().row(1).to_vec(), [false, false, true, true]);
/// assert_eq!(Visibility::default().hidden(&lattice), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Visibility {
    /// A query sees no key after itself.
    pub causal: bool,
    /// A limit on the distance.
    pub range: Option<Range>,
    /// `(N, keys)`: true where the key is padding and nobody may look at it.
    pub key_padding: Option<Array2<bool>>,
}

impl Visibility {
    /// Whether what a query sees depends on where it is.
    pub fn by_position(&self) -> bool {
        self.causal || self.range.is_some()
    }

    /// Whether key `k` is hidden from query `q` by position.
    pub fn hides(&self, lattice: &Lattice, q: usize, k: usize) -> bool {
        let ((qy, qx), (ky, kx)) = (lattice.query(q), lattice.key(k));
        let out_of_range = match self.range {
            None => false,
            Some(Range::Symmetric(r)) => qy.abs_diff(ky) > r || qx.abs_diff(kx) > r,
            // floor((y - r) / s) <= ky / s <= floor((y + r + 1) / s), with y in units of queries.
            Some(Range::Mmcv(r)) => {
                let (stride, step) = lattice.strides();
                let outside = |q: usize, k: usize| {
                    let (y, i) = (q / stride, k / step);
                    i < y.saturating_sub(r) / step || i > (y + r + 1) / step
                };
                outside(qy, ky) || outside(qx, kx)
            }
        };
        out_of_range || (self.causal && (ky, kx) > (qy, qx))
    }

    /// `(queries, keys)` mask, true where the key is hidden by position; `None` where none is.
    pub fn hidden(&self, lattice: &Lattice) -> Option<Array2<bool>> {
        let count = |(rows, columns): (usize, usize)| rows * columns;
        let size = (count(lattice.query_grid()), count(lattice.key_grid()));
        self.by_position().then(|| Array2::from_shape_fn(size, |(q, k)| self.hides(lattice, q, k)))
    }

    /// The keys that query `q` sees by position, without looking at each of them.
    pub fn visible_keys(&self, lattice: &Lattice, q: usize) -> VisibleKeys {
        VisibleKeys::of(self, lattice, q)
    }
}

/// Sinusoidal embedding of offsets: `[sin(o w_0) .. sin(o w_{n-1}) | cos(o w_0) .. cos(o w_{n-1})]`
/// with `n = dim / 2` and `w_i = wavelength^(-2 i / dim)`; sines first, not interleaved.
///
/// Returns `(offsets, dim)`.
///
/// # Panics
/// If `dim` is odd.
///
/// # Examples
/// ```
/// use termwise_ops::attention::sinusoidal_embedding;
/// let embedding = sinusoidal_embedding(&[0.0, 2.0], 4, 100.0);
/// assert_eq!(embedding.shape(), [2, 4]);
/// assert_eq!(embedding.as_slice().unwrap()[..4], [0.0, 0.0, 1.0, 1.0]); // sines first
/// assert!((embedding[[1, 1]] - 0.2f64.sin()).abs() < 1e-15); // the second frequency is 1 / 10
/// ```
#[track_caller]
pub fn sinusoidal_embedding(offsets: &[f64], dim: usize, wavelength: f64) -> ArrayD<f64> {
    assert!(dim.is_multiple_of(2), "sinusoidal_embedding: the dimension must be even, it is {dim}");
    let half = dim / 2;
    let frequency = |i: usize| wavelength.powf(-2.0 * i as f64 / dim as f64);
    let frequencies: Vec<f64> = (0..half).map(frequency).collect();
    let mut embedding = Array2::zeros((offsets.len(), dim));
    for (mut row, offset) in embedding.rows_mut().into_iter().zip(offsets) {
        for (i, frequency) in frequencies.iter().enumerate() {
            (row[i], row[half + i]) = (offset * frequency).sin_cos();
        }
    }
    embedding.into_dyn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_table_is_the_offset_of_the_pair() {
        let lattice = Lattice::Image { height: 5, width: 7, query_stride: 2, key_stride: 3 };
        let (x, y, joint) = (lattice.x_index(), lattice.y_index(), lattice.joint_index());
        let (dx, dy): (Vec<i64>, Vec<i64>) = (x.offsets().collect(), y.offsets().collect());
        for (q, (qy, qx)) in lattice.queries().into_iter().enumerate() {
            for (k, (ky, kx)) in lattice.keys().into_iter().enumerate() {
                assert_eq!(dx[x.row(q, k)], kx as i64 - qx as i64);
                assert_eq!(dy[y.row(q, k)], ky as i64 - qy as i64);
                assert_eq!(joint.row(q, k), y.row(q, k) * x.rows + x.row(q, k));
            }
        }
    }

    #[test]
    fn an_index_is_told_from_others() {
        let image = |height, width, query_stride, key_stride| Lattice::Image {
            height,
            width,
            query_stride,
            key_stride,
        };
        let lattices =
            [image(5, 7, 1, 1), image(7, 5, 1, 1), image(5, 7, 2, 1), image(5, 7, 1, 2), image(1, 4, 1, 1)];
        for (i, lattice) in lattices.iter().enumerate() {
            for (j, other) in lattices.iter().enumerate() {
                let (x, y) = (other.x_index(), other.y_index());
                assert_eq!(lattice.is_index(0, &x), i == j, "x of {other:?} on {lattice:?}");
                assert_eq!(lattice.is_index(1, &y), i == j, "y of {other:?} on {lattice:?}");
                assert!(!lattice.is_index(1, &x) && !lattice.is_index(0, &y), "{other:?} on {lattice:?}");
            }
        }
        let index = lattices[0].x_index();
        assert!(!lattices[0].is_index(0, &RelativeIndex { rows: index.rows + 1, ..index.clone() }));
        assert!(!lattices[0].is_index(0, &RelativeIndex { shift: index.shift - 1, ..index }));
    }

    #[test]
    fn a_symmetric_range_is_symmetric_and_counts_pixels() {
        let lattice = Lattice::Image { height: 5, width: 4, query_stride: 1, key_stride: 2 };
        let visibility = Visibility { range: Some(Range::Symmetric(1)), ..Visibility::default() };
        let hidden = visibility.hidden(&lattice).unwrap();
        // Query (1, 1) has keys (0, 0), (0, 2), (2, 0), (2, 2) within one pixel; keys are 3 x 2.
        let seen: Vec<usize> = (0..6).filter(|&k| !hidden[[5, k]]).collect();
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn the_mmcv_window_reaches_one_further_down_and_right() {
        let lattice = Lattice::Image { height: 1, width: 6, query_stride: 1, key_stride: 1 };
        let visibility = Visibility { range: Some(Range::Mmcv(1)), ..Visibility::default() };
        let hidden = visibility.hidden(&lattice).unwrap();
        let seen: Vec<usize> = (0..6).filter(|&k| !hidden[[2, k]]).collect();
        assert_eq!(seen, [1, 2, 3, 4]);
    }

    #[test]
    fn causal_hides_what_comes_after() {
        let visibility = Visibility { causal: true, ..Visibility::default() };
        let hidden = visibility.hidden(&Lattice::Sequence { queries: 2, keys: 3 }).unwrap();
        assert_eq!(hidden, ndarray::arr2(&[[false, true, true], [false, false, true]]));
    }
}
