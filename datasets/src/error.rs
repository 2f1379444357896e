//! What can be wrong with files. Each error prints as one line: file, field, what was expected, what was found.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a file or a folder.
///
/// The display is one line; a path or a text from a file is printed with its control characters escaped.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use termwise_datasets::{ClassList, DataError};
/// let error = ClassList::read(Path::new("absent/classes.txt"), None).unwrap_err();
/// assert_eq!(error.to_string(), "absent/classes.txt: class list: expected a file, found nothing there");
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("classes.txt");
/// std::fs::write(&path, "0 Sky\n0 Road\n")?;
/// let DataError::Line { line, field, expected, found, .. } = ClassList::read(&path, None).unwrap_err() else {
///     panic!("expected the error of a line");
/// };
/// assert_eq!((line, field, expected.as_str()), (2, "class id", "each id once"));
/// assert_eq!(found, "id 0 again, as in line 1");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or a folder is absent, or is a thing of another kind.
    #[error("{}: {field}: expected {expected}, found {found}", show(path))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// The role of the path.
        field: &'static str,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },

    /// A file that exists cannot be read.
    #[error("{}: {field}: expected a readable file, found {source}", show(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The role of the file.
        field: &'static str,
        /// The system's reason.
        source: io::Error,
    },

    /// A line of a text file is not what its format asks for.
    #[error("{}, line {line}: {field}: expected {expected}, found {found}", show(path))]
    Line {
        /// The text file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The column or property that is wrong.
        field: &'static str,
        /// What the format asks for.
        expected: String,
        /// What the line has.
        found: String,
    },

    /// A text file or a folder as a whole is not what its format asks for.
    #[error("{}: {field}: expected {expected}, found {found}", show(path))]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// The property that is wrong.
        field: &'static str,
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A field of a structured file (JSON, XML, a binary header) is not what its format asks for.
    #[error("{}: {field}: expected {expected}, found {found}", show(path))]
    Field {
        /// The file.
        path: PathBuf,
        /// The way to the field, as `annotations[12].bbox[2]`.
        field: String,
        /// What the format asks for.
        expected: String,
        /// What the field has.
        found: String,
    },

    /// A file is not a PNG file, is damaged, or has another pixel format.
    #[error("{}: {field}: expected {expected}, found {found}", show(path))]
    Png {
        /// The file.
        path: PathBuf,
        /// The role of the file.
        field: &'static str,
        /// The pixel format that is read.
        expected: &'static str,
        /// What the file has.
        found: String,
    },

    /// A label map has an id that is neither a class nor the ignore id.
    #[error("{}: label at row {row}, column {column}: expected {expected}, found {found}", show(path))]
    LabelRange {
        /// The label file.
        path: PathBuf,
        /// The row of the first such pixel, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
        /// Its value.
        found: u8,
        /// Which ids are listed.
        expected: String,
    },

    /// A label map differs in size from its image.
    #[error(
        "{}: height x width: expected {} x {} as the image {}, found {} x {}",
        show(label),
        expected.0,
        expected.1,
        show(image),
        found.0,
        found.1
    )]
    SizeMismatch {
        /// The label file.
        label: PathBuf,
        /// The image file.
        image: PathBuf,
        /// (height, width) of the image.
        expected: (usize, usize),
        /// (height, width) of the label map.
        found: (usize, usize),
    },

    /// A file cannot be written. Nothing of it is left behind.
    #[error("{}: output file: expected to {action}, found {source}", show(path))]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// The step that failed.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// A path as one line of text.
fn show(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Text from a file as part of one line: control characters escaped, cut after 60 characters.
pub(crate) fn quote(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let dots = if cut.len() < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", one_line(&cut))
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
