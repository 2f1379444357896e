//! Pictures in memory: decoded once, at the size that the detector works at.

use ndarray::{Array3, Axis};
use rayon::prelude::*;
use termwise_datasets::DataError;
use termwise_datasets::batch::Normalisation;
use termwise_datasets::detection::{DetectionFolder, DetectionObject, DetectionSample};
use termwise_datasets::resize::resize_image;

use super::boxes::Corners;

/// A picture, scaled, in bytes.
///
/// ```
/// use ndarray::Array3;
/// use termwise_datasets::BoundingBox;
/// use termwise_datasets::detection::{DetectionObject, DetectionSample};
/// use termwise_models::detection::{Picture, measure};
/// let bounds = BoundingBox { x0: 4.0, y0: 0.0, x1: 8.0, y1: 6.0 };
/// let object = DetectionObject { class: 0, bounds, area: 24.0, crowd: false, difficult: false, mask: None };
/// let image = Array3::from_shape_fn((3, 10, 20), |(c, _, _)| [0.0, 0.2, 1.0][c]); // 10 high, 20 wide
/// let objects = vec![object.clone()];
/// let picture = Picture::new(&DetectionSample { image_id: 1, name: "blue".to_owned(), image, objects }, 40);
/// assert_eq!((picture.size(), picture.original, picture.scale()), ((20, 40), (10, 20), (2.0, 2.0)));
/// assert_eq!(picture.pixels[[0, 0, 1]], 51); // 255 / 5
/// assert_eq!(picture.scaled(&object), [8.0, 0.0, 16.0, 12.0]);
/// assert_eq!(picture.unscaled(&[8.0, -2.0, 16.0, 12.0]), [4.0, 0.0, 8.0, 6.0]); // clipped
/// let colours = measure(&[picture]);
/// assert_eq!((colours.mean, colours.std), ([0.0, 0.2, 1.0], [1.0; 3])); // channels of one value keep their scale
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// As in [`DetectionSample`].
    pub image_id: u64,
    /// As in [`DetectionSample`].
    pub name: String,
    /// Red, green, blue.
    pub pixels: Array3<u8>, // (H, W, 3)
    /// (height, width) of the file.
    pub original: (usize, usize),
    /// The objects, in pixels of the file.
    pub objects: Vec<DetectionObject>,
    /// Mean brightness in [0, 1], which contrast is changed around.
    pub(super) luma: f32,
}

/// Weights of red, green and blue in brightness (ITU-R BT.601).
pub(super) const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl Picture {
    /// Scales a sample so that its longer side has `side` pixels, by area averages or linear interpolation.
    ///
    /// # Panics
    /// If the picture or `side` is empty.
    #[track_caller]
    pub fn new(sample: &DetectionSample, side: usize) -> Self {
        let (height, width) = sample.size();
        let longer = height.max(width) as f64;
        let scaled = |extent: usize| ((extent as f64 * side as f64 / longer).round() as usize).max(1);
        let image = resize_image(&sample.image, (scaled(height), scaled(width)));
        let luma = image.axis_iter(Axis(0)).zip(LUMA).map(|(channel, weight)| {
            let sum: f64 = channel.iter().map(|&v| f64::from(v)).sum();
            f64::from(weight) * sum / channel.len() as f64
        });
        Picture {
            image_id: sample.image_id,
            name: sample.name.clone(),
            luma: luma.sum::<f64>() as f32,
            pixels: image
                .permuted_axes([1, 2, 0])
                .as_standard_layout()
                .mapv(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8),
            original: (height, width),
            objects: sample.objects.clone(),
        }
    }

    /// Decodes and scales every picture of a folder, several at a time, in order.
    ///
    /// # Errors
    /// A picture that cannot be read; of several, the first.
    pub fn load_all(folder: &DetectionFolder, side: usize) -> Result<Vec<Self>, DataError> {
        let load = |index| folder.load(index).map(|sample| Picture::new(&sample, side));
        let loaded: Vec<_> = (0..folder.len()).into_par_iter().map(load).collect();
        loaded.into_iter().collect()
    }

    /// (height, width) as scaled.
    pub fn size(&self) -> (usize, usize) {
        let (height, width, _) = self.pixels.dim();
        (height, width)
    }

    /// What boxes are multiplied with, vertically and horizontally: sides are rounded, so they differ a little.
    pub fn scale(&self) -> (f64, f64) {
        let (height, width) = self.size();
        (height as f64 / self.original.0 as f64, width as f64 / self.original.1 as f64)
    }

    /// The box of an object as scaled.
    pub fn scaled(&self, object: &DetectionObject) -> Corners {
        let (sy, sx) = self.scale();
        let b = &object.bounds;
        [f64::from(b.x0) * sx, f64::from(b.y0) * sy, f64::from(b.x1) * sx, f64::from(b.y1) * sy]
    }

    /// A box of the scaled picture in pixels of the file, inside of it.
    pub fn unscaled(&self, bounds: &Corners) -> Corners {
        let (sy, sx) = self.scale();
        let (height, width) = (self.original.0 as f64, self.original.1 as f64);
        super::boxes::clip(&[bounds[0] / sx, bounds[1] / sy, bounds[2] / sx, bounds[3] / sy], (height, width))
    }
}

/// Mean and standard deviation of each channel over all pixels, in whole numbers and thus exact. The standard deviation
/// of a channel that has one value everywhere is given as 1, so that one can divide by it.
///
/// # Panics
/// Without pictures.
#[track_caller]
pub fn measure(pictures: &[Picture]) -> Normalisation {
    assert!(!pictures.is_empty(), "detection: expected at least one picture, found none");
    let mut normalisation = Normalisation::NONE;
    for channel in 0..3 {
        let (mut count, mut sum, mut squares) = (0u64, 0u64, 0u64);
        for pixels in pictures.iter().map(|picture| picture.pixels.index_axis(Axis(2), channel)) {
            count += pixels.len() as u64;
            sum += pixels.iter().map(|&v| u64::from(v)).sum::<u64>();
            squares += pixels.iter().map(|&v| u64::from(v) * u64::from(v)).sum::<u64>();
        }
        let mean = sum as f64 / count as f64;
        let variance = squares as f64 / count as f64 - mean * mean;
        normalisation.mean[channel] = (mean / 255.0) as f32;
        normalisation.std[channel] = if variance > 1e-3 { (variance.sqrt() / 255.0) as f32 } else { 1.0 };
    }
    normalisation
}

#[cfg(test)]
mod tests {
    use termwise_datasets::BoundingBox;

    use super::*;

    #[test]
    fn boxes_go_to_the_scaled_picture_and_back() {
        let bounds = BoundingBox { x0: 30.0, y0: 10.0, x1: 101.0, y1: 60.0 };
        let object =
            DetectionObject { class: 0, bounds, area: 3550.0, crowd: false, difficult: false, mask: None };
        let image = Array3::from_shape_fn((3, 67, 101), |(c, _, _)| [0.2, 0.4, 1.0][c]);
        let sample = DetectionSample { image_id: 3, name: "a".into(), image, objects: vec![object.clone()] };
        let picture = Picture::new(&sample, 50);
        assert_eq!((picture.size(), picture.original), ((33, 50), (67, 101)));
        assert_eq!(picture.pixels.as_slice().unwrap()[..3], [51, 102, 255]);
        let back = picture.unscaled(&picture.scaled(&object));
        for (a, b) in back.iter().zip([30.0, 10.0, 101.0, 60.0]) {
            assert!((a - b).abs() < 1e-9, "{back:?}");
        }
        assert_eq!(picture.unscaled(&[-3.0, 0.0, 60.0, 40.0]), [0.0, 0.0, 101.0, 67.0], "inside");
        let normalisation = measure(&[picture.clone(), picture]);
        assert_eq!((normalisation.mean, normalisation.std), ([0.2, 0.4, 1.0], [1.0; 3]));
    }
}
