//! Folders of images with label maps, in the layout of the CamVid exports.
//!
//! ```text
//! DIR/classes.txt      one class a line: "id name", ids 0 to 254, which may have gaps
//! DIR/train.txt        one sample a line: "image label", paths below DIR
//! DIR/train/...        8-bit RGB PNG
//! DIR/trainannot/...   8-bit greyscale PNG, pixel = class id; or a palette PNG, index = class id
//! ```
//!
//! Where `train.txt` is absent, every `train/NAME.png` goes with `trainannot/NAME.png`, sorted by name.
//! Reading is strict: whatever does not fit is an error of one line, and nothing is guessed or skipped.
//!
//! With [`SegmentationOptions::size`], images are resized by area averaging or linear interpolation and label maps by
//! the nearest pixel, as the module [`resize`](crate::resize) states. Label ids are checked before that, in every
//! pixel of the file.
//!
//! ```
//! use ndarray::{Array3, array};
//! use termwise_datasets::png_out::{write_labels, write_picture};
//! use termwise_datasets::segmentation::{SegmentationFolder, SegmentationOptions};
//!
//! let folder = tempfile::tempdir()?;
//! let root = folder.path();
//! std::fs::create_dir(root.join("train"))?;
//! std::fs::create_dir(root.join("trainannot"))?;
//! std::fs::write(root.join("classes.txt"), "0 Sky\n4 Road\n11 Unlabelled\n")?;
//! write_picture(&root.join("train/a.png"), &Array3::from_elem((2, 2, 3), 51))?;
//! write_labels(&root.join("trainannot/a.png"), &array![[0, 4], [11, 4]])?;
//!
//! let options = SegmentationOptions { size: Some((2, 4)), ..SegmentationOptions::default() };
//! let data = SegmentationFolder::open(root, options)?;
//! assert_eq!((data.classes().names().len(), data.classes().num_classes(), data.classes().ignore()), (3, 2, 2));
//! let sample = data.split("train")?.load(0)?;
//! assert_eq!((sample.name.as_str(), sample.image[[0, 1, 3]]), ("train/a.png", 0.2)); // 51 of 255
//! assert_eq!(sample.labels, array![[0, 0, 1, 1], [2, 2, 1, 1]]); // numbered without gaps, twice as wide
//!
//! write_labels(&root.join("trainannot/a.png"), &array![[0, 4], [5, 4]])?;
//! let error = data.split("train")?.load_all().unwrap_err().to_string();
//! assert!(error.ends_with("row 1, column 0: expected one of the class ids 0, 4, 11 or the ignore id 11, found 5"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod list;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::classes::ClassList;
use crate::error::DataError;
use crate::files::expect_folder;
use crate::png_in::{read_image, read_labels};
use crate::resize::{resize_image, resize_labels};
use crate::sample::Sample;
use list::Entry;

/// How a folder is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentationOptions {
    /// (height, width) of every sample; without it each sample keeps the size of its files.
    pub size: Option<(usize, usize)>,
    /// The ignore id; without it the class named Unlabelled, void or ignore, else 255.
    pub ignore: Option<u8>,
}

/// An opened folder: its classes are read, its splits not yet.
#[derive(Clone, Debug)]
pub struct SegmentationFolder {
    root: PathBuf,
    classes: ClassList,
    options: SegmentationOptions,
}

impl SegmentationFolder {
    /// Opens a folder and reads `classes.txt`.
    ///
    /// # Errors
    /// An absent folder, and the errors of [`ClassList::read`].
    ///
    /// # Panics
    /// Where the size in the options has a zero.
    #[track_caller]
    pub fn open(root: &Path, options: SegmentationOptions) -> Result<Self, DataError> {
        if let Some(size) = options.size {
            assert!(size.0 > 0 && size.1 > 0, "segmentation: (height, width) must be positive, is {size:?}");
        }
        expect_folder(root, "data folder")?;
        let classes = ClassList::read(&root.join("classes.txt"), options.ignore)?;
        Ok(Self { root: root.to_owned(), classes, options })
    }

    /// The classes and the ignore id.
    pub fn classes(&self) -> &ClassList {
        &self.classes
    }

    /// The samples of a split such as `train`, listed but not loaded.
    ///
    /// # Errors
    /// A list that is absent (with no pair of folders in its place), empty or malformed, or that names a path
    /// outside of the folder or a file that does not exist.
    pub fn split(&self, name: &str) -> Result<SegmentationSplit<'_>, DataError> {
        let entries = list::entries(&self.root, name)?;
        Ok(SegmentationSplit { folder: self, entries })
    }
}

/// The samples of one split, in the order of its list.
#[derive(Clone, Debug)]
pub struct SegmentationSplit<'a> {
    folder: &'a SegmentationFolder,
    entries: Vec<Entry>,
}

impl SegmentationSplit<'_> {
    /// How many samples the split has; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an empty split is an error, so none is ever empty")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Loads one sample.
    ///
    /// # Errors
    /// A file that is absent, damaged or of another pixel format, a label out of range, or sizes that differ.
    ///
    /// # Panics
    /// Where `index` is not below [`len`](Self::len).
    #[track_caller]
    pub fn load(&self, index: usize) -> Result<Sample, DataError> {
        let len = self.len();
        assert!(index < len, "segmentation: sample {index} of a split with {len}");
        let entry = &self.entries[index];
        let (image_path, label_path) =
            (self.folder.root.join(&entry.image), self.folder.root.join(&entry.label));
        let image = read_image(&image_path)?;
        let mut labels = read_labels(&label_path)?;
        let (_, height, width) = image.dim();
        if labels.dim() != (height, width) {
            return Err(DataError::SizeMismatch {
                label: label_path,
                image: image_path,
                expected: (height, width),
                found: labels.dim(),
            });
        }
        let classes = &self.folder.classes;
        for ((row, column), id) in labels.indexed_iter_mut() {
            let found = *id;
            let Some(class) = classes.of_file_id(found) else {
                let expected = classes.file_ids();
                return Err(DataError::LabelRange { path: label_path, row, column, found, expected });
            };
            *id = class;
        }
        let (image, labels) = match self.folder.options.size {
            Some(size) if size != (height, width) => {
                (resize_image(&image, size), resize_labels(&labels, size))
            }
            _ => (image, labels),
        };
        Ok(Sample { name: entry.image.clone(), image, labels, objects: Vec::new() })
    }

    /// Loads every sample, several at a time, and returns them in the order of the list.
    ///
    /// # Errors
    /// As [`load`](Self::load); of several errors, that of the first sample in the list.
    pub fn load_all(&self) -> Result<Vec<Sample>, DataError> {
        let loaded: Vec<_> = (0..self.len()).into_par_iter().map(|index| self.load(index)).collect();
        loaded.into_iter().collect()
    }
}
