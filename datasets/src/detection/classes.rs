//! Files with one class name a line.

use std::path::Path;

use crate::error::{DataError, quote};
use crate::files::read_text;

/// The most classes that a list may have.
pub(super) const MAX_CLASSES: usize = 65_536;

/// The names in the first of these files that exists. White space around a name does not count; empty lines only at
/// the end.
pub(super) fn read_names(root: &Path, files: &[&str]) -> Result<Option<Vec<String>>, DataError> {
    let Some(path) = files.iter().map(|file| root.join(file)).find(|path| path.is_file()) else {
        return Ok(None);
    };
    let text = read_text(&path, "class list")?;
    let mut names: Vec<String> = Vec::new();
    let mut lines = std::collections::HashMap::new();
    for (index, name) in text.trim_end().lines().map(str::trim).enumerate() {
        let error = |expected: &str, found| DataError::Line {
            path: path.clone(),
            line: index + 1,
            field: "class name",
            expected: expected.to_owned(),
            found,
        };
        if name.is_empty() {
            return Err(error("a class name: the line gives the id", "an empty line".to_owned()));
        }
        if names.len() == MAX_CLASSES {
            return Err(error("at most 65536 classes", "one more".to_owned()));
        }
        if let Some(earlier) = lines.insert(name.to_owned(), index + 1) {
            return Err(error("each name once", format!("{} again, as in line {earlier}", quote(name))));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(DataError::Content {
            path,
            field: "class list",
            expected: "at least one class name".to_owned(),
            found: "none".to_owned(),
        });
    }
    Ok(Some(names))
}
