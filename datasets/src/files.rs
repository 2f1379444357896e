//! Reading whole files, and writing them whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::error::{DataError, quote};

/// The bytes of a file. `field` is its role, for the error.
pub(crate) fn read_bytes(path: &Path, field: &'static str) -> Result<Vec<u8>, DataError> {
    let missing = |found| DataError::Missing { path: path.to_owned(), field, expected: "a file", found };
    if path.is_dir() {
        return Err(missing("a folder"));
    }
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => missing("nothing there"),
        _ => DataError::Unreadable { path: path.to_owned(), field, source },
    })
}

/// The text of a file, without a byte order mark.
pub(crate) fn read_text(path: &Path, field: &'static str) -> Result<String, DataError> {
    let text = String::from_utf8(read_bytes(path, field)?).map_err(|error| DataError::Content {
        path: path.to_owned(),
        field,
        expected: "UTF-8 text".to_owned(),
        found: format!("another byte at offset {}", error.utf8_error().valid_up_to()),
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The bytes of a file, unpacked where its name ends with `.gz`; at most `max_bytes` of them.
pub(crate) fn read_gzip_or_plain(
    path: &Path,
    field: &'static str,
    max_bytes: u64,
) -> Result<Vec<u8>, DataError> {
    let content =
        |expected: String, found| DataError::Content { path: path.to_owned(), field, expected, found };
    let too_large = || content(format!("at most {max_bytes} bytes of content"), "more than that".to_owned());
    let gzipped = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if !gzipped && fs::metadata(path).is_ok_and(|meta| meta.len() > max_bytes) {
        return Err(too_large());
    }
    let bytes = read_bytes(path, field)?;
    if !gzipped {
        return Ok(bytes);
    }
    if bytes.is_empty() {
        return Err(content("a gzip file".to_owned(), "an empty file".to_owned()));
    }
    let mut unpacked = Vec::new();
    // One byte more than allowed tells the two cases apart, whatever the header claims.
    MultiGzDecoder::new(bytes.as_slice())
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|error| content("a whole gzip file".to_owned(), format!("a damaged one: {error}")))?;
    if unpacked.len() as u64 > max_bytes { Err(too_large()) } else { Ok(unpacked) }
}

/// Fails where a path is not a folder.
pub(crate) fn expect_folder(path: &Path, field: &'static str) -> Result<(), DataError> {
    let missing = |found| DataError::Missing { path: path.to_owned(), field, expected: "a folder", found };
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(missing("a file")),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(missing("nothing there")),
        Err(source) => Err(DataError::Unreadable { path: path.to_owned(), field, source }),
    }
}

/// Whether a path, taken literally, stays below the folder that it is joined to. Symbolic links are followed: data
/// sets are often linked into place.
pub(crate) fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Writes a file whole or not at all: under a temporary name in the same folder, then renamed.
///
/// A reader sees the old file or the new one, never a part. The folder is not created.
///
/// # Errors
/// [`DataError::Unwritable`] with the step that failed; no temporary file is left.
///
/// # Examples
/// ```
/// use termwise_datasets::write_atomically;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("state.bin");
/// write_atomically(&path, b"first")?;
/// write_atomically(&path, b"second")?; // in its place
/// assert_eq!(std::fs::read(&path)?, b"second");
/// assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
/// let error = write_atomically(&folder.path().join("absent/state.bin"), b"third").unwrap_err();
/// assert!(error.to_string().contains("expected to create a file in its folder"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let error = |action, source| DataError::Unwritable { path: path.to_owned(), action, source };
    let temporary = temporary_name(path).map_err(|source| error("name a file", source))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .map_err(|source| error("create a file in its folder", source))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file); // before the rename: an open file cannot be renamed everywhere
    let result = written.map_err(|source| error("write it", source)).and_then(|()| {
        fs::rename(&temporary, path).map_err(|source| error("rename a temporary file to it", source))
    });
    if result.is_err() {
        let _ = fs::remove_file(&temporary); // the first error is the one to report
    }
    result
}

/// A name in the same folder that no other writer uses.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a name"))?;
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = format!(".{}.{}.{count}.tmp", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(temporary))
}

/// The file names of a folder that are UTF-8, sorted. Hidden files do not count.
pub(crate) fn file_names(folder: &Path, field: &'static str) -> Result<Vec<String>, DataError> {
    let unreadable = |source| DataError::Unreadable { path: folder.to_owned(), field, source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.into_string().map_err(|name| DataError::Content {
            path: folder.to_owned(),
            field: "file name",
            expected: "UTF-8".to_owned(),
            found: quote(&name.to_string_lossy()),
        })?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomically(&path, b"the first and longer content").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(entries(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_failed_write_is_one_line_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent/a.bin");
        let error = write_atomically(&absent, b"x").unwrap_err().to_string();
        assert!(
            error.contains("absent/a.bin: output file: expected to create a file in its folder"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);

        // A folder with content stands in the way: the rename fails after the temporary file was written.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"kept").unwrap();
        let error = write_atomically(&taken, b"x").unwrap_err().to_string();
        assert!(error.contains("expected to rename a temporary file to it"), "{error}");
        assert_eq!(entries(folder.path()), ["taken"]);
        assert_eq!(fs::read(taken.join("inside")).unwrap(), b"kept");
    }
}
