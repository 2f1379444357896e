//! What every format has in common: from boxes as the file has them to checked records.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::report::{DetectionReport, Problem};
use super::sample::{DetectionObject, DetectionRecord};
use super::{DetectionFolder, DetectionFormat, DetectionOptions};
use crate::error::{DataError, quote};
use crate::picture::read_picture_size;
use crate::sample::BoundingBox;

/// How far, in pixels, a box may reach beyond its picture without being counted: decimal text is rounded.
const ROUNDING: f64 = 0.01;

/// An annotation whose numbers are read, but not yet compared with the pictures.
pub(super) struct Raw {
    /// The file or folder that the annotation was read from.
    pub(super) source: PathBuf,
    /// Whether the classes have names; if not, they are called "0", "1", ...
    pub(super) named: bool,
    pub(super) classes: Vec<String>,
    pub(super) records: Vec<RawRecord>,
}

pub(super) struct RawRecord {
    pub(super) image_id: u64,
    /// The path of the picture below the data folder.
    pub(super) name: String,
    /// The annotation file of this picture.
    pub(super) file: PathBuf,
    /// (height, width) as that file has it.
    pub(super) size: StatedSize,
    pub(super) objects: Vec<RawObject>,
}

pub(super) enum StatedSize {
    Pixels(usize, usize),
    /// The format has a place for it, which is empty.
    Absent,
    /// The format has no place for it.
    NotStated,
}

pub(super) struct RawObject {
    /// An index into the classes, or the class as the file calls it where the list does not have it.
    pub(super) class: Result<usize, String>,
    pub(super) bounds: RawBox,
    pub(super) area: Option<f32>,
    pub(super) crowd: bool,
    pub(super) difficult: bool,
    /// The line of the text file, or the index of the annotation in the JSON.
    pub(super) place: usize,
}

pub(super) enum RawBox {
    /// x0, y0, x1, y1 in pixels.
    Corners([f64; 4]),
    /// Centre x, y, width, height as parts of the size of the picture.
    Relative([f64; 4]),
}

impl RawBox {
    fn corners(&self, (height, width): (usize, usize)) -> [f64; 4] {
        let (height, width) = (height as f64, width as f64);
        match *self {
            Self::Corners(corners) => corners,
            Self::Relative([x, y, w, h]) => {
                [(x - w / 2.0) * width, (y - h / 2.0) * height, (x + w / 2.0) * width, (y + h / 2.0) * height]
            }
        }
    }
}

/// Compares an annotation with its pictures, and applies the class list of the options.
pub(super) fn checked(
    root: &Path,
    format: DetectionFormat,
    raw: Raw,
    options: &DetectionOptions,
) -> Result<DetectionFolder, DataError> {
    let Raw { source, named, classes, records: raw_records } = raw;
    let list = options.classes.as_ref().unwrap_or(&classes);
    let map = class_map(&classes, named, list);
    // Headers only, several at a time; of several errors, that of the first picture.
    let sizes: Vec<_> =
        raw_records.par_iter().map(|record| read_picture_size(&root.join(&record.name))).collect();
    let mut check =
        Check { format, options, classes: &classes, list, map, report: DetectionReport::default() };
    let mut records = Vec::with_capacity(raw_records.len());
    for (raw, size) in raw_records.into_iter().zip(sizes) {
        let path = root.join(&raw.name);
        records.push(check.record(raw, path, size?)?);
    }
    let (report, classes) = (check.report, list.clone());
    Ok(DetectionFolder { root: root.to_owned(), format, source, named, classes, records, report })
}

/// Where each class stands in another list: by name where it has one, else by id.
pub(super) fn class_map(classes: &[String], named: bool, list: &[String]) -> Vec<Option<usize>> {
    let ids: HashMap<&String, usize> = list.iter().enumerate().map(|(class, name)| (name, class)).collect();
    let place = |(class, name): (usize, &String)| match named {
        true => ids.get(name).copied(),
        false => Some(class).filter(|class| *class < list.len()),
    };
    classes.iter().enumerate().map(place).collect()
}

struct Check<'a> {
    format: DetectionFormat,
    options: &'a DetectionOptions,
    classes: &'a [String],
    list: &'a [String],
    map: Vec<Option<usize>>,
    report: DetectionReport,
}

impl Check<'_> {
    fn record(
        &mut self,
        raw: RawRecord,
        path: PathBuf,
        size: (usize, usize),
    ) -> Result<DetectionRecord, DataError> {
        match raw.size {
            StatedSize::Pixels(height, width) if (height, width) != size => {
                return Err(DataError::SizeMismatch {
                    label: raw.file,
                    image: path,
                    expected: size,
                    found: (height, width),
                });
            }
            StatedSize::Absent => {
                self.report.add(self.options.strictness, Problem::NoSize, || DataError::Content {
                    path: raw.file.clone(),
                    field: "size",
                    expected: format!("width {} and height {} of the picture {}", size.1, size.0, raw.name),
                    found: "none, or 0".to_owned(),
                })?
            }
            StatedSize::Pixels(..) | StatedSize::NotStated => {}
        }
        let mut objects = Vec::with_capacity(raw.objects.len());
        for object in &raw.objects {
            if let Some(object) = self.object(object, &raw.file, size)? {
                objects.push(object);
            }
        }
        Ok(DetectionRecord { image_id: raw.image_id, name: raw.name, path, size, objects })
    }

    /// None where the object is counted and skipped.
    fn object(
        &mut self,
        raw: &RawObject,
        file: &Path,
        size: (usize, usize),
    ) -> Result<Option<DetectionObject>, DataError> {
        let strictness = self.options.strictness;
        let format = self.format;
        let class = match &raw.class {
            Ok(class) => self.map[*class].ok_or_else(|| quote(&self.classes[*class])),
            Err(name) => Err(name.clone()),
        };
        let class = match class {
            Ok(class) => class,
            Err(found) => {
                let expected = || format!("a class of the list: {}", shortened(self.list));
                self.report.add(strictness, Problem::UnknownClass, || {
                    box_error(format, file, raw.place, false, expected(), found)
                })?;
                return Ok(None);
            }
        };
        let [x0, y0, x1, y1] = raw.bounds.corners(size);
        let (height, width) = (size.0 as f64, size.1 as f64);
        let inside = BoundingBox {
            x0: x0.clamp(0.0, width) as f32,
            y0: y0.clamp(0.0, height) as f32,
            x1: x1.clamp(0.0, width) as f32,
            y1: y1.clamp(0.0, height) as f32,
        };
        let beyond = (-x0).max(-y0).max(x1 - width).max(y1 - height);
        let problem = if !(x1 > x0 && y1 > y0) {
            Some((Problem::NoArea, "a box with x0 < x1 and y0 < y1".to_owned()))
        } else if !(x0 < width && y0 < height && x1 > 0.0 && y1 > 0.0) {
            let expected = format!("a box that meets the picture of {} x {} pixels", size.1, size.0);
            Some((Problem::Outside, expected))
        } else if !(inside.x1 > inside.x0 && inside.y1 > inside.y0) {
            // A sliver that single precision, or the edge of the picture, leaves without area.
            Some((Problem::NoArea, "a box whose part in the picture has an area".to_owned()))
        } else if beyond > ROUNDING {
            let expected = format!("a box inside of the picture of {} x {} pixels", size.1, size.0);
            Some((Problem::PartlyOutside, expected))
        } else {
            None
        };
        if let Some((problem, expected)) = problem {
            let found = format!("x {x0} to {x1}, y {y0} to {y1}");
            self.report
                .add(strictness, problem, || box_error(format, file, raw.place, true, expected, found))?;
            if problem != Problem::PartlyOutside {
                return Ok(None);
            }
        }
        Ok(Some(DetectionObject {
            class,
            bounds: inside,
            area: raw.area.unwrap_or(inside.area()),
            crowd: raw.crowd,
            difficult: raw.difficult,
            mask: None,
        }))
    }
}

/// The error of one object: of its box, or of its class.
fn box_error(
    format: DetectionFormat,
    file: &Path,
    place: usize,
    of_box: bool,
    expected: String,
    found: String,
) -> DataError {
    let path = file.to_owned();
    let line = |field| DataError::Line {
        path: path.clone(),
        line: place,
        field,
        expected: expected.clone(),
        found: found.clone(),
    };
    match format {
        DetectionFormat::Voc => line(if of_box { "bndbox" } else { "name" }),
        DetectionFormat::Yolo => line(if of_box { "box" } else { "class" }),
        DetectionFormat::Coco => {
            let field = if of_box { "bbox" } else { "category_id" };
            DataError::Field { path, field: format!("annotations[{place}].{field}"), expected, found }
        }
    }
}

/// Fails where a class list is empty or has a name twice.
pub(super) fn class_names(path: &Path, classes: &[String]) -> Result<(), DataError> {
    let error = |expected: &str, found| DataError::Content {
        path: path.to_owned(),
        field: "class list",
        expected: expected.to_owned(),
        found,
    };
    if classes.is_empty() {
        return Err(error("at least one class", "none".to_owned()));
    }
    let mut sorted: Vec<&String> = classes.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(error("each class once", format!("{} twice", quote(pair[0])))),
        None => Ok(()),
    }
}

/// The first names of a list, in quotes.
pub(super) fn shortened(classes: &[String]) -> String {
    let mut text = classes.iter().take(8).map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    if classes.len() > 8 {
        text.push_str(&format!(", ... ({} in all)", classes.len()));
    }
    text
}
