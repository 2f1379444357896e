//! The same steps for pictures with boxes.

use super::geometry::{ScaleCrop, crop_image, crop_labels, flip_image, flip_map, mirrored, moved};
use crate::detection::{DetectionObject, DetectionSample};
use crate::sample::BoundingBox;

/// The mirror image: column c becomes column W - 1 - c. Boxes and masks move along, areas stay; as
/// [`flip_horizontal`](super::flip_horizontal) for a [`Sample`](crate::Sample).
///
/// # Panics
/// Where the image has not three channels, or a mask another size.
#[track_caller]
pub fn flip_detection(sample: &DetectionSample) -> DetectionSample {
    sample.check();
    let (_, width) = sample.size();
    let objects = sample.objects.iter().map(|object| DetectionObject {
        bounds: mirrored(object.bounds, width),
        mask: object.mask.as_ref().map(flip_map),
        ..*object
    });
    DetectionSample {
        image_id: sample.image_id,
        name: sample.name.clone(),
        image: flip_image(&sample.image),
        objects: objects.collect(),
    }
}

/// Scales a picture with boxes (see [`resize`](crate::resize) for the conventions) and cuts out a part.
///
/// Boxes move along and are clipped to the part; where a mask is known, the new box is that around the new mask.
/// Objects of which nothing is left, or less than `min_visible` of the area of the box, are dropped. The area of an
/// object is counted anew where there is a mask, else it changes as that of its box.
///
/// # Panics
/// Where a size is zero, where image and masks differ in size, or where `min_visible` is not in [0, 1].
///
/// # Examples
/// ```
/// use ndarray::Array3;
/// use termwise_datasets::BoundingBox;
/// use termwise_datasets::augment::{ScaleCrop, scale_crop_detection};
/// use termwise_datasets::detection::{DetectionObject, DetectionSample};
/// let bounds = BoundingBox { x0: 0.0, y0: 0.0, x1: 10.0, y1: 10.0 };
/// let object = DetectionObject { class: 0, bounds, area: 80.0, crowd: false, difficult: false, mask: None };
/// let image = Array3::zeros((3, 10, 10));
/// let sample = DetectionSample { image_id: 5, name: String::new(), image, objects: vec![object] };
/// // The four columns at the right: 40 of 100 square pixels of the box.
/// let parameters = ScaleCrop { scaled: (10, 10), offset: (0, 6), size: (10, 4) };
/// let part = scale_crop_detection(&sample, parameters, [0.5; 3], 0.25);
/// assert_eq!(part.objects[0].bounds, BoundingBox { x1: 4.0, ..bounds });
/// assert_eq!(part.objects[0].area, 32.0); // 80 times 40 / 100
/// assert!(scale_crop_detection(&sample, parameters, [0.5; 3], 0.5).objects.is_empty());
/// ```
#[track_caller]
pub fn scale_crop_detection(
    sample: &DetectionSample,
    parameters: ScaleCrop,
    colour: [f32; 3],
    min_visible: f32,
) -> DetectionSample {
    sample.check();
    assert!((0.0..=1.0).contains(&min_visible), "scale_crop: min_visible is a part, not {min_visible}");
    let image = crop_image(&sample.image, parameters, colour);
    let objects = sample.objects.iter().filter_map(|object| {
        let mask = object.mask.as_ref().map(|mask| crop_labels(mask, parameters, false));
        let whole = moved(object.bounds, sample.size(), parameters);
        let clipped = whole.clipped(parameters.size)?;
        if clipped.area() < min_visible * whole.area() {
            return None;
        }
        let (bounds, area) = match &mask {
            Some(mask) => (BoundingBox::around(mask)?, mask.iter().filter(|inside| **inside).count() as f32),
            None => (clipped, object.area * clipped.area() / object.bounds.area()),
        };
        Some(DetectionObject { bounds, area, mask, ..*object })
    });
    DetectionSample {
        image_id: sample.image_id,
        name: sample.name.clone(),
        objects: objects.collect(),
        image,
    }
}
