//! Pictures for people: label maps in colour, panels side by side, written as PNG files whole or not at all.
//!
//! A [`Picture`] is (H, W, 3) bytes. A comparison of a segmentation, image | truth | prediction:
//!
//! ```
//! use ndarray::{Array2, Array3};
//! use termwise_datasets::png_out;
//! let folder = tempfile::tempdir()?;
//! let image = Array3::from_elem((3, 8, 10), 0.5);
//! let truth = Array2::from_elem((8, 10), 1);
//! let prediction = Array2::from_elem((8, 10), 2);
//! let row = png_out::comparison(&image, &truth, &prediction, 255);
//! assert_eq!(row.dim(), (8, 3 * 10 + 2 * png_out::GAP, 3));
//! assert_eq!(row[[0, 12, 0]], png_out::class_colour(1)[0]);
//! png_out::write_picture(&folder.path().join("comparison.png"), &row)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use ndarray::{Array2, Array3, s};
use png::{BitDepth, ColorType, Encoder};

use crate::error::DataError;
use crate::files::write_atomically;
use crate::sample::BoundingBox;

/// Red, green, blue bytes of each pixel, (H, W, 3).
pub type Picture = Array3<u8>;

/// The pixels between two panels.
pub const GAP: usize = 2;

/// The colour between two panels.
const GAP_COLOUR: [u8; 3] = [255; 3];

/// The colour of pixels with the ignore id.
pub const IGNORE_COLOUR: [u8; 3] = [0; 3];

/// Twelve colours of which each two, and each and black, are at least 23 apart in CIE L*a*b*, to full colour vision and
/// to simulated protanopia and deuteranopia alike. Found by a greedy search over a grid of colours that maximises the
/// smallest of these distances; the first colour, a light grey, suits a background.
const PALETTE: [[u8; 3]; 12] = [
    [222, 222, 222],
    [84, 0, 255],
    [255, 222, 0],
    [84, 84, 0],
    [153, 51, 120],
    [255, 186, 120],
    [186, 186, 255],
    [0, 153, 255],
    [222, 84, 120],
    [222, 120, 0],
    [153, 0, 153],
    [0, 84, 222],
];

/// The colour of a class. From the thirteenth class on, the colours come again at two thirds of their brightness, and
/// so on: more than twelve classes cannot all be told apart.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_datasets::png_out::{class_colour, colour_labels};
/// assert_eq!((class_colour(0), class_colour(2)), ([222, 222, 222], [255, 222, 0]));
/// assert_eq!((class_colour(12), class_colour(14)), ([148, 148, 148], [170, 148, 0])); // two thirds of these
/// let picture = colour_labels(&array![[2, 255]], 255); // (1, 2, 3)
/// assert_eq!(picture, array![[[255, 222, 0], [0, 0, 0]]]);
/// ```
pub fn class_colour(id: u8) -> [u8; 3] {
    let round = usize::from(id) / PALETTE.len();
    PALETTE[usize::from(id) % PALETTE.len()]
        .map(|value| (f32::from(value) * (2.0f32 / 3.0).powi(round as i32)) as u8)
}

/// A label map in colour; the ignore id is black.
pub fn colour_labels(labels: &Array2<u8>, ignore: u8) -> Picture {
    let (height, width) = labels.dim();
    Array3::from_shape_fn((height, width, 3), |(row, column, channel)| {
        let id = labels[[row, column]];
        if id == ignore { IGNORE_COLOUR[channel] } else { class_colour(id)[channel] }
    })
}

/// An image (3, H, W) as bytes; values outside of [0, 1] are clipped, and NaN is 0.
///
/// # Panics
/// Where the image has not three channels.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_datasets::png_out::image_to_picture;
/// let image = array![[[0.0, 0.5]], [[0.2, -1.0]], [[1.0, 7.0]]]; // (3, 1, 2)
/// assert_eq!(image_to_picture(&image), array![[[0, 51, 255], [128, 0, 255]]]); // (1, 2, 3)
/// ```
#[track_caller]
pub fn image_to_picture(image: &Array3<f32>) -> Picture {
    let (channels, height, width) = image.dim();
    assert!(channels == 3, "image_to_picture: expected (3, H, W), found {:?}", image.dim());
    Array3::from_shape_fn((height, width, 3), |(row, column, channel)| {
        (image[[channel, row, column]] * 255.0).round() as u8 // `as` clips
    })
}

/// Pictures of one height in a row, [`GAP`] white pixels between them.
///
/// # Panics
/// Where there is none, or where their heights differ.
///
/// # Examples
/// ```
/// use termwise_datasets::png_out::{GAP, side_by_side};
/// let black = |width| ndarray::Array3::<u8>::zeros((4, width, 3));
/// let row = side_by_side(&[black(5), black(6)]);
/// assert_eq!(row.dim(), (4, 11 + GAP, 3));
/// assert_eq!([4, 5, 5 + GAP].map(|column| row[[3, column, 0]]), [0, 255, 0]); // black, the gap, black
/// ```
#[track_caller]
pub fn side_by_side(pictures: &[Picture]) -> Picture {
    let heights: Vec<usize> = pictures.iter().map(|picture| picture.dim().0).collect();
    assert!(
        heights.first().is_some_and(|first| heights.iter().all(|height| height == first)),
        "side_by_side: expected pictures of one height, found heights {heights:?}"
    );
    let width = pictures.iter().map(|picture| picture.dim().1).sum::<usize>() + GAP * (pictures.len() - 1);
    let mut row = blank(heights[0], width);
    let mut left = 0;
    for picture in pictures {
        let right = left + picture.dim().1;
        row.slice_mut(s![.., left..right, ..]).assign(picture);
        left = right + GAP;
    }
    row
}

/// Pictures one below the other, [`GAP`] white pixels between them, narrower ones filled up with white at their right.
///
/// # Panics
/// Where there is none.
///
/// # Examples
/// ```
/// use ndarray::Array3;
/// use termwise_datasets::png_out::{GAP, enlarged, stacked};
/// let black = |width| Array3::<u8>::zeros((1, width, 3));
/// let sheet = stacked(&[enlarged(&black(2), 3), black(4)]);
/// assert_eq!(sheet.dim(), (3 + GAP + 1, 6, 3)); // 2 x 1 pixels are 6 x 3 now
/// let is_white = |row, column| sheet[[row, column, 0]] == 255;
/// assert!(!is_white(2, 5) && is_white(3, 0) && !is_white(5, 3) && is_white(5, 4)); // below, and at its right
/// ```
#[track_caller]
pub fn stacked(pictures: &[Picture]) -> Picture {
    assert!(!pictures.is_empty(), "stacked: expected at least one picture, found none");
    let width = pictures.iter().map(|picture| picture.dim().1).max().unwrap_or(0);
    let height = pictures.iter().map(|picture| picture.dim().0).sum::<usize>() + GAP * (pictures.len() - 1);
    let mut sheet = blank(height, width);
    let mut top = 0;
    for picture in pictures {
        let (rows, columns, _) = picture.dim();
        sheet.slice_mut(s![top..top + rows, ..columns, ..]).assign(picture);
        top += rows + GAP;
    }
    sheet
}

/// image | truth | prediction. Predictions at pixels that the truth ignores are shown as they are.
///
/// # Panics
/// Where the sizes differ.
#[track_caller]
pub fn comparison(image: &Array3<f32>, truth: &Array2<u8>, prediction: &Array2<u8>, ignore: u8) -> Picture {
    let (_, height, width) = image.dim();
    assert!(
        truth.dim() == (height, width) && prediction.dim() == (height, width),
        "comparison: image {:?}, truth {:?} and prediction {:?} must have one size",
        image.dim(),
        truth.dim(),
        prediction.dim()
    );
    side_by_side(&[image_to_picture(image), colour_labels(truth, ignore), colour_labels(prediction, ignore)])
}

/// Draws the outline of a box, so many pixels thick: the outermost pixels that the box touches. What lies outside of the
/// picture is left out.
///
/// ```
/// use ndarray::Array3;
/// use termwise_datasets::{BoundingBox, png_out::draw_box};
/// let mut picture = Array3::zeros((5, 6, 3));
/// draw_box(&mut picture, BoundingBox { x0: 1.0, y0: 0.5, x1: 4.0, y1: 3.0 }, [255; 3], 1);
/// let row = |row: usize| (0..6).map(|column| u8::from(picture[[row, column, 0]] > 0)).collect::<Vec<_>>();
/// assert_eq!([row(0), row(1), row(2), row(3)].concat(), [0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
/// ```
pub fn draw_box(picture: &mut Picture, bounds: BoundingBox, colour: [u8; 3], thickness: usize) {
    let (height, width, _) = picture.dim();
    let Some(bounds) = bounds.clipped((height, width)) else { return };
    let (left, right) = (bounds.x0 as usize, (bounds.x1.ceil() as usize).saturating_sub(1).min(width - 1));
    let (top, bottom) = (bounds.y0 as usize, (bounds.y1.ceil() as usize).saturating_sub(1).min(height - 1));
    for row in top..=bottom {
        for column in left..=right {
            let inside = (row - top).min(bottom - row).min(column - left).min(right - column);
            if inside < thickness {
                (0..3).for_each(|channel| picture[[row, column, channel]] = colour[channel]);
            }
        }
    }
}

/// Every pixel as a square of `factor` by `factor` pixels.
///
/// # Panics
/// Where the factor is zero.
#[track_caller]
pub fn enlarged(picture: &Picture, factor: usize) -> Picture {
    assert!(factor > 0, "enlarged: the factor must be positive");
    let (height, width, _) = picture.dim();
    Array3::from_shape_fn((height * factor, width * factor, 3), |(row, column, channel)| {
        picture[[row / factor, column / factor, channel]]
    })
}

/// Writes a picture as an 8-bit RGB PNG file, under a temporary name in the same folder that is then renamed.
///
/// # Errors
/// [`DataError::Unwritable`]; nothing half-written is left.
///
/// # Panics
/// Where the picture is empty or has not three channels.
#[track_caller]
pub fn write_picture(path: &Path, picture: &Picture) -> Result<(), DataError> {
    let (height, width, channels) = picture.dim();
    assert!(
        height > 0 && width > 0 && channels == 3,
        "write_picture: expected (H, W, 3), found {:?}",
        picture.dim()
    );
    let pixels: Vec<u8> = picture.iter().copied().collect(); // in logical order, whatever the strides
    write_atomically(path, &encode(height, width, ColorType::Rgb, &pixels))
}

/// Writes a label map as an 8-bit greyscale PNG file, pixel = class id: the form that
/// [`segmentation`](crate::segmentation) reads.
///
/// # Errors
/// [`DataError::Unwritable`]; nothing half-written is left.
///
/// # Panics
/// Where the map is empty.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use termwise_datasets::{picture_of_bytes, png_out::write_labels};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("labels.png");
/// write_labels(&path, &array![[0, 2], [11, 255]])?;
/// let grey = picture_of_bytes(&path, &std::fs::read(&path)?, 100)?; // (3, 2, 2), in [0, 1]
/// assert_eq!((grey * 255.0).mapv(f32::round).outer_iter().next().unwrap(), array![[0.0, 2.0], [11.0, 255.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn write_labels(path: &Path, labels: &Array2<u8>) -> Result<(), DataError> {
    let (height, width) = labels.dim();
    assert!(height > 0 && width > 0, "write_labels: expected (H, W), found {:?}", labels.dim());
    let pixels: Vec<u8> = labels.iter().copied().collect();
    write_atomically(path, &encode(height, width, ColorType::Grayscale, &pixels))
}

fn blank(height: usize, width: usize) -> Picture {
    Array3::from_shape_fn((height, width, 3), |(_, _, channel)| GAP_COLOUR[channel])
}

/// A PNG file in memory.
fn encode(height: usize, width: usize, color: ColorType, pixels: &[u8]) -> Vec<u8> {
    let side = |pixels: usize| u32::try_from(pixels).expect("a picture side fits into 32 bits");
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width), side(height));
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    // Writing into memory fails only for sizes that the callers have excluded.
    let mut writer = encoder.write_header().expect("a PNG header of a checked size");
    writer.write_image_data(pixels).expect("as many bytes as the header says");
    writer.finish().expect("a PNG end chunk");
    bytes
}

#[cfg(test)]
mod tests;
