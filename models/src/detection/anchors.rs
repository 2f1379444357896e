//! Anchors: the boxes that proposals are predicted from.

use serde::{Deserialize, Serialize};

use super::boxes::Corners;

/// Which anchors stand at every position of every level of the pyramid.
///
/// ```
/// use termwise_models::detection::AnchorConfig;
/// let config = AnchorConfig { sizes: vec![vec![], vec![8.0]], ratios: vec![1.0, 4.0] };
/// assert_eq!(config.per_position(), 2);
/// assert!(config.level(0, (2, 2), 4.0).is_empty());
/// // One position, centred in its 8 x 8 pixels: 8 wide and 8 high; of the same area, 4 wide and 16 high.
/// assert_eq!(config.level(1, (1, 1), 8.0), [[0.0, 0.0, 8.0, 8.0], [2.0, -4.0, 6.0, 12.0]]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorConfig {
    /// For each level from fine to coarse (1/4, 1/8, 1/16, 1/32): the square roots of the anchors' areas, in pixels.
    /// A level without sizes makes no proposals; each other level has equally many.
    pub sizes: Vec<Vec<f64>>,
    /// Height divided by width.
    pub ratios: Vec<f64>,
}

impl Default for AnchorConfig {
    /// Three sizes an octave from 14 to 226 pixels in steps of sqrt(2), each in three ratios; none at 1/4, whose
    /// map is the dearest and whose anchors would be the smallest.
    fn default() -> Self {
        AnchorConfig {
            sizes: vec![vec![], vec![14.0, 20.0, 28.0], vec![40.0, 56.0, 80.0], vec![112.0, 160.0, 226.0]],
            ratios: vec![0.5, 1.0, 2.0],
        }
    }
}

impl AnchorConfig {
    /// Anchors at each position of a level that has any.
    ///
    /// # Panics
    /// If there are none at all, or levels differ.
    #[track_caller]
    pub fn per_position(&self) -> usize {
        let mut counts = self.sizes.iter().map(Vec::len).filter(|&count| count > 0);
        let count = counts.next().unwrap_or(0);
        assert!(
            count > 0 && !self.ratios.is_empty() && counts.all(|other| other == count),
            "anchors: every level has equally many sizes or none, and there are some: {self:?}"
        );
        count * self.ratios.len()
    }

    /// The anchors of a level with a map of (height, width) and a stride: by row, column, size and ratio. The
    /// anchors of a position share its centre, `stride (column + 1/2)`, `stride (row + 1/2)`.
    ///
    /// # Panics
    /// If there is no list for the level.
    pub fn level(&self, level: usize, (height, width): (usize, usize), stride: f64) -> Vec<Corners> {
        let shapes: Vec<(f64, f64)> = self.sizes[level]
            .iter()
            .flat_map(|size| self.ratios.iter().map(move |ratio| (size / ratio.sqrt(), size * ratio.sqrt())))
            .collect();
        let mut anchors = Vec::with_capacity(height * width * shapes.len());
        for row in 0..height {
            for column in 0..width {
                let (x, y) = (stride * (column as f64 + 0.5), stride * (row as f64 + 0.5));
                let around = |&(w, h): &(f64, f64)| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
                anchors.extend(shapes.iter().map(around));
            }
        }
        anchors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_by_hand() {
        let config = AnchorConfig { sizes: vec![vec![], vec![8.0, 16.0]], ratios: vec![1.0, 4.0] };
        assert_eq!(config.per_position(), 4);
        assert!(config.level(0, (2, 2), 4.0).is_empty());
        let anchors = config.level(1, (1, 2), 8.0);
        // Ratio 4 of size 8: 4 wide, 16 high.
        assert_eq!(
            anchors,
            [
                [0.0, 0.0, 8.0, 8.0],
                [2.0, -4.0, 6.0, 12.0],
                [-4.0, -4.0, 12.0, 12.0],
                [0.0, -12.0, 8.0, 20.0],
                [8.0, 0.0, 16.0, 8.0],
                [10.0, -4.0, 14.0, 12.0],
                [4.0, -4.0, 20.0, 12.0],
                [8.0, -12.0, 16.0, 20.0],
            ]
        );
    }

    #[test]
    #[should_panic(expected = "every level has equally many sizes or none")]
    fn levels_share_one_predictor() {
        AnchorConfig { sizes: vec![vec![1.0], vec![1.0, 2.0]], ratios: vec![1.0] }.per_position();
    }
}
