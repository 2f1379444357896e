//! Pictures of many sizes in one size.

use ndarray::Array3;

use super::geometry::{ScaleCrop, crop_image, moved};
use super::scale_crop_detection;
use crate::detection::DetectionSample;
use crate::sample::BoundingBox;

/// Scales a picture to the largest that fits into a size, its sides in proportion, at the upper left; the rest of the
/// size, right or below, is padding.
///
/// ```
/// use termwise_datasets::{BoundingBox, augment::Letterbox};
/// let letterbox = Letterbox::new((480, 640), (256, 256));
/// assert_eq!(letterbox.parameters().scaled, (192, 256));
/// let scaled = letterbox.bounds(BoundingBox { x0: 10.0, y0: 20.0, x1: 50.0, y1: 480.0 });
/// assert_eq!(scaled, BoundingBox { x0: 4.0, y0: 8.0, x1: 20.0, y1: 192.0 });
/// // A prediction that reaches into the padding goes back clipped to the picture.
/// let predicted = BoundingBox { y1: 200.0, ..scaled };
/// assert_eq!(letterbox.undo(predicted), Some(BoundingBox { x0: 10.0, y0: 20.0, x1: 50.0, y1: 480.0 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letterbox {
    original: (usize, usize),
    parameters: ScaleCrop,
}

impl Letterbox {
    /// From the (height, width) of a picture to a target (height, width).
    ///
    /// # Panics
    /// Where a size is zero.
    #[track_caller]
    pub fn new(original: (usize, usize), target: (usize, usize)) -> Self {
        assert!(
            original.0 > 0 && original.1 > 0 && target.0 > 0 && target.1 > 0,
            "letterbox: sizes must be positive: from (height, width) {original:?} to {target:?}"
        );
        // In whole numbers, so that the side that decides comes out exact.
        let (height, width) = (original.0 as u128, original.1 as u128);
        let (rows, columns) = (target.0 as u128, target.1 as u128);
        let rounded = |value: u128, by: u128| ((2 * value + by) / (2 * by)).max(1) as usize;
        let scaled = if rows * width <= columns * height {
            (target.0, rounded(rows * width, height).min(target.1))
        } else {
            (rounded(columns * height, width).min(target.0), target.1)
        };
        Self { original, parameters: ScaleCrop { scaled, offset: (0, 0), size: target } }
    }

    /// The scaled size and the target.
    pub fn parameters(&self) -> ScaleCrop {
        self.parameters
    }

    /// The picture in its new size with the padding in this colour.
    ///
    /// # Panics
    /// Where the image has not the size that was given.
    ///
    /// # Examples
    /// ```
    /// use ndarray::{Array3, array, s};
    /// use termwise_datasets::augment::Letterbox;
    /// let image = Array3::from_shape_fn((3, 2, 4), |(_, row, _)| row as f32); // half as high as wide
    /// let square = Letterbox::new((2, 4), (2, 2)).image(&image, [0.25; 3]);
    /// assert_eq!(square.slice(s![0, .., ..]), array![[0.5, 0.5], [0.25, 0.25]]); // 1 x 2 pixels, padding below
    /// ```
    #[track_caller]
    pub fn image(&self, image: &Array3<f32>, colour: [f32; 3]) -> Array3<f32> {
        self.check(image.dim());
        crop_image(image, self.parameters, colour) // (3, H, W)
    }

    /// The picture and its objects. Objects that become too small for a pixel keep their boxes; those whose mask keeps no
    /// pixel are dropped.
    ///
    /// # Panics
    /// Where the image has not the size that was given.
    #[track_caller]
    pub fn sample(&self, sample: &DetectionSample, colour: [f32; 3]) -> DetectionSample {
        self.check(sample.image.dim());
        scale_crop_detection(sample, self.parameters, colour, 0.0)
    }

    /// A box of the picture in the plane of the result.
    pub fn bounds(&self, bounds: BoundingBox) -> BoundingBox {
        moved(bounds, self.original, self.parameters)
    }

    /// A box of the result in pixels of the picture, clipped to it; none where nothing of it lies in the picture.
    pub fn undo(&self, bounds: BoundingBox) -> Option<BoundingBox> {
        let back = ScaleCrop { scaled: self.original, offset: (0, 0), size: self.original };
        moved(bounds, self.parameters.scaled, back).clipped(self.original)
    }

    #[track_caller]
    fn check(&self, (channels, height, width): (usize, usize, usize)) {
        assert!(
            (channels, height, width) == (3, self.original.0, self.original.1),
            "letterbox: made for a picture of {:?}, given {:?}",
            self.original,
            (channels, height, width)
        );
    }
}
