use ndarray::{Array2, Array3, Axis, array, s};
use proptest::prelude::*;

use super::*;
use crate::resize::resize_labels;
use crate::sample::{BoundingBox, Object};
use crate::scenes::{SceneOptions, Scenes};
use crate::seed::Split;

const GREY: Padding = Padding { colour: [0.5; 3], label: 255 };

/// A sample whose image shows its labels: every channel is label / 255. One rectangle of 200 on a ground of 40, with
/// its object: once with a mask, once as a box only.
fn rectangle((height, width): (usize, usize), (top, left): (usize, usize), size: (usize, usize)) -> Sample {
    let mask = Array2::from_shape_fn((height, width), |(row, column)| {
        (top..top + size.0).contains(&row) && (left..left + size.1).contains(&column)
    });
    let labels = mask.mapv(|inside| if inside { 200 } else { 40 });
    let image = Array3::from_shape_fn((3, height, width), |(_, row, column)| {
        f32::from(labels[[row, column]]) / 255.0
    });
    let bounds = BoundingBox::around(&mask).unwrap();
    let objects =
        vec![Object { class: 200, bounds, mask: Some(mask) }, Object { class: 200, bounds, mask: None }];
    Sample { name: "rectangle".to_owned(), image, labels, objects }
}

fn any_rectangle() -> impl Strategy<Value = Sample> {
    (9usize..25, 9usize..25).prop_flat_map(|(height, width)| {
        (0..height - 6, 0..width - 6).prop_flat_map(move |(top, left)| {
            (4..=height - top - 1, 4..=width - left - 1)
                .prop_map(move |size| rectangle((height, width), (top, left), size))
        })
    })
}

proptest! {
    #[test]
    fn two_flips_are_none(index in 0u64..1000) {
        let options = SceneOptions { height: 20, width: 27, ..SceneOptions::default() };
        let sample = Scenes::new(options, 5).sample(Split::Train, index);
        let once = flip_horizontal(&sample);
        prop_assert_eq!(once.image.slice(s![.., .., 0]), sample.image.slice(s![.., .., 26]));
        for object in &once.objects {
            prop_assert_eq!(Some(object.bounds), BoundingBox::around(object.mask.as_ref().unwrap()));
        }
        prop_assert_eq!(flip_horizontal(&once), sample);
    }

    /// A pixel whose surroundings have one label lies inside one region, and the image must show exactly the colour of
    /// that label. Surroundings: half a source pixel, the reach of the interpolation, and one pixel more. No region is
    /// so narrow that a label map could miss it.
    #[test]
    fn labels_stay_on_the_image(
        sample in any_rectangle(),
        scaled in (8usize..50, 8usize..50),
        offset in (-12isize..40, -12isize..40),
        size in (3usize..40, 3usize..40),
    ) {
        let padding = Padding { colour: [1.0; 3], label: 255 };
        let result = scale_crop(&sample, ScaleCrop { scaled, offset, size }, padding);
        prop_assert_eq!(result.size(), size);
        let old = sample.size();
        let reach = (scaled.0.div_ceil(2 * old.0) + 1, scaled.1.div_ceil(2 * old.1) + 1);
        for row in reach.0..size.0.saturating_sub(reach.0) {
            for column in reach.1..size.1.saturating_sub(reach.1) {
                let label = result.labels[[row, column]];
                let (rows, columns) = (row - reach.0..=row + reach.0, column - reach.1..=column + reach.1);
                if result.labels.slice(s![rows, columns]).iter().all(|other| *other == label) {
                    for value in result.image.slice(s![.., row, column]) {
                        prop_assert!((value - f32::from(label) / 255.0).abs() < 1e-5, "{} at {row}, {column}", value);
                    }
                }
            }
        }
        // The padding is exactly what lies outside of the scaled picture.
        for ((row, column), &label) in result.labels.indexed_iter() {
            let inside = |index: usize, offset: isize, scaled: usize| {
                (0..scaled as isize).contains(&(index as isize + offset))
            };
            let inside = inside(row, offset.0, scaled.0) && inside(column, offset.1, scaled.1);
            prop_assert_eq!(label != 255, inside);
            if !inside {
                prop_assert_eq!(result.image.slice(s![.., row, column]), array![1.0, 1.0, 1.0]);
            }
        }
        // The mask is the label region, its box the extent; the box without a mask moves to within a pixel of it.
        let region = result.labels.mapv(|label| label == 200);
        let masked = result.objects.iter().find(|object| object.mask.is_some());
        prop_assert_eq!(masked.map(|object| object.mask.as_ref().unwrap()), BoundingBox::around(&region).map(|_| &region));
        prop_assert_eq!(masked.map(|object| object.bounds), BoundingBox::around(&region));
        if let (Some(masked), Some(boxed)) = (masked, result.objects.iter().find(|object| object.mask.is_none())) {
            let (a, b) = (masked.bounds, boxed.bounds);
            for (a, b) in [(a.x0, b.x0), (a.y0, b.y0), (a.x1, b.x1), (a.y1, b.y1)] {
                prop_assert!((a - b).abs() <= 0.5 + 1e-3, "{} {}", a, b);
            }
        }
    }

    #[test]
    fn the_whole_picture_at_its_scale_is_unchanged(sample in any_rectangle()) {
        let size = sample.size();
        let whole = ScaleCrop { scaled: size, offset: (0, 0), size };
        prop_assert_eq!(&scale_crop(&sample, whole, GREY), &sample);
        prop_assert_eq!(&colour_jitter(&sample.image, ColourJitter::NONE), &sample.image);
    }

    #[test]
    fn colours_stay_in_range(b in 0.0f32..2.0, c in 0.0f32..2.0, s in 0.0f32..2.0, index in 0u64..50) {
        let options = SceneOptions { height: 16, width: 16, ..SceneOptions::default() };
        let sample = Scenes::new(options, 5).sample(Split::Train, index);
        let jitter = ColourJitter { brightness: b, contrast: c, saturation: s };
        let image = colour_jitter(&sample.image, jitter);
        prop_assert!(image.iter().all(|value| (0.0..=1.0).contains(value)));
    }
}

#[test]
fn objects_that_leave_the_picture_are_dropped() {
    let sample = rectangle((20, 20), (2, 2), (4, 4));
    let crop = |offset| ScaleCrop { scaled: (20, 20), offset, size: (8, 8) };
    assert_eq!(scale_crop(&sample, crop((10, 10)), GREY).objects, []);
    let part = scale_crop(&sample, crop((4, 3)), GREY);
    let expected = BoundingBox { x0: 0.0, y0: 0.0, x1: 3.0, y1: 2.0 };
    assert_eq!(part.objects.iter().map(|object| object.bounds).collect::<Vec<_>>(), [expected; 2]);
    // A crop entirely beside the picture is padding.
    let beside = scale_crop(&sample, crop((-50, 90)), GREY);
    assert!(beside.labels.iter().all(|label| *label == 255) && beside.objects.is_empty());
}

#[test]
fn contrast_is_about_the_mean_luma_and_saturation_about_each_luma() {
    let mut image = Array3::from_elem((3, 1, 2), 0.2);
    image.index_axis_mut(Axis(2), 1).fill(0.6);
    let image_with =
        |contrast, saturation| colour_jitter(&image, ColourJitter { brightness: 1.0, contrast, saturation });
    for (value, expected) in image_with(0.5, 1.0).iter().zip([0.3, 0.5].repeat(3)) {
        assert!((value - expected).abs() < 1e-6, "{value} {expected}");
    }
    // Grey stays grey under any saturation.
    for (value, expected) in image_with(1.0, 2.0).iter().zip(&image) {
        assert!((value - expected).abs() < 1e-6, "{value} {expected}");
    }
}

#[test]
fn draws_depend_on_every_counter_and_cover_their_ranges() {
    let options = AugmentOptions { crop: Some((30, 30)), ..AugmentOptions::new(GREY) };
    let draw = |seed, epoch, index| options.sample((30, 40), seed, epoch, index);
    assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
    for other in [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4)] {
        assert_ne!(draw(1, 2, 3), other);
    }
    let draws: Vec<Augmentation> = (0..4000).map(|index| draw(0, 0, index)).collect();
    let flips = draws.iter().filter(|draw| draw.flip).count();
    assert!((1850..2150).contains(&flips), "{flips}"); // 4.7 standard deviations
    let mut seen_padding = (false, false);
    for draw in &draws {
        let ScaleCrop { scaled, offset, size } = draw.scale_crop;
        assert!((22..=45).contains(&scaled.0) && (30..=60).contains(&scaled.1), "{scaled:?}");
        for (scaled, offset, size) in [(scaled.0, offset.0, size.0), (scaled.1, offset.1, size.1)] {
            let room = scaled as isize - size as isize;
            assert!((room.min(0)..=room.max(0)).contains(&offset), "{scaled} {offset} {size}");
            seen_padding.0 |= offset < 0;
            seen_padding.1 |= offset == room && room > 0;
        }
        for factor in [draw.jitter.brightness, draw.jitter.contrast, draw.jitter.saturation] {
            assert!((0.8..=1.2).contains(&factor), "{factor}");
        }
    }
    assert_eq!(seen_padding, (true, true));
    // Uniform on a logarithmic axis: the median of the scale is the geometric mean of the range.
    let middle = (0.75f32 * 1.5).sqrt() * 40.0;
    let below = draws.iter().filter(|draw| (draw.scale_crop.scaled.1 as f32) < middle).count();
    assert!((1850..2150).contains(&below), "{below}");
}

#[test]
fn apply_is_flip_then_colour_then_crop() {
    let sample = rectangle((12, 16), (3, 1), (5, 6));
    let augmentation = Augmentation {
        flip: true,
        jitter: ColourJitter { brightness: 0.5, ..ColourJitter::NONE },
        scale_crop: ScaleCrop { scaled: (24, 32), offset: (-2, 0), size: (20, 20) },
        padding: Padding { colour: [0.9, 0.8, 0.7], label: 9 },
    };
    let result = augmentation.apply(&sample);
    assert_eq!(result.image.slice(s![.., 0, 0]), array![0.9, 0.8, 0.7]); // not darkened
    assert_eq!(result.labels[[1, 19]], 9);
    let mut expected = Array2::from_elem((20, 20), 9);
    let mirrored = flip_horizontal(&sample).labels;
    expected.slice_mut(s![2.., ..]).assign(&resize_labels(&mirrored, (24, 32)).slice(s![..18, ..20]));
    assert_eq!(result.labels, expected);
    assert!((result.image[[0, 2, 0]] - 0.5 * 40.0 / 255.0).abs() < 1e-6);
}

#[test]
#[should_panic(expected = "augment: the scale is a range of positive factors, not 0..=1")]
fn a_scale_of_zero_is_refused() {
    let _ = AugmentOptions { scale: 0.0..=1.0, ..AugmentOptions::new(GREY) }.sample((4, 4), 0, 0, 0);
}
