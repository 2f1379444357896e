//! The segmenter: it learns, it gives the same bits on any number of threads, and its checkpoint is it.

use rayon::ThreadPoolBuilder;
use termwise_autograd::{Array, Cpu, Module, Tape};
use termwise_datasets::scenes::{SceneOptions, Scenes};
use termwise_datasets::{ClassList, Sample, Split};
use termwise_models::Init;
use termwise_models::checkpoint::{self, Checkpoint};
use termwise_models::layers::Mode;
use termwise_models::segmentation::{
    SegmentationScore, SegmentationTask, SegmentationTraining, Segmenter, SegmenterConfig, TrainConfig,
    predict, query_maps,
};
use termwise_models::training::{EpochRecord, Event, Flow, OptimizerKind, Outcome, Recipe, Trainer};
use termwise_ops::attention::{AttentionCode, Terms};

fn scenes(count: u64) -> (ClassList, Vec<Sample>) {
    let scenes = Scenes::new(SceneOptions { height: 33, width: 40, ..SceneOptions::default() }, 1);
    (scenes.classes().clone(), scenes.samples(Split::Train, 0..count))
}

fn tiny(attention: &str, epochs: usize) -> TrainConfig {
    let recipe = Recipe { epochs, ..Recipe::default() };
    TrainConfig { width: 8, batch: 4, recipe, ..TrainConfig::new(attention.parse().unwrap()) }
}

/// A trained segmenter and how it got there.
struct Trained {
    segmenter: Segmenter<Cpu<f32>>,
    epochs: Vec<EpochRecord<SegmentationScore>>,
    losses: Vec<f64>,
}

/// Trains on `count` scenes.
fn run(config: &TrainConfig, count: u64) -> Trained {
    let (classes, samples) = scenes(count);
    let mut losses = Vec::new();
    let task = SegmentationTraining::new(Cpu::new(), config.clone(), &classes, &samples, &samples);
    let mut trainer = Trainer::new(task, config.recipe.clone());
    let outcome = trainer.run(&mut |_, event| {
        if let Event::Step(step) = event {
            losses.push(step.loss);
        }
        Flow::Continue
    });
    assert_eq!(outcome, Outcome::Finished);
    let epochs = trainer.epochs().to_vec();
    Trained { segmenter: trainer.into_task().into_segmenter(), epochs, losses }
}

#[test]
fn it_learns_what_it_is_shown() {
    let mut config = TrainConfig { augment: false, ..tiny("0110", 25) };
    config.recipe.lr = 1e-2;
    let trained = run(&config, 8);
    let (first, last) = (trained.losses[0], *trained.losses.last().unwrap());
    assert!(last < 0.5 * first, "the loss went from {first} to {last}");
    let epochs = &trained.epochs;
    assert!(
        epochs.last().unwrap().score.miou > epochs[0].score.miou + 0.1,
        "mean IoU: {:?}",
        (&epochs[0], epochs.last())
    );
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for (attention, optimizer) in [("1111", OptimizerKind::Adam), ("0010+deformable", OptimizerKind::Sgd)] {
        let mut config = tiny(attention, 2);
        config.recipe.optimizer = optimizer;
        let bits = |threads: usize| -> Vec<u32> {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let trained = run(&config, 6);
                let parameters = trained.segmenter.parameters();
                parameters.iter().flat_map(|(_, p)| p.value().to_ndarray()).map(f32::to_bits).collect()
            })
        };
        let one = bits(1);
        assert!(one == bits(2), "{attention}: two threads give other bits");
        assert!(one == bits(3), "{attention}: three threads give other bits");
    }
}

#[test]
fn a_checkpoint_predicts_what_the_model_predicted() {
    let trained = run(&tiny("1010+deformable", 1), 6);
    let (_, samples) = scenes(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    checkpoint::save(&path, trained.segmenter.config(), &trained.segmenter).unwrap();

    let saved = Checkpoint::read(&path).unwrap();
    let config: SegmenterConfig = saved.architecture().unwrap();
    let loaded = Segmenter::new(config, &mut Init::new(Cpu::<f32>::new(), 77));
    assert_ne!(
        predict(&loaded, &samples),
        predict(&trained.segmenter, &samples),
        "fresh numbers predict otherwise"
    );
    saved.load(&loaded).unwrap();
    assert_eq!(predict(&loaded, &samples), predict(&trained.segmenter, &samples));
}

fn config(attention: AttentionCode) -> SegmenterConfig {
    SegmenterConfig {
        task: SegmentationTask::Segmentation,
        attention,
        classes: vec!["a".into(), "b".into(), "c".into()],
        ignore: 255,
        size: (33, 40),
        mean: [0.5; 3],
        std: [0.25; 3],
        width: 8,
        num_heads: 2,
        limit_range: false,
    }
}

/// Every code builds, runs on an odd size, and every one of its parameters takes part.
#[test]
fn every_attention_code_runs_and_trains_all_of_its_parameters() {
    let mut codes: Vec<String> = Terms::all().map(|terms| terms.to_string()).collect();
    codes.extend(["w/o", "dynamic", "0110+dynamic"].map(String::from));
    codes.extend(codes.clone().iter().map(|code| format!("{}+deformable", code.replace("w/o", "regular"))));
    let backend = Cpu::<f32>::new();
    for code in codes {
        let segmenter = Segmenter::new(config(code.parse().unwrap()), &mut Init::new(backend, 5));
        for (name, param) in segmenter.parameters() {
            // What starts at zero shuts off what stands behind it: open all gates.
            if ["gamma", "weight"].iter().any(|end| name.ends_with(end))
                && param.value().as_slice().iter().all(|v| *v == 0.0)
            {
                // Offsets stay small, or every sample would lie outside the image.
                let open = if name.contains("offset") { 0.01 } else { 0.3 };
                param.set(Array::full(&backend, &param.shape(), open));
            }
        }
        let tape = Tape::new(backend).checked();
        let images = termwise_autograd::gradcheck::Samples::new(1).normal(&[2, 3, 33, 40]);
        let scores = segmenter.forward(&tape.constant(Array::from_f64(&backend, &images)), Mode::Train);
        assert_eq!(scores.shape(), [2, 3, 33, 40], "{code}");
        let cotangent = termwise_autograd::gradcheck::Samples::new(2).normal(scores.shape());
        let gradients = tape.backward_with(&[(&scores, Array::from_f64(&backend, &cotangent))]);
        for (name, param) in segmenter.parameters().into_iter().filter(|(_, p)| p.is_trainable()) {
            let gradient = gradients.param(param).unwrap_or_else(|| panic!("{code}: no gradient for {name}"));
            let largest = gradient.as_slice().iter().fold(0.0f32, |m, g| m.max(g.abs()));
            assert!(largest > 0.0 && largest.is_finite(), "{code}: the gradient of {name} is {largest}");
        }
    }
}

#[test]
fn the_maps_of_a_query_are_distributions_over_the_keys() {
    let trained = run(&tiny("0110", 1), 4);
    let (_, samples) = scenes(1);
    let maps = query_maps(&trained.segmenter, &samples[0], (0.5, 0.99));
    assert_eq!(maps.len(), 5, "two blocks in each of two stages, and one module after the backbone");
    assert_eq!((maps[4].module.as_str(), maps[4].size), ("after the backbone", maps[3].size));
    assert_eq!((maps[0].size, maps[0].query), ((5, 5), (2, 4)));
    for map in maps {
        assert!((map.weights.sum() - 1.0).abs() < 1e-5, "{}", map.module);
        assert_eq!(map.energies.each_ref().map(Option::is_some), [false, true, true, false]);
    }
}
