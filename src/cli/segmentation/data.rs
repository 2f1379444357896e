//! What a segmenter is trained on: a folder of pictures, or built-in scenes.

use std::path::Path;

use termwise_datasets::scenes::{SceneOptions, Scenes};
use termwise_datasets::segmentation::{SegmentationFolder, SegmentationOptions};
use termwise_datasets::{ClassList, Sample, Split};

use crate::cli::fault::Fault;

/// The least height and width of a picture: the last stage of the network sees a sixteenth of it.
pub const LEAST_SIDE: usize = 32;
/// The greatest.
const GREATEST_SIDE: usize = 2048;
/// Height and width of built-in scenes.
const SCENE_SIZE: (usize, usize) = (64, 64);

/// Pictures of one size with their labels.
pub struct Data {
    /// In words.
    pub name: String,
    /// What the labels mean.
    pub classes: ClassList,
    /// To learn from.
    pub train: Vec<Sample>,
    /// To measure on.
    pub validation: Vec<Sample>,
}

impl Data {
    /// The splits `train` and `val` of a folder.
    pub fn of_folder(folder: &Path, size: Option<(usize, usize)>) -> Result<Self, Fault> {
        let (classes, train) = split(folder, "train", size)?;
        let (_, validation) = split(folder, "val", Some(train[0].size()))?;
        Ok(Data { name: folder.display().to_string(), classes, train, validation })
    }

    /// Built-in scenes, so many of them to learn from and to measure on.
    pub fn of_scenes(size: Option<(usize, usize)>, seed: u64, counts: [u64; 2]) -> Self {
        Self::of_generator(&scenes(size, seed), counts)
    }

    /// Scenes of a generator, so many of them to learn from and to measure on.
    pub fn of_generator(scenes: &Scenes, [train, validation]: [u64; 2]) -> Self {
        Data {
            name: "built-in scenes".into(),
            classes: scenes.classes().clone(),
            train: scenes.samples(Split::Train, 0..train),
            validation: scenes.samples(Split::Val, 0..validation),
        }
    }
}

fn scenes(size: Option<(usize, usize)>, seed: u64) -> Scenes {
    let (height, width) = size.unwrap_or(SCENE_SIZE);
    Scenes::new(SceneOptions { height, width, ..SceneOptions::default() }, seed)
}

/// Built-in scenes that no training uses.
pub fn test_scenes(size: (usize, usize), seed: u64, count: u64) -> (ClassList, Vec<Sample>) {
    let scenes = scenes(Some(size), seed);
    (scenes.classes().clone(), scenes.samples(Split::Test, 0..count))
}

/// The classes of a folder, and one split of it, all of one size.
pub fn split(
    folder: &Path,
    name: &str,
    size: Option<(usize, usize)>,
) -> Result<(ClassList, Vec<Sample>), Fault> {
    let folder_of = SegmentationFolder::open(folder, SegmentationOptions { size, ignore: None })?;
    let samples = folder_of.split(name)?.load_all()?;
    let first = samples[0].size();
    let show = |(height, width): (usize, usize)| format!("{height}x{width}");
    if let Some(other) = samples.iter().find(|sample| sample.size() != first) {
        let expected = format!("{} as {}, or one size for all by --size HxW", show(first), samples[0].name);
        return Err(Fault::of_file(&folder.join(&other.name), "image size", expected, show(other.size())));
    }
    if !fits(first) {
        let expected =
            format!("sides of {LEAST_SIDE} to {GREATEST_SIDE} pixels, or another size by --size HxW");
        return Err(Fault::of_file(&folder.join(&samples[0].name), "image size", expected, show(first)));
    }
    Ok((folder_of.classes().clone(), samples))
}

/// Whether a network can take pictures of a size.
pub fn fits((height, width): (usize, usize)) -> bool {
    [height, width].iter().all(|side| (LEAST_SIDE..=GREATEST_SIDE).contains(side))
}

/// A size from the command line, such as `90x120`.
pub fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let size = text
        .split_once('x')
        .and_then(|(height, width)| Some((height.parse().ok()?, width.parse().ok()?)))
        .filter(|size| fits(*size));
    size.ok_or_else(|| {
        format!("expected HEIGHTxWIDTH such as 90x120, each side from {LEAST_SIDE} to {GREATEST_SIDE}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_height_first() {
        assert_eq!(parse_size("90x120"), Ok((90, 120)));
        for text in ["90", "90x", "x", "0x90", "31x64", "64x2049", "64X64", "-64x64", "64x64x3"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn scenes_of_training_validation_and_test_differ() {
        let data = Data::of_scenes(Some((32, 40)), 5, [2, 2]);
        let (classes, test) = test_scenes((32, 40), 5, 2);
        assert_eq!(classes, data.classes);
        assert!(data.train[0].image != data.validation[0].image && data.train[0].image != test[0].image);
        assert_eq!((data.train.len(), data.validation.len(), test[0].size()), (2, 2, (32, 40)));
    }
}
