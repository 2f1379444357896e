//! Semantic segmentation: the model, its training and its evaluation.
//!
//! A segmenter whose last layer is told to say nothing, on a picture that is sky above and sea below:
//!
//! ```
//! use ndarray::{Array2, Array3};
//! use termwise_autograd::{Array, Cpu, Module, Tape};
//! use termwise_datasets::{ClassList, Sample};
//! use termwise_models::segmentation::{SegmentationTraining, TrainConfig, evaluate, predict, query_maps};
//! use termwise_models::training::{Flow, Recipe, Task, Trainer};
//!
//! let samples = [Sample {
//!     name: "coast".to_owned(),
//!     image: Array3::from_shape_fn((3, 32, 32), |(c, y, x)| ((c + y + x) % 7) as f32 / 6.0),
//!     labels: Array2::from_shape_fn((32, 32), |(y, _)| u8::from(y >= 16)),
//!     objects: Vec::new(),
//! }];
//! let classes = ClassList::new(["sky", "sea"], 255);
//! let config = TrainConfig { width: 2, num_heads: 2, augment: false, ..TrainConfig::new("0000".parse().unwrap()) };
//! let task = SegmentationTraining::new(Cpu::<f32>::new(), config, &classes, &samples, &samples);
//! for (name, param) in task.model().parameters() {
//!     if name.starts_with("classify.") {
//!         param.set(Array::zeros(&Cpu::new(), &param.shape()));
//!     }
//! }
//! // Two classes, equally likely.
//! let loss = task.loss(&Tape::new(Cpu::new()), 0, 0).total.value().item();
//! assert!((loss - 2f32.ln()).abs() < 1e-6);
//! let mut trainer = Trainer::new(task, Recipe { epochs: 0, ..Recipe::default() }); // with more it would learn
//! trainer.run(&mut |_, _| Flow::Continue);
//! let segmenter = trainer.into_task().into_segmenter();
//! // Of equal scores the first class counts: half of the pixels are right, and all of the sea is missed.
//! assert!(predict(&segmenter, &samples)[0].iter().all(|&class| class == 0));
//! let metrics = evaluate(&segmenter, &samples, 1).metrics;
//! assert_eq!((metrics.pixel_acc, metrics.miou), (0.5, (0.5 + 0.0) / 2.0));
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
