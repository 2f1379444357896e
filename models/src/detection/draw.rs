//! Boxes drawn into a picture.

use ndarray::Array3;
use termwise_datasets::BoundingBox;
use termwise_datasets::png_out::{class_colour, draw_box};

use super::model::Detection;

/// Draws the outline of each detection with at least `min_score` into a picture (H, W, 3), the surest on top, in the
/// colour of its class. Boxes are in pixels of that picture; of a box that goes beyond it, the part inside is outlined.
/// Lines are a 320th of the longer side thick, in whole pixels, and at least one.
///
/// # Examples
/// ```
/// use ndarray::{Array3, s};
/// use termwise_models::detection::{Detection, draw_boxes};
/// let mut picture = Array3::zeros((8, 8, 3));
/// let sure = Detection { class: 0, score: 0.9, bounds: [1.0, 1.0, 5.0, 5.0] };
/// let doubtful = Detection { class: 1, score: 0.3, bounds: [0.0, 0.0, 8.0, 8.0] };
/// draw_boxes(&mut picture, &[sure, doubtful], 0.5);
/// let drawn = |y: usize, x: usize| picture.slice(s![y, x, ..]).iter().any(|&value| value > 0);
/// let count = (0..64).filter(|i| drawn(i / 8, i % 8)).count();
/// assert_eq!(count, 12); // the rim of 4 x 4 pixels
/// assert!(drawn(1, 1) && drawn(4, 4) && !drawn(2, 2));
/// ```
pub fn draw_boxes(picture: &mut Array3<u8>, detections: &[Detection], min_score: f64) {
    let (height, width, _) = picture.dim();
    let thickness = (height.max(width) / 320).max(1);
    let mut shown: Vec<&Detection> = detections.iter().filter(|d| d.score >= min_score).collect();
    shown.sort_by(|a, b| a.score.total_cmp(&b.score));
    for detection in shown {
        let colour = class_colour((detection.class % 255) as u8 + 1);
        let [x0, y0, x1, y1] = detection.bounds.map(|v| v as f32);
        draw_box(picture, BoundingBox { x0, y0, x1, y1 }, colour, thickness);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_cover_the_pixels_of_the_box() {
        let mut picture = Array3::zeros((6, 8, 3));
        let detection = |score, bounds| Detection { class: 2, score, bounds };
        let found = [detection(0.9, [1.0, 2.0, 5.0, 5.0]), detection(0.1, [0.0, 0.0, 8.0, 6.0])];
        draw_boxes(&mut picture, &found, 0.5);
        let rows: Vec<String> = picture
            .outer_iter()
            .map(|row| row.outer_iter().map(|p| if p.sum() > 0 { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(rows, ["........", "........", ".####...", ".#..#...", ".####...", "........"]);
        assert_eq!(picture[[2, 1, 0]], class_colour(3)[0]);
        // Partly outside, and empty: no panic.
        draw_boxes(&mut picture, &[detection(0.9, [-5.0, -5.0, 50.0, 2.0])], 0.5);
        draw_boxes(&mut Array3::zeros((1, 1, 3)), &[detection(0.9, [0.5, 0.5, 0.6, 0.6])], 0.5);
    }
}
