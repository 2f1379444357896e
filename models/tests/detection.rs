//! The detector: it learns, it takes any picture, and it gives the same bits on any number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use termwise_autograd::{Array, Cpu, Module, Tape};
use termwise_datasets::Split;
use termwise_datasets::detection::{DetectionObject, DetectionSample};
use termwise_datasets::scenes::{SceneOptions, Scenes, Shape};
use termwise_models::Init;
use termwise_models::checkpoint::{self, Checkpoint};
use termwise_models::detection::{
    DetectionSettings, DetectionTask, Detector, DetectorConfig, Picture, Target, TargetConfig, detect, score,
};
use termwise_models::training::Task;
use termwise_ops::add;
use termwise_ops::metrics::generalized_box_iou;
use termwise_ops::optim::{Adam, AdamConfig, Optimizer, clip_grad_norm};

type F32 = Cpu<f32>;

/// Generated scenes with two classes.
fn scenes(count: u64) -> (Vec<String>, Vec<DetectionSample>) {
    let options = SceneOptions {
        height: 56,
        width: 72,
        objects: 1..=3,
        shapes: vec![Shape::Disc, Shape::Cross],
        radius: 0.12..=0.25,
        ..SceneOptions::default()
    };
    let scenes = Scenes::new(options, 3);
    let sample = |(id, sample): (usize, termwise_datasets::Sample)| DetectionSample {
        image_id: id as u64,
        name: sample.name,
        image: sample.image,
        objects: sample.objects.iter().map(|o| object(usize::from(o.class) - 1, o.bounds)).collect(),
    };
    let samples = scenes.samples(Split::Train, 0..count).into_iter().enumerate().map(sample).collect();
    (vec!["disc".into(), "cross".into()], samples)
}

fn object(class: usize, bounds: termwise_datasets::BoundingBox) -> DetectionObject {
    DetectionObject { class, bounds, area: bounds.area(), crowd: false, difficult: false, mask: None }
}

fn tiny(attention: &str) -> DetectionSettings {
    DetectionSettings {
        side: 72,
        width: 8,
        channels: 16,
        hidden: 32,
        augment: None,
        ..DetectionSettings::new(attention.parse().unwrap())
    }
}

fn pictures(samples: &[DetectionSample], side: usize) -> Vec<Picture> {
    samples.iter().map(|sample| Picture::new(sample, side)).collect()
}

fn task(settings: DetectionSettings, count: u64) -> DetectionTask<Cpu<f32>> {
    let (classes, samples) = scenes(count);
    let pictures = pictures(&samples, settings.side);
    DetectionTask::new(Cpu::new(), settings, classes, pictures.clone(), pictures)
}

/// Trains and returns the loss of every step.
fn train(task: &DetectionTask<Cpu<f32>>, epochs: usize, lr: f64) -> Vec<f64> {
    let parameters = task.model().parameters();
    let mut optimizer = Adam::new(AdamConfig::adamw());
    let mut losses = Vec::new();
    for epoch in 0..epochs {
        for step in 0..task.steps(epoch) {
            let tape = Tape::new(F32::new());
            let loss = task.loss(&tape, epoch, step).total;
            losses.push(f64::from(loss.value().item()));
            let gradients = tape.backward(&loss);
            let rate = lr * (1.0 - epoch as f64 / epochs as f64);
            optimizer.step(&parameters, &clip_grad_norm(&parameters, &gradients, 5.0), rate);
        }
    }
    losses
}

fn bits(task: &DetectionTask<Cpu<f32>>) -> Vec<u32> {
    let parameters = task.model().parameters();
    parameters.iter().flat_map(|(_, p)| p.value().to_ndarray()).map(f32::to_bits).collect()
}

#[test]
fn a_few_scenes_are_learned_by_heart() {
    let task = task(DetectionSettings { width: 16, channels: 32, hidden: 64, ..tiny("0010") }, 8);
    let before = task.evaluate();
    train(&task, 120, 4e-3);
    let after = task.evaluate();
    assert!(before.stats.ap50 < 0.2, "untrained: {:?}", before.stats);
    assert!(after.stats.ap50 > 0.97 && after.stats.ap > 0.6, "trained: {:?}", after.stats);
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_for_the_same_seed() {
    let run = |threads: usize, seed: u64| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let augment = DetectionSettings::new("w/o".parse().unwrap()).augment;
            let task = task(DetectionSettings { augment, seed, ..tiny("1111+deformable") }, 9);
            let losses = train(&task, 2, 3e-3);
            (losses, bits(&task), task.evaluate())
        })
    };
    let one = run(1, 5);
    assert!(one == run(1, 5), "the same seed gives other bits");
    assert!(one == run(2, 5), "two threads give other bits");
    assert!(one != run(1, 6), "another seed gives the same");
}

/// Every parameter gets a gradient, and the second stage moves no proposal.
#[test]
fn gradients_reach_every_parameter_but_not_through_proposals() {
    for (attention, class_specific) in [("1111", true), ("0010+deformable", false), ("dynamic", false)] {
        let task = task(DetectionSettings { class_specific, ..tiny(attention) }, 4);
        let detector = task.model();
        for (name, param) in detector.parameters() {
            // What starts at zero shuts off what stands behind it: open all gates.
            if ["gamma", "weight"].iter().any(|end| name.ends_with(end))
                && param.value().as_slice().iter().all(|v| *v == 0.0)
            {
                let open = if name.contains("offset") { 0.01 } else { 0.3 };
                param.set(Array::full(&F32::new(), &param.shape(), open));
            }
        }
        let tape = Tape::new(F32::new()).checked();
        let gradients = tape.backward(&task.loss(&tape, 0, 0).total);
        for (name, param) in detector.parameters().into_iter().filter(|(_, p)| p.is_trainable()) {
            let gradient = gradients.param(param).unwrap_or_else(|| panic!("{attention}: none for {name}"));
            let largest = gradient.as_slice().iter().fold(0.0f32, |m, g| m.max(g.abs()));
            assert!(largest > 0.0 && largest.is_finite(), "{attention}: the gradient of {name} is {largest}");
        }

        let tape = Tape::new(F32::new());
        let images = tape.constant(Array::full(&F32::new(), &[1, 3, 48, 64], 0.7));
        let target = Target { boxes: vec![[4.0, 4.0, 30.0, 40.0]], classes: vec![1], crowds: vec![] };
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let losses = detector.losses(&images, &[(48.0, 64.0)], &[target], &TargetConfig::default(), rng);
        let [classes, boxes] = losses.head.expect("the object itself is sampled");
        let gradients = tape.backward(&add(&classes, &boxes));
        for (name, param) in detector.parameters() {
            let reached = gradients.param(param).is_some();
            assert!(!(name.starts_with("rpn") && reached), "{attention}: {name} gets a gradient");
            assert!(!name.starts_with("head") || reached, "{attention}: {name} gets none");
        }
    }
}

#[test]
fn pictures_without_boxes_and_with_crowds_train() {
    let (classes, mut samples) = scenes(4);
    samples[0].objects.clear();
    samples[1].objects.iter_mut().for_each(|object| object.crowd = true);
    for empty in [false, true] {
        if empty {
            samples.iter_mut().for_each(|sample| sample.objects.clear());
        }
        let task =
            DetectionTask::new(Cpu::new(), tiny("w/o"), classes.clone(), pictures(&samples, 72), vec![]);
        let losses = train(&task, 6, 3e-3);
        assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
        if empty {
            assert!(losses[5] < losses[0], "it learns that there is nothing: {losses:?}");
        }
    }
}

/// Boxes come back in pixels of the file and inside of it, whatever its size; sizes mix in a batch.
#[test]
fn pictures_of_any_size_are_looked_at() {
    let (classes, samples) = scenes(1);
    let mut all = Vec::new();
    for (height, width) in [(1, 1), (3, 200), (97, 31), (64, 64), (130, 150)] {
        let image = termwise_datasets::resize::resize_image(&samples[0].image, (height, width));
        let bounds = termwise_datasets::BoundingBox {
            x0: 0.0,
            y0: 0.0,
            x1: (width as f32 / 2.0).max(1.0),
            y1: (height as f32 / 2.0).max(1.0),
        };
        all.push(DetectionSample { image, objects: vec![object(0, bounds)], ..samples[0].clone() });
    }
    let all = pictures(&all, 72);
    let task = DetectionTask::new(
        Cpu::new(),
        DetectionSettings { batch: 5, ..tiny("0110") },
        classes.clone(),
        all.clone(),
        vec![],
    );
    train(&task, 3, 1e-3);
    let found = detect(task.model(), &all);
    assert_eq!(found.len(), all.len());
    for (picture, found) in all.iter().zip(&found) {
        let (height, width) = (picture.original.0 as f64, picture.original.1 as f64);
        assert!(!found.is_empty(), "{:?}", picture.original);
        for d in found {
            let [x1, y1, x2, y2] = d.bounds;
            assert!(0.0 <= x1 && x1 < x2 && x2 <= width && 0.0 <= y1 && y1 < y2 && y2 <= height, "{d:?}");
        }
        // Looked at alone or beside others: the same.
        assert_eq!(&detect(task.model(), std::slice::from_ref(picture))[0], found);
    }
    let score = score(&classes, &all, &found);
    assert_eq!(score.classes.len(), 2);
    assert_eq!(score.classes[1].ap, -1.0, "no such object");
}

/// A picture whose sides are no multiples of the stride is padded; that moves its boxes by little.
#[test]
fn padding_moves_no_box() {
    let (_, samples) = scenes(8);
    let task = task(DetectionSettings { width: 16, channels: 32, hidden: 64, ..tiny("w/o") }, 8);
    train(&task, 60, 4e-3);
    let detector = task.model();
    let config = detector.config();
    // 56 x 72: padded to 64 x 80, and here further.
    let picture = Picture::new(&samples[0], 72);
    let normalisation = termwise_datasets::batch::Normalisation { mean: config.mean, std: config.std };
    let view = (&picture, termwise_models::detection::View::WHOLE);
    let batch = termwise_models::detection::PictureBatch::new(&[view], &normalisation);
    let mut wide = ndarray::Array4::zeros((1, 3, 96, 128));
    wide.slice_mut(ndarray::s![.., .., ..64, ..80]).assign(&batch.images);
    let look = |images| {
        let tape = Tape::inference(F32::new());
        let images = tape.constant(Array::from_ndarray(&F32::new(), images));
        let mut found = detector.detect(&images, &batch.sizes).remove(0);
        found.retain(|d| d.score > 0.5);
        found
    };
    let (narrow, wide) = (look(batch.images.clone()), look(wide));
    assert_eq!(narrow.len(), samples[0].objects.len());
    assert_eq!(narrow.len(), wide.len());
    for (a, b) in narrow.iter().zip(&wide) {
        let iou = generalized_box_iou(&ndarray::arr2(&[a.bounds]), &ndarray::arr2(&[b.bounds]))[[0, 0]];
        assert!(a.class == b.class && iou > 0.9 && (a.score - b.score).abs() < 0.1, "{a:?} {b:?}");
    }
}

#[test]
fn a_checkpoint_finds_what_the_model_found() {
    let task = task(tiny("1010+deformable"), 4);
    train(&task, 2, 3e-3);
    let (_, samples) = scenes(3);
    let pictures = pictures(&samples, 72);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    checkpoint::save(&path, task.model().config(), task.model()).unwrap();
    let saved = Checkpoint::read(&path).unwrap();
    let config: DetectorConfig = saved.architecture().unwrap();
    let loaded = Detector::new(config, &mut Init::new(F32::new(), 77));
    assert_ne!(detect(&loaded, &pictures), detect(task.model(), &pictures), "fresh numbers find otherwise");
    saved.load(&loaded).unwrap();
    let together = detect(&loaded, &pictures);
    assert_eq!(together, detect(task.model(), &pictures));
    // Pictures of one size are looked at together; that changes no bit.
    for (picture, found) in pictures.iter().zip(&together) {
        assert_eq!(&detect(&loaded, std::slice::from_ref(picture))[0], found);
    }
}
