//! Resizing of images and label maps.
//!
//! Both take pixel i of an axis as the interval [i, i+1), and stretch the plane so that the borders of source and
//! result coincide: result pixel i of n covers [i s, (i+1) s) of the source's m pixels, s = m / n.
//!
//! - **Images**, each axis on its own: where the axis shrinks, a result pixel is the *area average* of what it covers
//!   (part pixels count in part), so that no detail aliases; where the axis grows, it is the *linear interpolation* at
//!   its centre (i + 1/2) s - 1/2 between pixel centres, the border pixels repeated outwards.
//! - **Labels**: the *nearest* source pixel, the one that contains the centre (i + 1/2) s. Where the centre falls
//!   on the border of two pixels (an even reduction) it is the right or lower one. Ids are never mixed.

use ndarray::{Array2, Array3, Axis};

/// Resizes an image (C, H, W) to (C, height, width) by area averaging or linear interpolation.
///
/// ```
/// use ndarray::array;
/// use termwise_datasets::resize::resize_image;
/// let image = array![[[0.0, 1.0, 0.5, 0.5]]]; // (1, 1, 4)
/// assert_eq!(resize_image(&image, (1, 2)), array![[[0.5, 0.5]]]);
/// assert_eq!(resize_image(&array![[[0.0, 1.0]]], (1, 4)), array![[[0.0, 0.25, 0.75, 1.0]]]);
/// ```
///
/// # Panics
/// Where the old or the new size is zero.
#[track_caller]
pub fn resize_image(image: &Array3<f32>, (height, width): (usize, usize)) -> Array3<f32> {
    let (_, old_height, old_width) = image.dim();
    check_sizes((old_height, old_width), (height, width));
    let rows = resize_axis(image, Axis(1), height);
    resize_axis(&rows, Axis(2), width)
}

/// Resizes a label map or a mask (H, W) to (height, width) by the nearest pixel.
///
/// ```
/// use ndarray::array;
/// use termwise_datasets::resize::resize_labels;
/// assert_eq!(resize_labels(&array![[3, 7]], (2, 4)), array![[3, 3, 7, 7], [3, 3, 7, 7]]);
/// assert_eq!(resize_labels(&array![[1, 2, 3, 4, 5, 6]], (1, 2)), array![[2, 5]]);
/// ```
///
/// # Panics
/// Where the old or the new size is zero.
#[track_caller]
pub fn resize_labels<T: Copy>(labels: &Array2<T>, (height, width): (usize, usize)) -> Array2<T> {
    let (old_height, old_width) = labels.dim();
    check_sizes((old_height, old_width), (height, width));
    Array2::from_shape_fn((height, width), |(row, column)| {
        labels[[nearest(row, height, old_height), nearest(column, width, old_width)]]
    })
}

#[track_caller]
fn check_sizes(old: (usize, usize), new: (usize, usize)) {
    assert!(
        old.0 > 0 && old.1 > 0 && new.0 > 0 && new.1 > 0,
        "resize: sizes must be positive: from (height, width) {old:?} to {new:?}"
    );
}

/// floor((i + 1/2) old / new), in whole numbers so that no rounding decides.
fn nearest(index: usize, new: usize, old: usize) -> usize {
    (2 * index + 1) * old / (2 * new)
}

/// Result pixel i = sum over k of weights[k] * source pixel (first + k).
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(index: usize, new: usize, old: usize) -> Taps {
    let scale = old as f64 / new as f64;
    if new < old {
        // Area: the overlap of each source pixel with [start, end), as a part of the whole.
        let (start, end) = (index as f64 * scale, (index as f64 + 1.0) * scale);
        // In whole numbers, so that rounding cannot add an empty pixel: floor(start), ceil(end).
        let (first, last) = (index * old / new, ((index + 1) * old).div_ceil(new));
        let overlap = |pixel: usize| (end.min(pixel as f64 + 1.0) - start.max(pixel as f64)).max(0.0) / scale;
        Taps { first, weights: (first..last).map(|pixel| overlap(pixel) as f32).collect() }
    } else {
        let position = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, (old - 1) as f64);
        let first = position as usize;
        let fraction = (position - first as f64) as f32;
        if fraction == 0.0 {
            Taps { first, weights: vec![1.0] }
        } else {
            Taps { first, weights: vec![1.0 - fraction, fraction] }
        }
    }
}

fn resize_axis(image: &Array3<f32>, axis: Axis, new: usize) -> Array3<f32> {
    let old = image.len_of(axis);
    if old == new {
        return image.clone();
    }
    let mut shape = image.raw_dim();
    shape[axis.index()] = new;
    let mut output = Array3::zeros(shape);
    for (index, mut line) in output.axis_iter_mut(axis).enumerate() {
        let Taps { first, weights } = taps(index, new, old);
        for (offset, weight) in weights.into_iter().enumerate() {
            line.scaled_add(weight, &image.index_axis(axis, first + offset));
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn part_pixels_count_in_part() {
        // 3 -> 2: each result pixel covers one and a half.
        let image = array![[[0.0, 0.3, 0.9]]];
        let expected = [(0.0 + 0.15) / 1.5, (0.15 + 0.9) / 1.5];
        let result = resize_image(&image, (1, 2));
        for (result, expected) in result.iter().zip(expected) {
            assert!((result - expected).abs() < 1e-6, "{result} {expected}");
        }
    }

    proptest! {
        #[test]
        fn the_weights_of_a_pixel_are_a_partition(old in 1usize..300, new in 1usize..300) {
            let mut total = vec![0.0f64; old];
            for index in 0..new {
                let Taps { first, weights } = taps(index, new, old);
                let sum: f32 = weights.iter().sum();
                prop_assert!((sum - 1.0).abs() < 1e-5);
                for (offset, weight) in weights.iter().enumerate() {
                    prop_assert!(*weight >= 0.0);
                    total[first + offset] += f64::from(*weight); // in range: no panic
                }
            }
            // Averaging loses no pixel and prefers none.
            if new < old {
                let share = new as f64 / old as f64;
                prop_assert!(total.iter().all(|sum| (sum - share).abs() < 1e-5));
            }
        }

        #[test]
        fn growing_keeps_a_linear_ramp_linear(old in 2usize..60, more in 1usize..60) {
            let new = old + more;
            let ramp = Array3::from_shape_fn((1, old, 1), |(_, row, _)| row as f32 + 0.5);
            for (row, value) in resize_image(&ramp, (new, 1)).iter().enumerate() {
                let centre = (row as f32 + 0.5) * old as f32 / new as f32;
                let expected = centre.clamp(0.5, old as f32 - 0.5); // the border pixels are repeated
                prop_assert!((value - expected).abs() < 1e-4, "{} {}", value, expected);
            }
        }

        /// Against the difference of the running integral of the pixels, which has no taps at all.
        #[test]
        fn shrinking_is_the_mean_over_the_covered_interval(
            pixels in prop::collection::vec(0.0f32..1.0, 2..60),
            part in 0.0f64..1.0,
        ) {
            let old = pixels.len();
            let new = 1 + (part * (old - 1) as f64) as usize;
            let integral = |end: f64| -> f64 {
                let whole = end.floor() as usize;
                let rest = pixels.get(whole).map_or(0.0, |pixel| f64::from(*pixel) * (end - whole as f64));
                pixels[..whole].iter().map(|pixel| f64::from(*pixel)).sum::<f64>() + rest
            };
            let scale = old as f64 / new as f64;
            let image = Array3::from_shape_vec((1, 1, old), pixels.clone()).unwrap();
            for (index, value) in resize_image(&image, (1, new)).iter().enumerate() {
                let end = ((index + 1) as f64 * scale).min(old as f64);
                let expected = (integral(end) - integral(index as f64 * scale)) / scale;
                prop_assert!((f64::from(*value) - expected).abs() < 1e-5, "{} {}", value, expected);
            }
        }

        #[test]
        fn the_nearest_label_is_within_half_a_result_pixel(old in 1usize..300, new in 1usize..300) {
            for index in 0..new {
                let centre = (index as f64 + 0.5) * old as f64 / new as f64;
                let pixel = nearest(index, new, old);
                prop_assert!(pixel < old);
                prop_assert!((centre - (pixel as f64 + 0.5)).abs() <= 0.5 + 1e-9);
            }
        }
    }
}
