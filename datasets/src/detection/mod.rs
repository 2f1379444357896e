//! Folders of pictures with boxes: PASCAL VOC, COCO JSON and YOLO text.
//!
//! ```text
//! VOC    DIR/ImageSets/Main/train.txt         one picture name a line, without extension
//!        DIR/JPEGImages/NAME.jpg (or .jpeg, .png)
//!        DIR/Annotations/NAME.xml
//!        DIR/classes.txt                      optional: one class name a line, fixes the order
//! COCO   DIR/instances_train.json             or annotations/instances_train.json, or the only file of the form
//!                                             annotations/instances_train*.json (as instances_train2017.json)
//!        pictures in the first of images/train2017, images/train, train2017, train, images, JPEGImages, DIR that
//!        holds the first picture
//! YOLO   DIR/images/train/NAME.jpg, DIR/labels/train/NAME.txt    or train/images and train/labels
//!        DIR/classes.txt, classes.names, obj.names or labels/classes.txt    optional: one class name a line
//!        DIR/data.yaml, data.yml or dataset.yaml      optional, where none of these is there: its key names
//! ```
//!
//! Boxes are [`BoundingBox`]es: half open, in pixels of the picture file, x to the right and y down. VOC boxes are
//! `[xmin, ymin, xmax, ymax]` as the file has them, without a shift by one; COCO `[x, y, w, h]` becomes
//! `[x, y, x + w, y + h]`; YOLO `class cx cy w h` is relative to the size of the picture.
//!
//! # Classes
//!
//! COCO: the categories of the file in the order of their ids, which may have gaps: class k is the category with the
//! k-th smallest id. VOC: the list of the folder, else every name that the split uses, in the order of its bytes.
//! YOLO: the list of the folder, else "0", "1", ... up to the largest class that the split uses.
//! Two splits may thus know different classes; [`DetectionFolder::with_classes`] reads one with the list of the
//! other.
//!
//! # What is checked
//!
//! Numbers are finite, and whole where they must be; ids are unique; every picture, annotation and category that is
//! referred to exists; the size in the annotation is that of the picture. What breaks this is an error. Faults that
//! real data sets have and that concern one box are counted in a [`DetectionReport`], or refused under
//! [`Strictness::Strict`]: see [`Problem`].
//!
//! Of each picture only the header is read when a folder is opened; damage behind it is an error when the picture is
//! decoded, a cut file too.
//!
//! Pictures are JPEG or PNG files of any pixel format, converted to RGB (grey values three times, palettes looked up,
//! alpha left out, 16 bits rounded to 8). The orientation in the EXIF data is not applied, as annotations refer to the stored
//! pixels.
//!
//! ```
//! use ndarray::Array3;
//! use termwise_datasets::BoundingBox;
//! use termwise_datasets::detection::{DetectionFolder, DetectionFormat, Problem, Strictness};
//! use termwise_datasets::png_out::write_picture;
//!
//! // A picture of 40 x 20 pixels, 51 everywhere, with two boxes as YOLO writes them.
//! let folder = tempfile::tempdir()?;
//! let root = folder.path();
//! std::fs::create_dir_all(root.join("images/train"))?;
//! std::fs::create_dir_all(root.join("labels/train"))?;
//! write_picture(&root.join("images/train/a.png"), &Array3::from_elem((20, 40, 3), 51))?;
//! std::fs::write(root.join("labels/train/a.txt"), "1 0.5 0.5 0.25 0.5\n0 1.0 0.5 0.5 0.5\n")?;
//! std::fs::write(root.join("classes.txt"), "disc\nring\n")?;
//!
//! let train = DetectionFolder::open(root, "train", Strictness::Lenient)?;
//! assert_eq!((train.format(), train.len()), (DetectionFormat::Yolo, 1));
//! assert_eq!(train.classes(), ["disc", "ring"]);
//! let sample = train.load(0)?; // decoded here
//! assert_eq!((sample.size(), sample.image[[0, 0, 0]]), ((20, 40), 0.2));
//! let [ring, disc] = &sample.objects[..] else { panic!("two objects") };
//! assert_eq!((ring.class, ring.area), (1, 100.0));
//! assert_eq!(ring.bounds, BoundingBox { x0: 15.0, y0: 5.0, x1: 25.0, y1: 15.0 });
//!
//! // The other box would reach from column 30 to column 50.
//! assert_eq!(disc.bounds, BoundingBox { x0: 30.0, y0: 5.0, x1: 40.0, y1: 15.0 });
//! assert_eq!(train.report().count(Problem::PartlyOutside), 1);
//! assert!(DetectionFolder::open(root, "train", Strictness::Strict).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod classes;
mod coco;
mod find;
mod report;
mod sample;
mod voc;
mod yaml;
mod yolo;

use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{DataError, quote};
use crate::picture::read_picture;
#[cfg(doc)]
use crate::sample::BoundingBox;

pub use report::{DetectionReport, Finding, Problem, Strictness};
pub use sample::{DetectionObject, DetectionRecord, DetectionSample};

/// The layouts of folders that are read; the module documentation shows them.
///
/// # Examples
/// One box in two of them:
/// ```
/// use termwise_datasets::BoundingBox;
/// use termwise_datasets::detection::{DetectionFolder, Strictness};
/// # use std::{error::Error, fs};
/// # use termwise_datasets::png_out::write_picture;
/// # fn open(picture: &str, files: &[(&str, &str)]) -> Result<DetectionFolder, Box<dyn Error>> {
/// #     let folder = tempfile::tempdir()?;
/// #     for name in files.iter().map(|(name, _)| *name).chain([picture]) {
/// #         fs::create_dir_all(folder.path().join(name).parent().unwrap())?;
/// #     }
/// #     write_picture(&folder.path().join(picture), &ndarray::Array3::zeros((20, 40, 3)))?;
/// #     files.iter().try_for_each(|(name, content)| fs::write(folder.path().join(name), content))?;
/// #     Ok(DetectionFolder::open(folder.path(), "train", Strictness::Strict)?)
/// # }
/// let xml = "<annotation>
///     <size> <width>40</width> <height>20</height> </size>
///     <object>
///         <name>cell</name>
///         <bndbox> <xmin>15</xmin> <ymin>5</ymin> <xmax>25</xmax> <ymax>15</ymax> </bndbox>
///     </object>
/// </annotation>";
/// let voc = open("JPEGImages/a.png", &[("ImageSets/Main/train.txt", "a"), ("Annotations/a.xml", xml)])?;
///
/// let json = r#"{
///     "images": [{ "id": 7, "file_name": "a.png", "width": 40, "height": 20 }],
///     "annotations": [{ "image_id": 7, "category_id": 3, "bbox": [15, 5, 10, 10], "area": 80 }],
///     "categories": [{ "id": 3, "name": "cell" }]
/// }"#;
/// let coco = open("images/a.png", &[("instances_train.json", json)])?;
///
/// for (folder, name, image_id, area) in [(&voc, "voc", 0, 100.0), (&coco, "coco", 7, 80.0)] {
///     assert_eq!((folder.format().name(), folder.classes()), (name, &["cell".to_owned()][..]));
///     let record = &folder.records()[0];
///     assert_eq!((record.image_id, record.size, record.objects[0].area), (image_id, (20, 40), area));
///     assert_eq!(record.objects[0].bounds, BoundingBox { x0: 15.0, y0: 5.0, x1: 25.0, y1: 15.0 });
/// }
/// // The classes of another split: by name.
/// let classes = ["nucleus".to_owned(), "cell".to_owned()];
/// assert_eq!(coco.with_classes(&classes)?.records()[0].objects[0].class, 1);
/// assert!(voc.with_classes(&classes[..1]).is_err()); // a box of "cell" has no class there
/// # Ok::<(), Box<dyn Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DetectionFormat {
    /// PASCAL VOC XML.
    Voc,
    /// COCO instances JSON.
    Coco,
    /// YOLO text.
    Yolo,
}

impl DetectionFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Voc, Self::Coco, Self::Yolo];

    /// `voc`, `coco` or `yolo`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voc => "voc",
            Self::Coco => "coco",
            Self::Yolo => "yolo",
        }
    }
}

impl fmt::Display for DetectionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a folder is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectionOptions {
    /// The format; without it, the only one whose files are there.
    pub format: Option<DetectionFormat>,
    /// What happens to questionable boxes.
    pub strictness: Strictness,
    /// The class list, for instance of a checkpoint; boxes of other classes are a [`Problem::UnknownClass`]. Classes
    /// are matched by name; of YOLO folders without a class list, by id.
    pub classes: Option<Vec<String>>,
}

/// One split of a folder: its annotation is read and checked, its pictures are decoded on demand.
#[derive(Clone, Debug)]
pub struct DetectionFolder {
    root: PathBuf,
    format: DetectionFormat,
    /// The file or folder that the annotation was read from, for errors.
    source: PathBuf,
    /// Whether the classes have names; if not, they are "0", "1", ...
    named: bool,
    classes: Vec<String>,
    records: Vec<DetectionRecord>,
    report: DetectionReport,
}

impl DetectionFolder {
    /// Opens a split such as `train` of a folder, in the format that it holds.
    ///
    /// # Errors
    /// A folder that holds no or several formats (the error lists what was looked for), and every fault of the
    /// annotation or of the header of a picture that the module documentation lists.
    pub fn open(root: &Path, split: &str, strictness: Strictness) -> Result<Self, DataError> {
        Self::open_with(root, split, &DetectionOptions { strictness, ..DetectionOptions::default() })
    }

    /// Opens a split with a given format or class list.
    ///
    /// # Errors
    /// As [`open`](Self::open); also a class list that is empty or has a name twice.
    pub fn open_with(root: &Path, split: &str, options: &DetectionOptions) -> Result<Self, DataError> {
        let place = find::find(root, split, options.format)?;
        if let Some(classes) = &options.classes {
            check::class_names(root, classes)?;
        }
        let raw = match place.format {
            DetectionFormat::Voc => voc::read(root, &place)?,
            DetectionFormat::Coco => coco::read(root, split, &place)?,
            DetectionFormat::Yolo => yolo::read(root, &place)?,
        };
        check::checked(root, place.format, raw, options)
    }

    /// The same split with the class list of another, for instance that of the training split or of a checkpoint.
    ///
    /// Classes are matched by name; of YOLO folders without a class list, by id.
    ///
    /// # Errors
    /// Where the lists disagree: the split has boxes of a class that `classes` lacks; where `classes` is empty or has
    /// a name twice.
    pub fn with_classes(mut self, classes: &[String]) -> Result<Self, DataError> {
        check::class_names(&self.source, classes)?;
        let mut counts = vec![0u64; self.classes.len()];
        for object in self.records.iter().flat_map(|record| &record.objects) {
            counts[object.class] += 1;
        }
        let map = check::class_map(&self.classes, self.named, classes);
        if let Some(class) = (0..map.len()).find(|&class| map[class].is_none() && counts[class] > 0) {
            return Err(DataError::Content {
                path: self.source,
                field: "class list",
                expected: format!("only classes of the list that is used: {}", check::shortened(classes)),
                found: format!("{} boxes of {}", counts[class], quote(&self.classes[class])),
            });
        }
        for object in self.records.iter_mut().flat_map(|record| &mut record.objects) {
            object.class = map[object.class].expect("a class with boxes is in the list");
        }
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// The data folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The format that was read.
    pub fn format(&self) -> DetectionFormat {
        self.format
    }

    /// The names of the classes; the class of an object is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What was skipped or changed.
    pub fn report(&self) -> &DetectionReport {
        &self.report
    }

    /// How many pictures the split has; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an empty split is an error, so none is ever empty")]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The pictures with their sizes and objects, not decoded, in the order of the list, of the JSON, or of the names.
    pub fn records(&self) -> &[DetectionRecord] {
        &self.records
    }

    /// Decodes one picture.
    ///
    /// # Errors
    /// A file that has become absent, is damaged, or has changed its size since the folder was opened.
    ///
    /// # Panics
    /// Where `index` is not below [`len`](Self::len).
    #[track_caller]
    pub fn load(&self, index: usize) -> Result<DetectionSample, DataError> {
        let len = self.len();
        assert!(index < len, "detection: sample {index} of a split with {len}");
        let record = &self.records[index];
        let image = read_picture(&record.path)?;
        let (_, height, width) = image.dim();
        if (height, width) != record.size {
            return Err(DataError::Content {
                path: record.path.clone(),
                field: "height x width",
                expected: format!("{} x {} as when the folder was opened", record.size.0, record.size.1),
                found: format!("{height} x {width}"),
            });
        }
        Ok(DetectionSample {
            image_id: record.image_id,
            name: record.name.clone(),
            image,
            objects: record.objects.clone(),
        })
    }

    /// Decodes every picture, several at a time, and returns them in order.
    ///
    /// # Errors
    /// As [`load`](Self::load); of several errors, that of the first picture.
    pub fn load_all(&self) -> Result<Vec<DetectionSample>, DataError> {
        let loaded: Vec<_> = (0..self.len()).into_par_iter().map(|index| self.load(index)).collect();
        loaded.into_iter().collect()
    }
}
