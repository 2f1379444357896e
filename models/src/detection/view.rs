//! What the detector gets to see of a picture: all of it, or in training a mirrored, scaled, moved and recoloured part.

use ndarray::Array4;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use termwise_datasets::batch::Normalisation;

use super::boxes::{Corners, clip, covered, extent};
use super::config::AugmentConfig;
use super::model::{STRIDE, Target};
use super::picture::{LUMA, Picture};

/// How a picture is shown, on a canvas of its own size.
///
/// ```
/// use termwise_models::detection::View;
/// let object = [10.0, 20.0, 30.0, 40.0]; // in a picture of 100 x 200
/// let mirrored = View { flip_horizontal: true, ..View::WHOLE };
/// assert_eq!(mirrored.bounds(&object, (100, 200)), [170.0, 20.0, 190.0, 40.0]);
/// let closer = View { scale: 2.0, corner: (30.0, 0.0), ..View::WHOLE };
/// assert_eq!(closer.bounds(&object, (100, 200)), [-10.0, 40.0, 30.0, 80.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Left for right.
    pub flip_horizontal: bool,
    /// Upside down.
    pub flip_vertical: bool,
    /// Pixels of the canvas per pixel of the picture.
    pub scale: f64,
    /// (x, y) of the canvas' upper left corner in the mirrored and scaled picture.
    pub corner: (f64, f64),
    /// Factor on all values.
    pub brightness: f32,
    /// Factor on the distance to the picture's mean brightness.
    pub contrast: f32,
    /// Factor on the distance to the pixel's brightness.
    pub saturation: f32,
}

impl View {
    /// The picture as it is.
    pub const WHOLE: Self = View {
        flip_horizontal: false,
        flip_vertical: false,
        scale: 1.0,
        corner: (0.0, 0.0),
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
    };

    /// Draws how a picture of (height, width) is shown. A part of a scaled-up picture lies inside of it, a scaled-down
    /// picture lies inside of the canvas; its place is uniform.
    pub fn draw(config: &AugmentConfig, (height, width): (usize, usize), rng: &mut impl Rng) -> Self {
        let between = |rng: &mut dyn FnMut() -> f64, by: f64| (1.0 + by * (2.0 * rng() - 1.0)) as f32;
        let mut unit = || rng.random::<f64>();
        let flip_horizontal = unit() < config.flip_horizontal;
        let flip_vertical = unit() < config.flip_vertical;
        let scale = (config.scale.ln() * (2.0 * unit() - 1.0)).exp();
        let corner = (unit() * (scale - 1.0) * width as f64, unit() * (scale - 1.0) * height as f64);
        View {
            flip_horizontal,
            flip_vertical,
            scale,
            corner,
            brightness: between(&mut unit, config.brightness),
            contrast: between(&mut unit, config.contrast),
            saturation: between(&mut unit, config.saturation),
        }
    }

    /// Where a box of a picture of (height, width) comes to lie, part of it perhaps outside of the canvas.
    pub fn bounds(&self, b: &Corners, (height, width): (usize, usize)) -> Corners {
        let along = |low: f64, high: f64, extent: usize, flip: bool, corner: f64| {
            let (low, high) = if flip { (extent as f64 - high, extent as f64 - low) } else { (low, high) };
            (self.scale * low - corner, self.scale * high - corner)
        };
        let (x1, x2) = along(b[0], b[2], width, self.flip_horizontal, self.corner.0);
        let (y1, y2) = along(b[1], b[3], height, self.flip_vertical, self.corner.1);
        [x1, y1, x2, y2]
    }

    /// What there is to be found. Objects of which less than `min_visible` remains are left out.
    ///
    /// ```
    /// use ndarray::Array3;
    /// use termwise_datasets::BoundingBox;
    /// use termwise_datasets::detection::{DetectionObject, DetectionSample};
    /// use termwise_models::detection::{Picture, View};
    /// let object = |class, x0, crowd| {
    ///     let bounds = BoundingBox { x0, y0: 0.0, x1: x0 + 4.0, y1: 4.0 };
    ///     DetectionObject { class, bounds, area: 16.0, crowd, difficult: false, mask: None }
    /// };
    /// let objects = vec![object(0, 0.0, false), object(1, 3.0, false), object(1, 10.0, true)];
    /// let (name, image) = (String::new(), Array3::zeros((3, 16, 16)));
    /// let picture = Picture::new(&DetectionSample { image_id: 0, name, image, objects }, 16);
    /// let moved = View { corner: (4.0, 0.0), ..View::WHOLE }; // by four pixels: the first object is gone
    /// let target = moved.target(&picture, 0.5); // of the second one, three quarters remain
    /// assert_eq!((target.boxes, target.classes), (vec![[0.0, 0.0, 3.0, 4.0]], vec![1]));
    /// assert_eq!(target.crowds, [[6.0, 0.0, 10.0, 4.0]]);
    /// assert!(moved.target(&picture, 0.8).boxes.is_empty());
    /// ```
    pub fn target(&self, picture: &Picture, min_visible: f64) -> Target {
        let size = picture.size();
        let canvas = [0.0, 0.0, size.1 as f64, size.0 as f64];
        let mut target = Target::default();
        for object in &picture.objects {
            let moved = self.bounds(&picture.scaled(object), size);
            let bounds = clip(&moved, (canvas[3], canvas[2]));
            let (w, h) = extent(&bounds);
            if object.crowd {
                target.crowds.push(bounds);
            } else if w > 0.0 && h > 0.0 && covered(&moved, &canvas) >= min_visible {
                target.boxes.push(bounds);
                target.classes.push(object.class);
            }
        }
        target
    }

    /// The source of each row or column of the canvas: two pixels and the share of the second, or nothing outside.
    fn taps(&self, extent: usize, flip: bool, corner: f64) -> Vec<Option<(usize, usize, f32)>> {
        let tap = |i: usize| {
            let place = (i as f64 + 0.5 + corner) / self.scale;
            let place = if flip { extent as f64 - place } else { place };
            if place < 0.0 || place > extent as f64 {
                return None;
            }
            let centre = (place - 0.5).clamp(0.0, (extent - 1) as f64);
            let first = centre as usize;
            Some((first, (first + 1).min(extent - 1), centre.fract() as f32))
        };
        (0..extent).map(tap).collect()
    }

    /// Draws the picture into `canvas` (3, H, W), rows of `stride` values; the rest stays as it is.
    fn draw_into(&self, picture: &Picture, normalisation: &Normalisation, canvas: &mut [f32], stride: usize) {
        let (height, width) = picture.size();
        let rows = self.taps(height, self.flip_vertical, self.corner.1);
        let columns = self.taps(width, self.flip_horizontal, self.corner.0);
        let (colour, offset) = self.colours(picture, normalisation);
        let pixels = picture.pixels.as_slice().expect("pixels are in row-major order");
        let plane = canvas.len() / 3;
        for (r, row) in rows.iter().enumerate() {
            let Some((above, below, down)) = *row else { continue };
            let (above, below) = (&pixels[3 * above * width..][..3 * width], &pixels[3 * below * width..]);
            for (c, column) in columns.iter().enumerate() {
                let Some((left, right, across)) = *column else { continue };
                let mix = |k: usize| {
                    let blend = |line: &[u8]| {
                        let (a, b) = (f32::from(line[3 * left + k]), f32::from(line[3 * right + k]));
                        a + across * (b - a)
                    };
                    let top = blend(above);
                    top + down * (blend(below) - top)
                };
                let rgb = [mix(0), mix(1), mix(2)];
                for k in 0..3 {
                    let [red, green, blue] = colour[k];
                    canvas[k * plane + r * stride + c] =
                        red * rgb[0] + green * rgb[1] + blue * rgb[2] + offset[k];
                }
            }
        }
    }

    /// Brightness, contrast, saturation and normalisation of bytes as one matrix and one offset. Nothing is clipped.
    fn colours(&self, picture: &Picture, normalisation: &Normalisation) -> ([[f32; 3]; 3], [f32; 3]) {
        let factor = self.contrast * self.brightness / 255.0;
        let grey = (1.0 - self.contrast) * self.brightness * picture.luma;
        let mut matrix = [[0.0; 3]; 3];
        let mut offset = [0.0; 3];
        for k in 0..3 {
            let std = normalisation.std[k];
            for from in 0..3 {
                let own = if k == from { self.saturation } else { 0.0 };
                matrix[k][from] = factor * (own + (1.0 - self.saturation) * LUMA[from]) / std;
            }
            offset[k] = (grey - normalisation.mean[k]) / std;
        }
        (matrix, offset)
    }
}

/// Pictures as the detector gets them.
///
/// ```
/// use ndarray::Array3;
/// use termwise_datasets::batch::Normalisation;
/// use termwise_datasets::detection::DetectionSample;
/// use termwise_models::detection::{Picture, PictureBatch, View};
/// let image = Array3::from_elem((3, 10, 20), 0.6);
/// let sample = DetectionSample { image_id: 0, name: "grey".to_owned(), image, objects: Vec::new() };
/// let normalisation = Normalisation { mean: [0.5; 3], std: [0.1; 3] };
/// let batch = PictureBatch::new(&[(&Picture::new(&sample, 20), View::WHOLE)], &normalisation);
/// assert_eq!((batch.images.dim(), batch.sizes), ((1, 3, 16, 32), vec![(10.0, 20.0)]));
/// assert!((batch.images[[0, 0, 9, 19]] - 1.0).abs() < 1e-5); // (0.6 - 0.5) / 0.1
/// assert_eq!((batch.images[[0, 0, 10, 19]], batch.images[[0, 0, 9, 20]]), (0.0, 0.0));
/// ```
pub struct PictureBatch {
    /// Normalised; every picture in the upper left corner, zeros around it.
    pub images: Array4<f32>, // (N, 3, H, W)
    /// (height, width) of each without padding.
    pub sizes: Vec<(f64, f64)>,
}

impl PictureBatch {
    /// Draws views of pictures, padded to common sides that are multiples of [`STRIDE`].
    pub fn new(views: &[(&Picture, View)], normalisation: &Normalisation) -> Self {
        let padded = |side: fn((usize, usize)) -> usize| {
            let longest = views.iter().map(|(picture, _)| side(picture.size())).max().unwrap_or(1);
            longest.next_multiple_of(STRIDE)
        };
        let (height, width) = (padded(|size| size.0), padded(|size| size.1));
        let mut images = vec![0.0; views.len() * 3 * height * width];
        let canvases = images.par_chunks_exact_mut(3 * height * width);
        canvases.zip(views).for_each(|(canvas, (picture, view))| {
            view.draw_into(picture, normalisation, canvas, width);
        });
        let images = Array4::from_shape_vec((views.len(), 3, height, width), images)
            .expect("as many values as the shape says");
        let size = |(picture, _): &(&Picture, View)| (picture.size().0 as f64, picture.size().1 as f64);
        PictureBatch { images, sizes: views.iter().map(size).collect() }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use termwise_datasets::BoundingBox;
    use termwise_datasets::detection::{DetectionObject, DetectionSample};

    use super::*;

    /// A black picture with one white box of the class 1.
    fn picture((height, width): (usize, usize), b: [usize; 4]) -> Picture {
        let inside = |r: usize, c: usize| (b[1]..b[3]).contains(&r) && (b[0]..b[2]).contains(&c);
        let image = Array3::from_shape_fn((3, height, width), |(_, r, c)| f32::from(u8::from(inside(r, c))));
        let bounds = BoundingBox { x0: b[0] as f32, y0: b[1] as f32, x1: b[2] as f32, y1: b[3] as f32 };
        let object = DetectionObject {
            class: 1,
            bounds,
            area: bounds.area(),
            crowd: false,
            difficult: false,
            mask: None,
        };
        let sample = DetectionSample { image_id: 0, name: String::new(), image, objects: vec![object] };
        Picture::new(&sample, height.max(width))
    }

    #[test]
    fn the_whole_picture_is_its_bytes_normalised() {
        let picture = picture((20, 30), [4, 2, 9, 7]);
        let normalisation = Normalisation { mean: [0.5, 0.25, 0.0], std: [0.5, 1.0, 0.25] };
        let batch = PictureBatch::new(&[(&picture, View::WHOLE)], &normalisation);
        assert_eq!(batch.images.dim(), (1, 3, 32, 32));
        assert_eq!(batch.sizes, [(20.0, 30.0)]);
        let pixel = |r: usize, c: usize| [0, 1, 2].map(|k| batch.images[[0, k, r, c]]);
        let near = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(pixel(2, 4), [1.0, 0.75, 4.0]) && near(pixel(6, 8), [1.0, 0.75, 4.0]));
        assert!(near(pixel(7, 8), [-1.0, -0.25, 0.0]) && near(pixel(1, 4), [-1.0, -0.25, 0.0]));
        assert_eq!((pixel(20, 4), pixel(2, 30)), ([0.0; 3], [0.0; 3]), "padding");
        let target = View::WHOLE.target(&picture, 0.3);
        assert_eq!((target.boxes, target.classes), (vec![[4.0, 2.0, 9.0, 7.0]], vec![1]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// What is white on the canvas is where the box says.
        #[test]
        fn boxes_move_with_the_pixels(seed in any::<u64>(), x in 0usize..40, y in 0usize..24) {
            let picture = picture((48, 64), [x, y, x + 20, y + 16]);
            let mut config = AugmentConfig { scale: 1.6, ..AugmentConfig::default() };
            (config.brightness, config.contrast, config.saturation) = (0.0, 0.0, 0.0);
            let view = View::draw(&config, picture.size(), &mut ChaCha8Rng::seed_from_u64(seed));
            let batch = PictureBatch::new(&[(&picture, view)], &Normalisation::NONE);
            let [x1, y1, x2, y2] = view.bounds(&picture.scaled(&picture.objects[0]), picture.size());
            for r in 0..48 {
                for c in 0..64 {
                    let (px, py) = (c as f64 + 0.5, r as f64 + 0.5);
                    // Nearer than 1.6 pixels to a side, interpolation blends.
                    let within = |by: f64| px > x1 + by && px < x2 - by && py > y1 + by && py < y2 - by;
                    let value = batch.images[[0, 1, r, c]];
                    prop_assert!(!within(1.6) || value > 0.999, "{view:?} at {r}, {c}: {value}");
                    prop_assert!(within(-1.6) || value < 0.001, "{view:?} at {r}, {c}: {value}");
                }
            }
        }
    }

    #[test]
    fn objects_that_leave_the_canvas_are_left_out() {
        let picture = picture((40, 40), [0, 0, 20, 20]);
        let shown = |corner| View { scale: 2.0, corner, ..View::WHOLE }.target(&picture, 0.3).boxes;
        assert_eq!(shown((0.0, 0.0)), [[0.0, 0.0, 40.0, 40.0]]);
        assert_eq!(shown((26.0, 0.0)), [[0.0, 0.0, 14.0, 40.0]], "35 % remain");
        assert!(shown((30.0, 0.0)).is_empty(), "25 % remain");
        assert!(shown((40.0, 40.0)).is_empty());
    }

    #[test]
    fn colours_by_hand() {
        let picture = picture((10, 10), [0, 0, 10, 5]); // mean brightness 1/2
        let view = View { brightness: 0.8, contrast: 0.5, saturation: 0.3, ..View::WHOLE };
        let batch = PictureBatch::new(&[(&picture, view)], &Normalisation::NONE);
        // 0.8, then halfway to the mean 0.4; grey stays grey.
        assert!((batch.images[[0, 0, 0, 0]] - 0.6).abs() < 1e-5, "{}", batch.images[[0, 0, 0, 0]]);
        assert!((batch.images[[0, 2, 9, 0]] - 0.2).abs() < 1e-5);
    }
}
