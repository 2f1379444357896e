//! A picture with what is known about it.

use ndarray::{Array2, Array3};

/// A picture and its per-pixel classes, and its objects where they are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Where it came from: the image path inside its folder, or split and index of a generated scene.
    pub name: String,
    /// Red, green, blue in [0, 1].
    pub image: Array3<f32>, // (3, H, W)
    /// One class id for each pixel, or the ignore id.
    pub labels: Array2<u8>, // (H, W)
    /// The objects from back to front; empty where only pixels are labelled.
    pub objects: Vec<Object>,
}

impl Sample {
    /// (height, width) in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.labels.dim()
    }

    /// Panics where image, labels and masks differ in size: such a sample is a programming error.
    #[track_caller]
    pub(crate) fn check(&self) {
        let (channels, height, width) = self.image.dim();
        assert!(
            channels == 3 && self.labels.dim() == (height, width),
            "sample {}: image {:?} must be (3, H, W) with labels (H, W), labels are {:?}",
            self.name,
            self.image.dim(),
            self.labels.dim()
        );
        for object in &self.objects {
            if let Some(mask) = &object.mask {
                assert!(
                    mask.dim() == (height, width),
                    "sample {}: mask {:?} must be as large as the labels {:?}",
                    self.name,
                    mask.dim(),
                    self.labels.dim()
                );
            }
        }
    }
}

/// One object of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its class id.
    pub class: u8,
    /// The box around what is visible of it.
    pub bounds: BoundingBox,
    /// Its visible pixels, where they are known.
    pub mask: Option<Array2<bool>>, // (H, W)
}

/// A box with its sides parallel to the axes, half open: x0 <= x < x1, y0 <= y < y1.
///
/// # Examples
/// ```
/// use termwise_datasets::BoundingBox;
/// let bounds = BoundingBox { x0: -2.0, y0: 1.0, x1: 3.0, y1: 5.0 };
/// assert_eq!(bounds.area(), 20.0);
/// let picture = (4, 6); // (height, width)
/// assert_eq!(bounds.clipped(picture), Some(BoundingBox { x0: 0.0, y1: 4.0, ..bounds }));
/// assert_eq!(BoundingBox { x0: 6.0, x1: 8.0, ..bounds }.clipped(picture), None); // it only touches the right side
/// assert_eq!(BoundingBox { x1: -5.0, ..bounds }.area(), 0.0); // x1 < x0
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    /// Left side, in pixels from the left edge of the picture.
    pub x0: f32,
    /// Upper side, in pixels from the upper edge.
    pub y0: f32,
    /// Right side.
    pub x1: f32,
    /// Lower side.
    pub y1: f32,
}

impl BoundingBox {
    /// The smallest box around the true pixels of a mask; none where no pixel is true.
    ///
    /// ```
    /// use termwise_datasets::BoundingBox;
    /// let mut mask = ndarray::Array2::from_elem((4, 6), false);
    /// mask[[1, 2]] = true;
    /// mask[[3, 4]] = true;
    /// assert_eq!(BoundingBox::around(&mask), Some(BoundingBox { x0: 2.0, y0: 1.0, x1: 5.0, y1: 4.0 }));
    /// ```
    pub fn around(mask: &Array2<bool>) -> Option<Self> {
        let mut extent: Option<(usize, usize, usize, usize)> = None;
        for ((row, column), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
            let (x0, y0, x1, y1) = extent.unwrap_or((column, row, column + 1, row + 1));
            extent = Some((x0.min(column), y0.min(row), x1.max(column + 1), y1.max(row + 1)));
        }
        let (x0, y0, x1, y1) = extent?;
        Some(Self { x0: x0 as f32, y0: y0 as f32, x1: x1 as f32, y1: y1 as f32 })
    }

    /// The area in square pixels; 0 where a side is not positive.
    pub fn area(&self) -> f32 {
        (self.x1 - self.x0).max(0.0) * (self.y1 - self.y0).max(0.0)
    }

    /// The part of this box inside a picture of (height, width); none where no area is left.
    pub fn clipped(&self, (height, width): (usize, usize)) -> Option<Self> {
        let clipped = Self {
            x0: self.x0.max(0.0),
            y0: self.y0.max(0.0),
            x1: self.x1.min(width as f32),
            y1: self.y1.min(height as f32),
        };
        (clipped.area() > 0.0).then_some(clipped)
    }
}
