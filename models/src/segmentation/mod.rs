//! Semantic segmentation: the model, its training and its evaluation.
//!
//! A training on two pictures whose every pixel is of the second class, which then is all that the segmenter says:
//!
//! ```
//! use ndarray::{Array2, Array3};
//! use termwise_autograd::{Array, Cpu, Module};
//! use termwise_datasets::{ClassList, Sample};
//! use termwise_models::segmentation::{SegmentationTraining, TrainConfig, evaluate, predict, query_maps};
//! use termwise_models::training::{Flow, Outcome, Recipe, Trainer};
//!
//! let sample = |name: &str| Sample {
//!     name: name.to_owned(),
//!     image: Array3::from_shape_fn((3, 32, 32), |(c, y, x)| ((c + y + x) % 7) as f32 / 6.0),
//!     labels: Array2::from_elem((32, 32), 1),
//!     objects: Vec::new(),
//! };
//! let samples = [sample("a"), sample("b")];
//! let classes = ClassList::new(["sky", "sea"], 255);
//! let recipe = Recipe { epochs: 1, ..Recipe::default() };
//! let code = "0000".parse().unwrap();
//! let config = TrainConfig { width: 2, num_heads: 2, batch: 2, recipe: recipe.clone(), ..TrainConfig::new(code) };
//! let task = SegmentationTraining::new(Cpu::<f32>::new(), config, &classes, &samples, &samples);
//! let mut trainer = Trainer::new(task, recipe);
//! assert_eq!(trainer.run(&mut |_, _| Flow::Continue), Outcome::Finished);
//! let segmenter = trainer.into_task().into_segmenter();
//! # // One step of training is not enough to be sure of; so the last layer is told what to say.
//! # for (name, param) in segmenter.parameters() {
//! #     match name.as_str() {
//! #         "classify.weight" => param.set(Array::zeros(&Cpu::new(), &param.shape())),
//! #         "classify.bias" => param.set(Array::host(&[2], vec![-1.0, 1.0])),
//! #         _ => {}
//! #     }
//! # }
//! assert!(predict(&segmenter, &samples[..1])[0].iter().all(|&class| class == 1));
//! let metrics = evaluate(&segmenter, &samples, 2).metrics;
//! assert_eq!((metrics.miou, metrics.pixel_acc), (1.0, 1.0)); // of the classes that occur
//! // Without any term a query looks at all 2 x 2 positions of the coarsest map alike.
//! let maps = query_maps(&segmenter, &samples[0], (0.0, 0.9));
//! let last = maps.last().unwrap();
//! assert_eq!((last.module.as_str(), last.size, last.query), ("after the backbone", (2, 2), (0, 1)));
//! assert!(last.weights.iter().all(|weight| (weight - 0.25).abs() < 1e-6));
//! ```

mod evaluate;
mod model;
mod train;

pub use evaluate::{Evaluation, QueryMaps, evaluate, predict, query_maps};
pub use model::{ModuleMaps, SegmentationTask, Segmenter, SegmenterConfig};
pub use train::{SegmentationScore, SegmentationTraining, TrainConfig};
