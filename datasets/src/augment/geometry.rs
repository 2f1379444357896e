//! Mirror images and rescaled crops.

use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis, s};

use crate::classes::ClassList;
use crate::resize::{resize_image, resize_labels};
use crate::sample::{BoundingBox, Object, Sample};

/// What stands outside of the picture where a crop reaches beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Padding {
    /// The colour; the mean of the training images becomes zero after normalisation.
    pub colour: [f32; 3],
    /// The label, the ignore id.
    pub label: u8,
}

impl Padding {
    /// Middle grey with the ignore id of a class list.
    pub fn grey(classes: &ClassList) -> Self {
        Self { colour: [0.5; 3], label: classes.ignore() }
    }
}

/// A rescaling and the part of the result to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleCrop {
    /// (height, width) of the whole picture after scaling.
    pub scaled: (usize, usize),
    /// (top, left) of the part in the scaled picture; negative values and parts beyond the picture are padded.
    pub offset: (isize, isize),
    /// (height, width) of the part.
    pub size: (usize, usize),
}

impl ScaleCrop {
    /// (height, width) times a factor, rounded, at least one pixel.
    ///
    /// ```
    /// use termwise_datasets::augment::ScaleCrop;
    /// assert_eq!(ScaleCrop::scaled_size((90, 121), 0.5), (45, 61));
    /// ```
    pub fn scaled_size((height, width): (usize, usize), factor: f32) -> (usize, usize) {
        let side = |pixels: usize| ((pixels as f64 * f64::from(factor)).round() as usize).max(1);
        (side(height), side(width))
    }
}

/// The mirror image: column c becomes column W - 1 - c.
///
/// # Panics
/// Where image, labels and masks of the sample differ in size.
///
/// # Examples
/// ```
/// use ndarray::{Array3, array};
/// use termwise_datasets::{BoundingBox, Object, Sample, augment::flip_horizontal};
/// let bounds = BoundingBox { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 };
/// let objects = vec![Object { class: 1, bounds, mask: None }];
/// let sample = Sample { name: String::new(), image: Array3::zeros((3, 1, 4)), labels: array![[1, 2, 3, 4]], objects };
/// let flipped = flip_horizontal(&sample);
/// assert_eq!(flipped.labels, array![[4, 3, 2, 1]]);
/// assert_eq!(flipped.objects[0].bounds, BoundingBox { x0: 3.0, x1: 4.0, ..bounds });
/// ```
#[track_caller]
pub fn flip_horizontal(sample: &Sample) -> Sample {
    sample.check();
    let (_, width) = sample.size();
    let objects = sample.objects.iter().map(|object| Object {
        class: object.class,
        bounds: mirrored(object.bounds, width),
        mask: object.mask.as_ref().map(flip_map),
    });
    Sample {
        name: sample.name.clone(),
        image: flip_image(&sample.image),
        labels: flip_map(&sample.labels),
        objects: objects.collect(),
    }
}

pub(super) fn flip_image(image: &Array3<f32>) -> Array3<f32> {
    image.slice(s![.., .., ..;-1]).as_standard_layout().into_owned()
}

pub(super) fn flip_map<T: Copy>(map: &Array2<T>) -> Array2<T> {
    map.slice(s![.., ..;-1]).as_standard_layout().into_owned()
}

pub(super) fn mirrored(bounds: BoundingBox, width: usize) -> BoundingBox {
    BoundingBox { x0: width as f32 - bounds.x1, x1: width as f32 - bounds.x0, ..bounds }
}

/// Scales a sample (see [`resize`](crate::resize) for the conventions) and cuts out a part.
///
/// Boxes move along and are clipped to the part; where a mask is known, the new box is that around the new mask.
/// Objects of which nothing is left are dropped.
///
/// # Panics
/// Where a size is zero, or where image, labels and masks of the sample differ in size.
///
/// # Examples
/// ```
/// use ndarray::{Array3, array};
/// use termwise_datasets::augment::{Padding, ScaleCrop, scale_crop};
/// use termwise_datasets::{BoundingBox, Object, Sample};
/// let bounds = BoundingBox { x0: 0.0, y0: 0.0, x1: 2.0, y1: 1.0 };
/// let objects = vec![Object { class: 1, bounds, mask: None }];
/// let labels = array![[1, 2], [3, 4]];
/// let sample = Sample { name: String::new(), image: Array3::zeros((3, 2, 2)), labels, objects };
/// // Twice as large, and of that a part which starts at column 3 and reaches beyond the right side.
/// let parameters = ScaleCrop { scaled: (4, 4), offset: (0, 3), size: (3, 2) };
/// let part = scale_crop(&sample, parameters, Padding { colour: [0.5; 3], label: 255 });
/// assert_eq!(part.labels, array![[2, 255], [2, 255], [4, 255]]);
/// assert_eq!(part.image[[0, 0, 1]], 0.5);
/// // The box, 0 to 4 by 0 to 2 after scaling, keeps its last column.
/// assert_eq!(part.objects[0].bounds, BoundingBox { x0: 0.0, y0: 0.0, x1: 1.0, y1: 2.0 });
/// ```
#[track_caller]
pub fn scale_crop(sample: &Sample, parameters: ScaleCrop, padding: Padding) -> Sample {
    sample.check();
    let ScaleCrop { size, .. } = parameters;
    let image = crop_image(&sample.image, parameters, padding.colour);
    let objects = sample.objects.iter().filter_map(|object| {
        let mask = object.mask.as_ref().map(|mask| crop_labels(mask, parameters, false));
        let bounds = match &mask {
            Some(mask) => BoundingBox::around(mask),
            None => moved(object.bounds, sample.size(), parameters).clipped(size),
        };
        Some(Object { class: object.class, bounds: bounds?, mask })
    });
    Sample {
        name: sample.name.clone(),
        image,
        labels: crop_labels(&sample.labels, parameters, padding.label),
        objects: objects.collect(),
    }
}

/// An image scaled and cut, with a colour outside of the picture.
#[track_caller]
pub(super) fn crop_image(image: &Array3<f32>, parameters: ScaleCrop, colour: [f32; 3]) -> Array3<f32> {
    let ScaleCrop { scaled, size, .. } = parameters;
    assert!(size.0 > 0 && size.1 > 0, "scale_crop: the part must have pixels, is {size:?}");
    let (_, height, width) = image.dim();
    let resized = (scaled != (height, width)).then(|| resize_image(image, scaled));
    let image = resized.as_ref().unwrap_or(image);
    let mut part = Array3::from_shape_fn((3, size.0, size.1), |(channel, _, _)| colour[channel]);
    for (mut part, channel) in part.axis_iter_mut(Axis(0)).zip(image.axis_iter(Axis(0))) {
        if let Some(overlap) = Overlap::of(parameters) {
            overlap.copy(&channel, &mut part);
        }
    }
    part
}

#[track_caller]
pub(super) fn crop_labels<T: Copy>(labels: &Array2<T>, parameters: ScaleCrop, outside: T) -> Array2<T> {
    let scaled = resize_labels(labels, parameters.scaled);
    let mut part = Array2::from_elem(parameters.size, outside);
    if let Some(overlap) = Overlap::of(parameters) {
        overlap.copy(&scaled.view(), &mut part.view_mut());
    }
    part
}

/// A box in the plane of the part, not clipped.
pub(super) fn moved(bounds: BoundingBox, old: (usize, usize), parameters: ScaleCrop) -> BoundingBox {
    let ScaleCrop { scaled, offset, .. } = parameters;
    let x = |x: f32| x * scaled.1 as f32 / old.1 as f32 - offset.1 as f32;
    let y = |y: f32| y * scaled.0 as f32 / old.0 as f32 - offset.0 as f32;
    BoundingBox { x0: x(bounds.x0), y0: y(bounds.y0), x1: x(bounds.x1), y1: y(bounds.y1) }
}

/// The rows and columns that the scaled picture and the part share.
struct Overlap {
    source: [Range<usize>; 2],
    target: [Range<usize>; 2],
}

impl Overlap {
    fn of(parameters: ScaleCrop) -> Option<Self> {
        let axis = |scaled: usize, offset: isize, size: usize| {
            let start = offset.max(0) as usize;
            let end = scaled.min(usize::try_from(offset.saturating_add_unsigned(size)).unwrap_or(0));
            let shift = (-offset).max(0) as usize; // the padding before the picture
            (end > start).then(|| (start..end, shift..shift + end - start))
        };
        let ScaleCrop { scaled, offset, size } = parameters;
        let (rows, columns) = (axis(scaled.0, offset.0, size.0)?, axis(scaled.1, offset.1, size.1)?);
        Some(Self { source: [rows.0, columns.0], target: [rows.1, columns.1] })
    }

    /// Copies the shared pixels.
    fn copy<T: Copy>(&self, picture: &ArrayView2<T>, part: &mut ArrayViewMut2<T>) {
        let [from_rows, from_columns] = self.source.clone();
        let [to_rows, to_columns] = self.target.clone();
        part.slice_mut(s![to_rows, to_columns]).assign(&picture.slice(s![from_rows, from_columns]));
    }
}
