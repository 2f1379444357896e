//! Pictures with labels or boxes and parallel text, read from folders or generated, as plain [`ndarray`] arrays.
//!
//! This crate stands alone: it knows no tape, no parameters and no device. The path of a training batch is
//!
//! | step | module | gives |
//! |---|---|---|
//! | read a folder of PNG files | [`segmentation`] | [`Sample`]s of one size |
//! | or generate scenes from a seed | [`scenes`] | [`Sample`]s with boxes and masks |
//! | flip, rescale, crop, recolour | [`augment`] | a new [`Sample`] |
//! | choose the order of an epoch | [`batch::EpochShuffler`] | indices |
//! | normalise and stack | [`batch::Batch`] | images (N, 3, H, W) f32, labels (N, H, W) i64 |
//! | look at the result | [`png_out`] | PNG files, written whole or not at all |
//!
//! For detection and translation it is
//!
//! | step | module | gives |
//! |---|---|---|
//! | read PASCAL VOC, COCO JSON or YOLO text | [`detection::DetectionFolder`] | [`detection::DetectionSample`]s of many sizes, a report |
//! | or generate scenes from a seed | [`scenes::Scenes::detection_sample`] | [`detection::DetectionSample`]s with masks |
//! | one size, flip, rescale, crop, recolour; boxes back | [`augment::Letterbox`], [`augment::Augmentation::apply_detection`] | a new [`detection::DetectionSample`] |
//! | read two files of sentences, plain or gzipped | [`translation::ParallelText`] | pairs of sentences |
//! | or make sentences by a grammar from a seed | [`grammar::Grammar`] | [`translation::ParallelText`] |
//! | learn tokens, encode and decode | [`bpe::Bpe`] | token ids; saved as JSON |
//! | batches of like length under a token budget | [`translation::TokenBatches`] | indices |
//! | stack | [`translation::TranslationBatch`] | tokens (N, L) i64, lengths |
//!
//! Beside it, [`mnist`] reads IDX files of digits, and [`probe`] generates the six tiny tasks that show which mechanism
//! can use which factor.
//!
//! # Conventions
//!
//! - An image is an `Array3<f32>` of shape (3, H, W), red green blue, each value in [0, 1].
//! - A label map is an `Array2<u8>` of shape (H, W); one id, [`ClassList::ignore`], marks pixels without a class.
//! - Pixel (row r, column c) covers the square [r, r+1) x [c, c+1) of the plane. Boxes are half open in the same
//!   plane: a box around the single pixel (r, c) is `x0 = c, y0 = r, x1 = c + 1, y1 = r + 1`.
//! - Everything random is a pure function of a seed and of explicit counters (split, epoch, index), so neither the
//!   order of the calls nor the number of threads changes a bit of the result.
//!
//! # Example
//!
//! ```
//! use termwise_datasets::{Split, batch::{Batch, EpochShuffler, Normalisation}, scenes::{SceneOptions, Scenes}};
//!
//! let scenes = Scenes::new(SceneOptions { height: 32, width: 40, ..SceneOptions::default() }, 7);
//! let train = scenes.samples(Split::Train, 0..6);
//! let normalisation = Normalisation::measure(&train);
//! let order = EpochShuffler::new(train.len(), 7).batches(0, 4);
//! let batch = Batch::stack(order[0].iter().map(|&i| &train[i]), &normalisation, scenes.classes().ignore());
//! assert_eq!(batch.images.dim(), (4, 3, 32, 40));
//! assert!(batch.images.mean().unwrap().abs() < 0.5);
//! assert_eq!(batch.labels.dim(), (4, 32, 40));
//! ```

pub mod augment;
pub mod batch;
pub mod bpe;
mod classes;
pub mod detection;
mod error;
mod files;
pub mod grammar;
pub mod mnist;
mod picture;
mod png_in;
pub mod png_out;
pub mod probe;
pub mod resize;
mod sample;
pub mod scenes;
mod seed;
pub mod segmentation;
pub mod translation;

pub use classes::ClassList;
pub use error::DataError;
pub use files::write_atomically;
pub use picture::picture_of_bytes;
pub use sample::{BoundingBox, Object, Sample};
pub use seed::{Split, stream};
