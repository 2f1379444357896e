//! Which format a folder holds.

use std::fs;
use std::path::{Path, PathBuf};

use super::DetectionFormat;
use crate::error::{DataError, quote};
use crate::files::expect_folder;

/// The annotation of a split.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) format: DetectionFormat,
    /// VOC: the list of the split. COCO: the JSON file. YOLO: the folder of the labels.
    pub(super) annotation: PathBuf,
    /// YOLO: the folder of the pictures, below the data folder.
    pub(super) images: String,
}

/// The annotation of a split, in the given format or in the only one that is there.
pub(super) fn find(root: &Path, split: &str, format: Option<DetectionFormat>) -> Result<Place, DataError> {
    expect_folder(root, "data folder")?;
    let error = |field, expected: String, found: String| DataError::Content {
        path: root.to_owned(),
        field,
        expected,
        found,
    };
    if split.is_empty() || split.starts_with('.') || split.contains(['/', '\\', '\0']) {
        return Err(error("split", "the name of a split such as train".to_owned(), quote(split)));
    }
    let formats = format.map_or(DetectionFormat::ALL.to_vec(), |format| vec![format]);
    let mut places = Vec::new();
    for &format in &formats {
        places.extend(match format {
            DetectionFormat::Voc => find_voc(root, split),
            DetectionFormat::Coco => find_coco(root, split)?,
            DetectionFormat::Yolo => find_yolo(root, split)?,
        });
    }
    if places.len() > 1 {
        let found: Vec<String> = places
            .iter()
            .map(|place| format!("{} ({})", place.format, below(root, &place.annotation)))
            .collect();
        let expected = "one format of annotation, or the choice of one".to_owned();
        return Err(error("annotation of the split", expected, found.join(" and ")));
    }
    places.pop().ok_or_else(|| {
        let looked: Vec<String> = formats.iter().map(|format| looked_for(*format, split)).collect();
        error("annotation of the split", looked.join(", or "), "none of them".to_owned())
    })
}

/// The files by which a format is known.
fn looked_for(format: DetectionFormat, split: &str) -> String {
    match format {
        DetectionFormat::Voc => format!("ImageSets/Main/{split}.txt with JPEGImages/ and Annotations/ (voc)"),
        DetectionFormat::Coco => {
            format!("instances_{split}.json or annotations/instances_{split}*.json (coco)")
        }
        DetectionFormat::Yolo => {
            format!("images/{split}/ with labels/{split}/, or {split}/images/ with {split}/labels/ (yolo)")
        }
    }
}

fn find_voc(root: &Path, split: &str) -> Option<Place> {
    let annotation = root.join("ImageSets/Main").join(format!("{split}.txt"));
    (annotation.is_file() && root.join("JPEGImages").is_dir() && root.join("Annotations").is_dir())
        .then(|| Place { format: DetectionFormat::Voc, annotation, images: "JPEGImages".to_owned() })
}

fn find_coco(root: &Path, split: &str) -> Result<Option<Place>, DataError> {
    let (prefix, suffix) = (format!("instances_{split}"), ".json");
    for folder in [root.to_owned(), root.join("annotations")] {
        let exact = folder.join(format!("{prefix}{suffix}"));
        let annotation = if exact.is_file() {
            Some(exact)
        } else {
            let matches = |name: &str| name.starts_with(&prefix) && name.ends_with(suffix);
            the_only(&folder, "annotation of the split", &matches)?.filter(|path| path.is_file())
        };
        if let Some(annotation) = annotation {
            return Ok(Some(Place { format: DetectionFormat::Coco, annotation, images: String::new() }));
        }
    }
    Ok(None)
}

fn find_yolo(root: &Path, split: &str) -> Result<Option<Place>, DataError> {
    let place = |images: String, labels: String| {
        let annotation = root.join(labels);
        (root.join(&images).is_dir() && annotation.is_dir()).then_some(Place {
            format: DetectionFormat::Yolo,
            annotation,
            images,
        })
    };
    let exact = place(format!("images/{split}"), format!("labels/{split}"))
        .or_else(|| place(format!("{split}/images"), format!("{split}/labels")));
    if exact.is_some() {
        return Ok(exact);
    }
    // train2017 for train
    let year = |name: &str| {
        name.strip_prefix(split)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let folder = the_only(&root.join("labels"), "labels of the split", &year)?;
    let name = folder.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    Ok(name.and_then(|name| place(format!("images/{name}"), format!("labels/{name}"))))
}

/// The only entry of a folder whose name matches; none where the folder is absent.
fn the_only(
    folder: &Path,
    field: &'static str,
    matches: &dyn Fn(&str) -> bool,
) -> Result<Option<PathBuf>, DataError> {
    let unreadable = |source| DataError::Unreadable { path: folder.to_owned(), field, source };
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        names.extend(name.to_str().filter(|name| matches(name)).map(str::to_owned));
    }
    names.sort();
    if names.len() > 1 {
        return Err(DataError::Content {
            path: folder.to_owned(),
            field,
            expected: "one that fits, or the full name of the split".to_owned(),
            found: names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", "),
        });
    }
    Ok(names.pop().map(|name| folder.join(name)))
}

/// A path below the data folder.
pub(super) fn below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
