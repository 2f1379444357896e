use ndarray::{Array2, Array3, s};
use proptest::prelude::*;

use super::*;
use crate::detection::DetectionObject;
use crate::sample::BoundingBox;
use crate::scenes::{SceneOptions, Scenes};
use crate::seed::Split;

const GREY: [f32; 3] = [0.5; 3];

fn scenes() -> Scenes {
    Scenes::new(SceneOptions { height: 30, width: 41, ..SceneOptions::default() }, 3)
}

/// One object twice, as a mask and as a box only, on a picture that shows it.
fn rectangle((height, width): (usize, usize), bounds: [usize; 4]) -> DetectionSample {
    let [x0, y0, x1, y1] = bounds;
    let mask = Array2::from_shape_fn((height, width), |(row, column)| {
        (y0..y1).contains(&row) && (x0..x1).contains(&column)
    });
    let image = Array3::from_shape_fn(
        (3, height, width),
        |(_, row, column)| {
            if mask[[row, column]] { 1.0 } else { 0.0 }
        },
    );
    let bounds = BoundingBox::around(&mask).unwrap();
    let object =
        |mask| DetectionObject { class: 4, bounds, area: bounds.area(), crowd: true, difficult: false, mask };
    let objects = vec![object(Some(mask)), object(None)];
    DetectionSample { image_id: 9, name: "rectangle".to_owned(), image, objects }
}

fn any_rectangle() -> impl Strategy<Value = DetectionSample> {
    (9usize..40, 9usize..40).prop_flat_map(|(height, width)| {
        (0..height - 5, 0..width - 5).prop_flat_map(move |(y0, x0)| {
            (y0 + 4..=height, x0 + 4..=width)
                .prop_map(move |(y1, x1)| rectangle((height, width), [x0, y0, x1, y1]))
        })
    })
}

fn sides(bounds: BoundingBox) -> [f32; 4] {
    [bounds.x0, bounds.y0, bounds.x1, bounds.y1]
}

proptest! {
    #[test]
    fn two_flips_are_none(sample in any_rectangle(), index in 0u64..1000) {
        for sample in [sample, scenes().detection_sample(Split::Train, index)] {
            let once = flip_detection(&sample);
            let width = sample.size().1;
            prop_assert_eq!(once.image.slice(s![.., .., 0]), sample.image.slice(s![.., .., width - 1]));
            for (object, before) in once.objects.iter().zip(&sample.objects) {
                let from_mask = object.mask.as_ref().map(|mask| BoundingBox::around(mask).unwrap());
                prop_assert_eq!(from_mask.unwrap_or(object.bounds), object.bounds);
                prop_assert_eq!(object.bounds.x0, width as f32 - before.bounds.x1);
                prop_assert_eq!((object.class, object.crowd, object.area), (before.class, before.crowd, before.area));
            }
            prop_assert_eq!(flip_detection(&once), sample);
        }
    }

    /// The steps for label maps and those for boxes do the same to image, masks and boxes.
    #[test]
    fn a_scene_moves_as_its_label_map_does(index in 0u64..500, epoch in 0u64..4, size in (12usize..60, 12usize..60)) {
        let scenes = scenes();
        let options = AugmentOptions { crop: Some(size), ..AugmentOptions::new(Padding::grey(scenes.classes())) };
        let augmentation = options.sample((30, 41), 5, epoch, index);
        let expected = augmentation.apply(&scenes.sample(Split::Train, index));
        let found = augmentation.apply_detection(&scenes.detection_sample(Split::Train, index), 0.0);
        prop_assert_eq!(&found.image, &expected.image);
        prop_assert_eq!(found.objects.len(), expected.objects.len());
        for (found, expected) in found.objects.iter().zip(&expected.objects) {
            prop_assert_eq!(found.class + 1, usize::from(expected.class));
            prop_assert_eq!(found.bounds, expected.bounds);
            prop_assert_eq!(&found.mask, &expected.mask);
            let mask = found.mask.as_ref().unwrap();
            prop_assert_eq!(found.area, mask.iter().filter(|inside| **inside).count() as f32);
        }
    }

    /// The box of the mask is the mask of the box: both move alike, to within a rounding of pixels, and the picture
    /// shows the object inside of the box and nowhere else.
    #[test]
    fn boxes_and_masks_move_alike(
        sample in any_rectangle(),
        scaled in (8usize..60, 8usize..60),
        offset in (-12isize..40, -12isize..40),
        size in (3usize..50, 3usize..50),
    ) {
        let parameters = ScaleCrop { scaled, offset, size };
        let result = scale_crop_detection(&sample, parameters, [0.0; 3], 0.0);
        prop_assert_eq!((result.size(), result.image_id, result.name.as_str()), (size, 9, "rectangle"));
        for object in &result.objects {
            prop_assert_eq!(object.bounds.clipped(size), Some(object.bounds));
        }
        let of = |with_mask: bool| result.objects.iter().find(|object| object.mask.is_some() == with_mask);
        if let (Some(masked), Some(boxed)) = (of(true), of(false)) {
            let mask = masked.mask.as_ref().unwrap();
            prop_assert_eq!(BoundingBox::around(mask), Some(masked.bounds));
            for (a, b) in sides(masked.bounds).into_iter().zip(sides(boxed.bounds)) {
                prop_assert!((a - b).abs() <= 0.5 + 1e-3, "{} {}", a, b);
            }
            prop_assert!((boxed.area - boxed.bounds.area()).abs() <= 1e-3 * boxed.area.max(1.0));
        }
        if let Some(boxed) = of(false) {
            for row in 0..size.0 {
                for column in 0..size.1 {
                    let (y, x) = (row as f32, column as f32);
                    let b = boxed.bounds;
                    // Half a source pixel is the reach of the interpolation, one pixel that of the area average.
                    let reach = 1.0 + [scaled.0 as f32 / sample.size().0 as f32, scaled.1 as f32 / sample.size().1 as f32].into_iter().fold(0.0, f32::max);
                    let outside = x + 1.0 < b.x0 - reach || x > b.x1 + reach || y + 1.0 < b.y0 - reach || y > b.y1 + reach;
                    prop_assert!(!outside || result.image[[0, row, column]] == 0.0);
                }
            }
        }
    }

    #[test]
    fn a_letterbox_is_undone(
        original in (1usize..900, 1usize..900),
        target in (1usize..400, 1usize..400),
        parts in [0.0f32..1.0, 0.0f32..1.0, 0.0f32..1.0, 0.0f32..1.0],
    ) {
        let letterbox = Letterbox::new(original, target);
        let ScaleCrop { scaled, offset, size } = letterbox.parameters();
        prop_assert_eq!((offset, size), ((0, 0), target));
        prop_assert!(scaled.0 <= target.0 && scaled.1 <= target.1 && scaled.0 >= 1 && scaled.1 >= 1);
        prop_assert!(scaled.0 == target.0 || scaled.1 == target.1);
        // In proportion: neither side is further than a rounding from the common factor.
        let factor = (target.0 as f64 / original.0 as f64).min(target.1 as f64 / original.1 as f64);
        for (scaled, original) in [(scaled.0, original.0), (scaled.1, original.1)] {
            prop_assert!((scaled as f64 - (original as f64 * factor).max(0.5)).abs() <= 0.5 + 1e-9);
        }
        let [a, b, c, d] = parts;
        let (height, width) = (original.0 as f32, original.1 as f32);
        let bounds = BoundingBox { x0: a.min(b) * width, x1: a.max(b) * width, y0: c.min(d) * height, y1: c.max(d) * height };
        prop_assume!(bounds.x1 - bounds.x0 > 0.01 && bounds.y1 - bounds.y0 > 0.01);
        let there = letterbox.bounds(bounds);
        prop_assert!(there.x1 <= scaled.1 as f32 * 1.0001 && there.y1 <= scaled.0 as f32 * 1.0001);
        let back = letterbox.undo(there).unwrap();
        for (back, side) in sides(back).into_iter().zip(sides(bounds)) {
            prop_assert!((back - side).abs() <= 1e-5 * width.max(height) + 1e-4, "{} {}", back, side);
        }
    }

    #[test]
    fn pictures_of_many_sizes_become_one(sample in any_rectangle(), target in (8usize..50, 8usize..50), index in 0u64..1000) {
        let padding = Padding { colour: GREY, label: 255 };
        let options = AugmentOptions { scale: 0.5..=2.0, ..AugmentOptions::new(padding) };
        let augmentation = options.sample_fitted(sample.size(), target, 1, 0, index);
        prop_assert_eq!(augmentation.apply_detection(&sample, 0.1).size(), target);
        // At the scale 1 it is the letterbox.
        let plain = AugmentOptions { flip: 0.0, scale: 1.0..=1.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, ..options };
        let augmentation = plain.sample_fitted(sample.size(), target, 1, 0, index);
        let letterbox = Letterbox::new(sample.size(), target);
        prop_assert_eq!(augmentation.scale_crop.scaled, letterbox.parameters().scaled);
        let padded = letterbox.sample(&sample, GREY);
        prop_assert_eq!(padded.size(), target);
        prop_assert_eq!(&padded.image, &letterbox.image(&sample.image, GREY));
        prop_assert_eq!(padded.objects.last().map(|object| object.bounds), Some(letterbox.bounds(sample.objects[1].bounds)).filter(|b| b.clipped(target).is_some()));
    }
}

#[test]
fn objects_of_which_little_is_left_are_dropped() {
    // Columns 10 to 20 of a picture of 30: the part from column 17 keeps 3 of 10.
    let sample = rectangle((20, 30), [10, 5, 20, 15]);
    let part = |min_visible| {
        let parameters = ScaleCrop { scaled: (20, 30), offset: (0, 17), size: (20, 13) };
        scale_crop_detection(&sample, parameters, GREY, min_visible).objects
    };
    assert_eq!(part(0.31), []);
    let kept = part(0.29);
    assert_eq!(
        kept.iter().map(|object| sides(object.bounds)).collect::<Vec<_>>(),
        [[0.0, 5.0, 3.0, 15.0]; 2]
    );
    assert_eq!(kept.iter().map(|object| object.area).collect::<Vec<_>>(), [30.0, 30.0]);
    assert!(kept.iter().all(|object| object.class == 4 && object.crowd));
    let twice = scale_crop_detection(
        &sample,
        ScaleCrop { scaled: (40, 60), offset: (0, 0), size: (40, 60) },
        GREY,
        1.0,
    );
    assert_eq!(twice.objects.iter().map(|object| object.area).collect::<Vec<_>>(), [400.0, 400.0]);
}

#[test]
fn scenes_show_their_objects() {
    let scenes = scenes();
    assert_eq!(scenes.detection_classes(), scenes.classes().names()[1..]);
    for (index, sample) in scenes.detection_samples(Split::Val, 4..40).into_iter().enumerate() {
        let labels = scenes.sample(Split::Val, index as u64 + 4).labels;
        assert_eq!(sample.image_id, index as u64 + 4);
        assert!(!sample.objects.is_empty());
        let mut covered = Array2::from_elem(labels.dim(), 0u8);
        for object in &sample.objects {
            let mask = object.mask.as_ref().unwrap();
            assert_eq!(BoundingBox::around(mask), Some(object.bounds));
            assert_eq!(object.area, mask.iter().filter(|inside| **inside).count() as f32);
            covered.zip_mut_with(mask, |covered, inside| {
                *covered += u8::from(*inside) * (object.class as u8 + 1)
            });
        }
        assert_eq!(covered, labels); // every pixel of an object in one mask, and in no other
    }
}
