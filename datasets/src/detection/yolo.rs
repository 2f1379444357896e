//! YOLO: a folder of pictures beside one of text files, a line for each box.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::check::{Raw, RawBox, RawObject, RawRecord, StatedSize};
use super::classes::{MAX_CLASSES, read_names};
use super::find::Place;
use super::yaml::read_yaml_names;
use crate::error::{DataError, quote};
use crate::files::{file_names, read_text};
use crate::picture::EXTENSIONS;

const CLASS_FILES: [&str; 5] =
    ["classes.txt", "classes.names", "obj.names", "labels/classes.txt", "labels/classes.names"];

/// Looked into where none of the others is there.
const YAML_FILES: [&str; 3] = ["data.yaml", "data.yml", "dataset.yaml"];

/// Pictures of other kinds are refused rather than left out.
const UNREAD_EXTENSIONS: [&str; 8] = ["bmp", "webp", "tif", "tiff", "gif", "avif", "heic", "jp2"];

pub(super) fn read(root: &Path, place: &Place) -> Result<Raw, DataError> {
    let pictures = pictures(&root.join(&place.images))?;
    labels_have_pictures(&place.annotation, &pictures)?;
    let names = match read_names(root, &CLASS_FILES)? {
        Some(names) => Some(names),
        None => match YAML_FILES.iter().map(|file| root.join(file)).find(|path| path.is_file()) {
            Some(path) => read_yaml_names(&path)?,
            None => None,
        },
    };
    let files: Vec<_> =
        pictures.par_iter().map(|(stem, _)| labels(&place.annotation.join(format!("{stem}.txt")))).collect();
    let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
    let named = names.is_some();
    let used = files.iter().flatten().map(|(class, _)| class + 1).max();
    let classes = names.or_else(|| used.map(|count| (0..count).map(|class| class.to_string()).collect()));
    let Some(classes) = classes else {
        return Err(DataError::Content {
            path: place.annotation.clone(),
            field: "class list",
            expected: format!(
                "a box in at least one file, or one of {}, {}",
                CLASS_FILES.join(", "),
                YAML_FILES[0]
            ),
            found: "none".to_owned(),
        });
    };
    let mut records = Vec::with_capacity(files.len());
    for (index, ((stem, picture), objects)) in pictures.into_iter().zip(files).enumerate() {
        let with_class = |(class, object): (usize, RawObject)| RawObject {
            class: Some(class).filter(|class| *class < classes.len()).ok_or_else(|| class.to_string()),
            ..object
        };
        records.push(RawRecord {
            image_id: index as u64,
            name: format!("{}/{picture}", place.images),
            file: place.annotation.join(format!("{stem}.txt")),
            size: StatedSize::NotStated,
            objects: objects.into_iter().map(with_class).collect(),
        });
    }
    Ok(Raw { source: place.annotation.clone(), named, classes, records })
}

/// The pictures of a folder: the name without extension, by which labels are found, and the file name.
fn pictures(folder: &Path) -> Result<BTreeMap<String, String>, DataError> {
    let error = |expected: &str, found| DataError::Content {
        path: folder.to_owned(),
        field: "pictures of the split",
        expected: expected.to_owned(),
        found,
    };
    let mut pictures: BTreeMap<String, String> = BTreeMap::new();
    for name in file_names(folder, "pictures of the split")? {
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        let extension = extension.to_ascii_lowercase();
        if UNREAD_EXTENSIONS.contains(&extension.as_str()) {
            return Err(error("JPEG or PNG files", quote(&name)));
        }
        if !EXTENSIONS.contains(&extension.as_str()) {
            continue;
        }
        if let Some(other) = pictures.insert(stem.to_owned(), name.clone()) {
            let found = format!("{} and {}", quote(&other), quote(&name));
            return Err(error("one picture for each file of labels", found));
        }
    }
    if pictures.is_empty() {
        return Err(error("at least one .jpg, .jpeg or .png", "none".to_owned()));
    }
    Ok(pictures)
}

/// A file of labels without picture is a mistake to be seen. (A picture without labels is a picture without boxes.)
fn labels_have_pictures(labels: &Path, pictures: &BTreeMap<String, String>) -> Result<(), DataError> {
    for name in file_names(labels, "labels of the split")? {
        let Some(stem) = name.strip_suffix(".txt").filter(|stem| *stem != "classes") else { continue };
        if !pictures.contains_key(stem) {
            return Err(DataError::Missing {
                path: labels.join(&name),
                field: "labels",
                expected: "a picture of this name in the folder of the pictures",
                found: "none",
            });
        }
    }
    Ok(())
}

/// The boxes of a file with their classes; none where it is absent or empty.
fn labels(path: &Path) -> Result<Vec<(usize, RawObject)>, DataError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read_text(path, "labels")?;
    let mut objects = Vec::new();
    for (index, content) in text.lines().map(str::trim).enumerate().filter(|(_, content)| !content.is_empty())
    {
        let line = index + 1;
        let error = |field, expected: &str, found| DataError::Line {
            path: path.to_owned(),
            line,
            field,
            expected: expected.to_owned(),
            found,
        };
        let columns: Vec<&str> = content.split_whitespace().take(7).collect();
        let [class, x, y, width, height] = columns[..] else {
            let count = if columns.len() > 6 { "more than 6".to_owned() } else { columns.len().to_string() };
            let found = format!("{count}: {}", quote(content));
            return Err(error("columns", "5, \"class centre-x centre-y width height\"", found));
        };
        let class: usize = class
            .parse()
            .ok()
            .filter(|class| *class < MAX_CLASSES)
            .ok_or_else(|| error("class", "a whole number 0..=65535", quote(class)))?;
        let number = |field, text: &str| -> Result<f64, DataError> {
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            value.ok_or_else(|| error(field, "a finite number, a part of the picture", quote(text)))
        };
        let sides = [
            number("centre x", x)?,
            number("centre y", y)?,
            number("width", width)?,
            number("height", height)?,
        ];
        if let Some(side) = sides.iter().find(|side| side.abs() > MAX_RELATIVE) {
            let expected = "parts of the picture, from 0 to 1";
            return Err(error("box", expected, format!("{side}, as if it were in pixels")));
        }
        objects.push((
            class,
            RawObject {
                class: Ok(class),
                bounds: RawBox::Relative(sides),
                area: None,
                crowd: false,
                difficult: false,
                place: line,
            },
        ));
    }
    Ok(objects)
}

/// Beyond this a number is no part of a picture but a count of pixels.
const MAX_RELATIVE: f64 = 2.0;
