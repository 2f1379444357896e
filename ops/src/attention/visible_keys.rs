//! The keys that one query sees by position, as a rectangle of the lattice instead of a row of a mask.

use std::ops::Range;

use super::{Lattice, Range as Reach, Visibility};

/// The keys that one query sees by position: those in `rows` and `columns` of the lattice of keys whose
/// number is below `end`. Padding is not counted.
///
/// ```
/// use termwise_ops::attention::{Lattice, Range, Visibility};
/// let lattice = Lattice::Image { height: 3, width: 4, query_stride: 1, key_stride: 1 };
/// let visibility = Visibility { range: Some(Range::Symmetric(1)), ..Visibility::default() };
/// let keys = visibility.visible_keys(&lattice, 0); // from the upper left corner two by two pixels
/// assert_eq!(keys.intervals().collect::<Vec<_>>(), [0..2, 4..6]);
/// assert_eq!((keys.span(), keys.contains(5), keys.contains(2)), (0..6, true, false));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleKeys {
    /// Rows of keys.
    pub rows: Range<usize>,
    /// Columns of keys.
    pub columns: Range<usize>,
    /// Keys from this one on are hidden (causal); the number of keys where none is.
    pub end: usize,
    /// Keys in a row of the lattice.
    pub width: usize,
}

impl VisibleKeys {
    pub(super) fn of(visibility: &Visibility, lattice: &Lattice, q: usize) -> Self {
        let ((y, x), (height, width)) = (lattice.query(q), lattice.key_grid());
        let (stride, step) = lattice.strides();
        let along = |at: usize, extent: usize| {
            let (first, last) = match visibility.range {
                None => (0, extent),
                Some(Reach::Symmetric(r)) => (at.saturating_sub(r).div_ceil(step), (at + r) / step),
                Some(Reach::Mmcv(r)) => {
                    let at = at / stride;
                    (at.saturating_sub(r) / step, (at + r + 1) / step)
                }
            };
            first.min(extent)..(last + 1).min(extent)
        };
        let end = if visibility.causal {
            // Whole rows before the query's own, and in its own, where it holds keys, up to the query.
            let own = if y % step == 0 { (x / step + 1).min(width) } else { 0 };
            (y.div_ceil(step) * width + own).min(height * width)
        } else {
            height * width
        };
        VisibleKeys { rows: along(y, height), columns: along(x, width), end, width }
    }

    /// The numbers of the visible keys, one interval for each row of the lattice that has any.
    pub fn intervals(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        self.intervals_in(self.rows.clone())
    }

    /// Those of [`VisibleKeys::intervals`] that lie in some rows of the lattice.
    #[inline]
    pub(super) fn intervals_in(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (columns, end, width) = (self.columns.clone(), self.end, self.width);
        let rows = rows.start.max(self.rows.start)..rows.end.min(self.rows.end);
        rows.map(move |y| y * width + columns.start..(y * width + columns.end).min(end))
            .filter(|interval| interval.start < interval.end)
    }

    /// Whether key `k` is among them.
    pub fn contains(&self, k: usize) -> bool {
        k < self.end && self.rows.contains(&(k / self.width)) && self.columns.contains(&(k % self.width))
    }

    /// The smallest interval that holds them all; empty where none is visible.
    pub fn span(&self) -> Range<usize> {
        let (mut first, mut last) = (self.intervals(), self.intervals());
        match (first.next(), last.by_ref().last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_the_rows_of_the_mask() {
        let images = [(5, 7, 1, 1), (5, 7, 2, 3), (6, 4, 1, 2), (4, 5, 3, 1), (1, 6, 1, 1), (6, 1, 2, 2)];
        let images = images.map(|(height, width, query_stride, key_stride)| Lattice::Image {
            height,
            width,
            query_stride,
            key_stride,
        });
        let sequences = [(5, 5), (3, 8), (8, 3), (1, 1)];
        let sequences = sequences.map(|(queries, keys)| Lattice::Sequence { queries, keys });
        let mut ranges = vec![None];
        ranges.extend([0, 1, 2, 9].map(|r| Some(Reach::Symmetric(r))));
        ranges.extend([0, 1, 2, 9].map(|r| Some(Reach::Mmcv(r))));
        for lattice in images.into_iter().chain(sequences) {
            for (&range, causal) in ranges.iter().flat_map(|range| [(range, false), (range, true)]) {
                let visibility = Visibility { causal, range, key_padding: None };
                let (queries, keys) = (lattice.queries().len(), lattice.keys().len());
                for q in 0..queries {
                    let expected: Vec<usize> =
                        (0..keys).filter(|&k| !visibility.hides(&lattice, q, k)).collect();
                    let visible = visibility.visible_keys(&lattice, q);
                    let found: Vec<usize> = visible.intervals().flatten().collect();
                    assert_eq!(found, expected, "{lattice:?} {visibility:?} query {q}");
                    let contained: Vec<usize> = (0..keys).filter(|&k| visible.contains(k)).collect();
                    assert_eq!(contained, expected, "{lattice:?} {visibility:?} query {q}");
                    let ends = expected.first().zip(expected.last()).map_or(0..0, |(&a, &b)| a..b + 1);
                    assert_eq!(visible.span(), ends, "{lattice:?} {visibility:?} query {q}");
                }
            }
        }
    }
}
