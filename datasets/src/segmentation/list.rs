//! Which image goes with which label map.

use std::path::Path;

use crate::error::{DataError, quote};
use crate::files::{file_names, read_text, stays_inside};

/// The paths of a sample, relative to the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) image: String,
    pub(super) label: String,
}

/// The entries of `NAME.txt`, or of the folders `NAME/` and `NAMEannot/` where that list is absent.
pub(super) fn entries(root: &Path, name: &str) -> Result<Vec<Entry>, DataError> {
    let list = root.join(format!("{name}.txt"));
    let (images, labels) = (name.to_owned(), format!("{name}annot"));
    if list.exists() || list.is_symlink() {
        return from_list(root, &list);
    }
    if root.join(&images).is_dir() && root.join(&labels).is_dir() {
        return from_folders(root, &images, &labels);
    }
    Err(DataError::Missing {
        path: list,
        field: "list of the split",
        expected: "this list, or a folder of the split beside one of its labels (as train/ and trainannot/)",
        found: "neither",
    })
}

fn from_list(root: &Path, list: &Path) -> Result<Vec<Entry>, DataError> {
    let text = read_text(list, "list of the split")?;
    let mut entries = Vec::new();
    for (index, content) in text.lines().enumerate().filter(|(_, content)| !content.trim().is_empty()) {
        let error = |field, expected: &str, found| DataError::Line {
            path: list.to_owned(),
            line: index + 1,
            field,
            expected: expected.to_owned(),
            found,
        };
        let columns: Vec<&str> = content.split_whitespace().collect();
        let [image, label] = columns[..] else {
            let found = format!("{}: {}", columns.len(), quote(content.trim()));
            return Err(error("columns", "2, \"image label\"", found));
        };
        for (field, path) in [("image path", image), ("label path", label)] {
            if !stays_inside(path) {
                return Err(error(field, "a path inside the data folder", quote(path)));
            }
            if !root.join(path).is_file() {
                let found = format!("{}, which is absent", quote(path));
                return Err(error(field, "an existing file", found));
            }
        }
        entries.push(Entry { image: image.to_owned(), label: label.to_owned() });
    }
    if entries.is_empty() {
        return Err(DataError::Content {
            path: list.to_owned(),
            field: "list of the split",
            expected: "at least one line \"image label\"".to_owned(),
            found: "none".to_owned(),
        });
    }
    Ok(entries)
}

fn from_folders(root: &Path, images: &str, labels: &str) -> Result<Vec<Entry>, DataError> {
    let (image_names, label_names) = (png_names(&root.join(images))?, png_names(&root.join(labels))?);
    // Each image needs its label map and each label map its image: a difference is a mistake to be seen.
    for (names, others, folder, field) in
        [(&image_names, &label_names, labels, "label map"), (&label_names, &image_names, images, "image")]
    {
        if let Some(lonely) = names.iter().find(|name| others.binary_search(name).is_err()) {
            return Err(DataError::Missing {
                path: root.join(folder).join(lonely),
                field,
                expected: "a file, as the other folder of the pair has one of this name",
                found: "nothing there",
            });
        }
    }
    if image_names.is_empty() {
        return Err(DataError::Content {
            path: root.join(images),
            field: "images of the split",
            expected: "at least one file *.png".to_owned(),
            found: "none".to_owned(),
        });
    }
    let entry =
        |name: &String| Entry { image: format!("{images}/{name}"), label: format!("{labels}/{name}") };
    Ok(image_names.iter().map(entry).collect())
}

/// The names of the PNG files of a folder, sorted.
fn png_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names = file_names(folder, "folder of the split")?;
    names.retain(|name| name.to_lowercase().ends_with(".png"));
    Ok(names)
}
