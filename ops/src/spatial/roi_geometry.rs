//! Which pixels each bin of a region of interest reads, one axis at a time.

use std::collections::BTreeMap;
use std::ops::Range;

/// Settings of [`roi_align`](super::roi_align()).
///
/// ```
/// use termwise_autograd::{Array, Cpu, Tape};
/// use termwise_ops::{RoiAlign, roi_align};
/// let tape = Tape::new(Cpu::<f64>::new());
/// let x = tape.leaf(Array::host(&[1, 1, 1, 4], vec![0.0, 1.0, 2.0, 3.0])); // the number of the column
/// let boxes = ndarray::arr2(&[[0.0, 4.0, 0.0, 8.0, 2.0]]).into_dyn(); // 4 .. 8, in units of half a pixel
/// let centre = |aligned| {
///     let settings = RoiAlign { output_size: [1, 1], spatial_scale: 0.5, sampling_ratio: 2, aligned };
///     roi_align(&x, &boxes, &settings).value().item()
/// };
/// // Pixels 2 .. 4 by their edges are the columns 2 and 3; by their centres the last samples would lie beyond.
/// assert_eq!(centre(true), 2.5);
/// assert_eq!(centre(false), (2.5 + 3.0) / 2.0); // samples at 2.5 and, moved to the edge, at 3.5
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Size of the map of each box: `[vertical, horizontal]`.
    pub output_size: [usize; 2],
    /// Pixels of `x` per unit of the box coordinates.
    pub spatial_scale: f64,
    /// Samples per bin and axis; `ceil(box size / output size)` where it is not positive.
    pub sampling_ratio: i64,
    /// Whether coordinates refer to the edges of pixels, so that half a pixel is subtracted after scaling.
    /// Otherwise they refer to centres, and a box is taken to be at least one pixel wide and high.
    pub aligned: bool,
}

impl RoiAlign {
    /// What the map of `[x1, y1, x2, y2]` on an image of `[height, width]` reads.
    pub(super) fn map(&self, batch: usize, corners: [f64; 4], [height, width]: [usize; 2]) -> RoiMap {
        let [x1, y1, x2, y2] = corners;
        RoiMap { batch, rows: self.axis(0, y1, y2, height), cols: self.axis(1, x1, x2, width) }
    }

    fn axis(&self, axis: usize, low: f64, high: f64, size: usize) -> RoiAxis {
        let offset = if self.aligned { 0.5 } else { 0.0 };
        let start = low * self.spatial_scale - offset;
        let mut extent = high * self.spatial_scale - offset - start;
        if !self.aligned {
            extent = extent.max(1.0);
        }
        let bins = self.output_size[axis];
        let bin_extent = extent / bins as f64;
        let samples = if self.sampling_ratio > 0 { self.sampling_ratio } else { bin_extent.ceil() as i64 };
        let bin = |bin: usize| {
            let mut weights = BTreeMap::new();
            for sample in 0..samples {
                let within = (sample as f64 + 0.5) * bin_extent / samples as f64;
                let at = start + bin as f64 * bin_extent + within;
                if at < -1.0 || at > size as f64 {
                    continue;
                }
                let at = at.clamp(0.0, (size - 1) as f64);
                let below = at as usize;
                for (pixel, weight) in [(below, 1.0 - at.fract()), (below + 1, at.fract())] {
                    if weight != 0.0 {
                        *weights.entry(pixel).or_insert(0.0) += weight / samples as f64;
                    }
                }
            }
            weights.into_iter().collect()
        };
        RoiAxis { bins: (0..bins).map(bin).collect() }
    }
}

/// What the map of one box reads.
#[derive(Clone, Debug, PartialEq)]
pub struct RoiMap {
    /// The image.
    pub batch: usize,
    /// Along the rows of the image.
    pub rows: RoiAxis,
    /// Along its columns.
    pub cols: RoiAxis,
}

/// What the bins of one box read along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct RoiAxis {
    /// Of each bin: pixels in ascending order and their weights, which sum to the share of its samples
    /// that lie on the image.
    pub bins: Vec<Vec<(usize, f64)>>,
}

impl RoiAxis {
    /// The smallest stretch of pixels that holds all that is read.
    pub fn hull(&self) -> Range<usize> {
        let pixels = || self.bins.iter().flatten().map(|&(pixel, _)| pixel);
        pixels().min().unwrap_or(0)..pixels().max().map_or(0, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(sampling_ratio: i64, aligned: bool, low: f64, high: f64) -> Vec<Vec<(usize, f64)>> {
        let settings = RoiAlign { output_size: [2, 2], spatial_scale: 1.0, sampling_ratio, aligned };
        settings.axis(0, low, high, 4).bins
    }

    #[test]
    fn samples_sit_in_the_middle_of_their_part_of_the_bin() {
        // Bins 0 .. 1 and 1 .. 2 in centre coordinates, one sample each at 0.5 and 1.5.
        assert_eq!(bins(1, false, 0.0, 2.0), [vec![(0, 0.5), (1, 0.5)], vec![(1, 0.5), (2, 0.5)]]);
        // Edge coordinates: half a pixel less.
        assert_eq!(bins(1, true, 0.0, 2.0), [vec![(0, 1.0)], vec![(1, 1.0)]]);
    }

    #[test]
    fn the_number_of_samples_follows_the_size_of_the_box() {
        // Bins of 1.5: two samples each, at 0.375, 1.125 | 1.875, 2.625.
        let expected =
            [vec![(0, 0.3125), (1, 0.625), (2, 0.0625)], vec![(1, 0.0625), (2, 0.625), (3, 0.3125)]];
        assert_eq!(bins(-1, false, 0.0, 3.0), expected);
    }

    #[test]
    fn small_boxes_grow_to_one_pixel_unless_aligned() {
        assert_eq!(bins(1, false, 1.0, 1.0), bins(1, false, 1.0, 2.0));
        assert_eq!(bins(1, true, 1.5, 1.5), [vec![(1, 1.0)], vec![(1, 1.0)]]);
        // Nothing to sample: an aligned box without extent has no sample of its own accord.
        assert_eq!(bins(0, true, 1.5, 1.5), [vec![], vec![]]);
    }

    #[test]
    fn samples_near_the_edge_move_onto_it_and_others_are_dropped() {
        // Bins of 2, one sample each: at -1 moved to 0, at 1; at 3.5 .. moved to 3, at 5.5 dropped.
        assert_eq!(bins(1, false, -2.0, 2.0), [vec![(0, 1.0)], vec![(1, 1.0)]]);
        assert_eq!(bins(1, false, 2.5, 6.5), [vec![(3, 1.0)], vec![]]);
    }
}
