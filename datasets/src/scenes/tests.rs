use ndarray::s;
use proptest::prelude::*;

use super::*;

fn scenes(height: usize, width: usize, seed: u64) -> Scenes {
    Scenes::new(SceneOptions { height, width, ..SceneOptions::default() }, seed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn boxes_masks_and_labels_agree(height in 16usize..70, width in 16usize..70, seed: u64, index: u64) {
        let scenes = scenes(height, width, seed);
        let sample = scenes.sample(Split::Train, index);
        prop_assert!((1..=6).contains(&sample.objects.len()));
        let mut labels = Array2::from_elem((height, width), GROUND);
        let mut covered = Array2::from_elem((height, width), 0);
        for object in &sample.objects {
            let mask = object.mask.as_ref().unwrap();
            prop_assert_eq!(BoundingBox::around(mask), Some(object.bounds));
            for (pixel, _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
                labels[pixel] = object.class;
                covered[pixel] += 1;
            }
        }
        prop_assert!(covered.iter().all(|count| *count <= 1), "a pixel shows two objects");
        prop_assert_eq!(&labels, &sample.labels);
        prop_assert!(sample.image.iter().all(|value| (0.0..=1.0).contains(value)));
    }

    #[test]
    fn a_scene_is_a_function_of_seed_split_and_index(seed: u64, index in 0u64..1 << 40) {
        let scenes = scenes(24, 24, seed);
        let sample = scenes.sample(Split::Train, index);
        prop_assert_eq!(&scenes.clone().sample(Split::Train, index), &sample);
        for other in [
            scenes.sample(Split::Train, index + 1),
            scenes.sample(Split::Val, index),
            super::tests::scenes(24, 24, seed ^ 1).sample(Split::Train, index),
        ] {
            prop_assert_ne!(&other.image, &sample.image);
            prop_assert_ne!(&other.labels, &sample.labels);
        }
    }
}

#[test]
fn a_range_of_scenes_does_not_depend_on_the_number_of_threads() {
    let scenes = scenes(32, 40, 3);
    let alone: Vec<Sample> = (5..15).map(|index| scenes.sample(Split::Test, index)).collect();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| scenes.samples(Split::Test, 5..15)), alone);
    }
}

#[test]
fn objects_keep_their_visible_part_and_the_wanted_number() {
    let options = SceneOptions { objects: 4..=4, min_visible: 0.45, ..SceneOptions::default() };
    let mut occluded = 0;
    for index in 0..200 {
        let mut rng = stream(Use::Scene, 1, 0, index);
        let scene = place::place(&options, &mut rng);
        assert_eq!(scene.figures.len(), 4);
        for (front, figure) in scene.figures.iter().enumerate() {
            let full = figure
                .pixels_around(&options, 0.0)
                .filter(|pixel| figure.distance(place::centre_of(*pixel)) < 0.0)
                .count();
            let visible = scene.owner.iter().filter(|owner| **owner == Some(front)).count();
            assert!(visible as f32 >= 0.45 * full as f32, "{visible} of {full}");
            occluded += usize::from(visible < full);
        }
    }
    assert!(occluded > 200, "{occluded} of 800 objects are partly hidden");
}

/// Colour must not give the class away: over many scenes, the mean colour of each class is that of all objects, within
/// the error of the mean. Measured away from the edges, where the dark rim and the blending depend on the shape.
#[test]
fn colours_do_not_depend_on_the_class() {
    let scenes = scenes(64, 64, 2);
    let mut colours: Vec<Vec<[f64; 3]>> = vec![Vec::new(); scenes.classes().num_classes()];
    for sample in scenes.samples(Split::Train, 0..1500) {
        for object in &sample.objects {
            let mask = object.mask.as_ref().unwrap();
            let is_inner = |row: usize, column: usize| {
                (2..62).contains(&row)
                    && (2..62).contains(&column)
                    && mask.slice(s![row - 2..=row + 2, column - 2..=column + 2]).iter().all(|inside| *inside)
            };
            let inner: Vec<_> =
                mask.indexed_iter().map(|(pixel, _)| pixel).filter(|p| is_inner(p.0, p.1)).collect();
            if !inner.is_empty() {
                let sum =
                    |channel| inner.iter().map(|p| f64::from(sample.image[[channel, p.0, p.1]])).sum::<f64>();
                let mean = std::array::from_fn(|channel| sum(channel) / inner.len() as f64);
                colours[usize::from(object.class)].push(mean);
            }
        }
    }
    let all: Vec<[f64; 3]> = colours.concat();
    let mean = |colours: &[[f64; 3]], channel: usize| {
        colours.iter().map(|colour| colour[channel]).sum::<f64>() / colours.len() as f64
    };
    for channel in 0..3 {
        let overall = mean(&all, channel);
        let variance =
            all.iter().map(|colour| (colour[channel] - overall).powi(2)).sum::<f64>() / all.len() as f64;
        for of_class in &colours[1..] {
            assert!(of_class.len() > 500, "each class occurs: {}", of_class.len());
            let error = (variance / of_class.len() as f64).sqrt();
            let deviation = (mean(of_class, channel) - overall) / error;
            assert!(deviation.abs() < 4.0, "channel {channel}: {deviation:.1} standard errors");
        }
    }
}

#[test]
fn edges_blend_only_where_asked() {
    let smooth = scenes(64, 64, 4);
    let sharp = Scenes::new(SceneOptions { antialias: false, ..smooth.options().clone() }, 4);
    let (smooth, sharp) = (smooth.sample(Split::Val, 1), sharp.sample(Split::Val, 1));
    assert_eq!((&smooth.labels, &smooth.objects), (&sharp.labels, &sharp.objects));
    let differs = |row: usize, column: usize| {
        (0..3).any(|c| smooth.image[[c, row, column]] != sharp.image[[c, row, column]])
    };
    let (mut edge, mut inner) = (0, 0);
    for row in 2..62 {
        for column in 2..62 {
            let around = smooth.labels.slice(s![row - 2..=row + 2, column - 2..=column + 2]);
            let is_edge = around.iter().any(|label| *label != smooth.labels[[row, column]]);
            if differs(row, column) {
                if is_edge { edge += 1 } else { inner += 1 }
            }
        }
    }
    assert!(edge > 50, "{edge}");
    // Two overlapping objects of one class share a label: their common edge counts as inner. A colour drawn for a
    // figure depends on what is behind it, so nothing else may differ than edges.
    assert_eq!(inner, 0);
}

#[test]
#[should_panic(expected = "scenes: shapes are one or more, each once, not [Disc, Disc]")]
fn a_shape_twice_is_refused() {
    let _ =
        Scenes::new(SceneOptions { shapes: vec![Shape::Disc, Shape::Disc], ..SceneOptions::default() }, 0);
}
