//! Brightness, contrast and saturation.

use ndarray::{Array2, Array3, Axis, Zip};

/// Colour factors; 1 changes nothing.
///
/// [`colour_jitter`] applies them: with the luma y of a pixel and the mean luma m of the picture,
///
/// ```text
/// x <- brightness x;    x <- m + contrast (x - m);    x <- y + saturation (x - y)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourJitter {
    /// Multiplies every value.
    pub brightness: f32,
    /// Multiplies the distance of every value to the mean luma of the picture.
    pub contrast: f32,
    /// Multiplies the distance of every value to the luma of its pixel; 0 is greyscale.
    pub saturation: f32,
}

impl ColourJitter {
    /// The factors that change nothing.
    pub const NONE: Self = Self { brightness: 1.0, contrast: 1.0, saturation: 1.0 };
}

/// The luma of each pixel, Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
///
/// # Panics
/// Where the image has not three channels.
///
/// # Examples
/// ```
/// use termwise_datasets::augment::luma;
/// let image = ndarray::array![[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]; // a red pixel and a green one
/// assert_eq!(luma(&image), ndarray::array![[0.299, 0.587]]);
/// ```
#[track_caller]
pub fn luma(image: &Array3<f32>) -> Array2<f32> {
    assert!(image.dim().0 == 3, "luma: expected (3, H, W), found {:?}", image.dim());
    let channel = |index| image.index_axis(Axis(0), index);
    Zip::from(channel(0))
        .and(channel(1))
        .and(channel(2))
        .map_collect(|red, green, blue| 0.299 * red + 0.587 * green + 0.114 * blue)
}

/// Applies brightness, then contrast, then saturation; values are clipped to [0, 1] after each.
///
/// ```
/// use ndarray::array;
/// use termwise_datasets::augment::{ColourJitter, colour_jitter};
/// let image = array![[[0.2]], [[0.4]], [[0.6]]]; // one pixel
/// let brighter = colour_jitter(&image, ColourJitter { brightness: 2.0, ..ColourJitter::NONE });
/// assert_eq!(brighter, array![[[0.4]], [[0.8]], [[1.0]]]);
/// let grey = colour_jitter(&image, ColourJitter { saturation: 0.0, ..ColourJitter::NONE });
/// assert!(grey.iter().all(|value| (value - 0.363).abs() < 1e-6));
/// // Two grey pixels about the mean 0.4, at half their distance.
/// let image = ndarray::Array3::from_shape_fn((3, 1, 2), |(_, _, column)| [0.2, 0.6][column]);
/// let flat = colour_jitter(&image, ColourJitter { contrast: 0.5, ..ColourJitter::NONE });
/// assert!((flat[[0, 0, 0]] - 0.3).abs() < 1e-6 && (flat[[0, 0, 1]] - 0.5).abs() < 1e-6);
/// ```
///
/// # Panics
/// Where the image has not three channels.
#[track_caller]
pub fn colour_jitter(image: &Array3<f32>, jitter: ColourJitter) -> Array3<f32> {
    // f x + (1 - f) y and not y + f (x - y): a factor of 1 gives back x to the last bit.
    let blend =
        |value: f32, towards: f32, factor: f32| (factor * value + (1.0 - factor) * towards).clamp(0.0, 1.0);
    let mut output = image.mapv(|value| blend(value, 0.0, jitter.brightness));
    let grey = luma(&output);
    let mean = grey.iter().map(|&value| f64::from(value)).sum::<f64>() / grey.len().max(1) as f64;
    output.mapv_inplace(|value| blend(value, mean as f32, jitter.contrast));
    let grey = luma(&output);
    for mut channel in output.outer_iter_mut() {
        channel.zip_mut_with(&grey, |value, &grey| *value = blend(*value, grey, jitter.saturation));
    }
    output
}
