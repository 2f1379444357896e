//! Where results go: standard output, and a folder of files that are whole or absent.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use termwise_datasets::write_atomically;

use super::fault::Fault;

/// Writes a line to standard output. Unlike `println!` it does not panic where the reader has left.
pub fn say(line: &str) -> Result<(), Fault> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// A folder that is known to be writable, and that no other run writes into meanwhile.
///
/// Folders made for it disappear again where nothing was written into them.
pub struct OutputFolder {
    path: PathBuf,
    made: Vec<PathBuf>,
    /// Holds the lock on the folder; the system releases it however the process ends.
    _lock: Option<fs::File>,
}

impl OutputFolder {
    /// Makes the folder where it is absent, and tries to write into it: a long computation should not
    /// find out at its end.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let fault =
            |found: String| Fault::of_file(path, "output folder", "a folder that can be written into", found);
        if fs::metadata(path).is_ok_and(|meta| !meta.is_dir()) {
            return Err(fault("a file".into()));
        }
        let made = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
        let made: Vec<PathBuf> = made.map(Path::to_owned).collect();
        let mut folder = OutputFolder { path: path.to_owned(), made, _lock: None };
        fs::create_dir_all(path).map_err(|error| fault(error.to_string()))?;
        // A folder opens as a file, and can be locked, on Unix alone; elsewhere there is no lock.
        if let Ok(lock) = fs::File::open(path) {
            if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
                let expected = "a folder that no other run writes into";
                return Err(Fault::of_file(path, "output folder", expected, "one in use by another run"));
            }
            folder._lock = Some(lock);
        }
        let trial = path.join(format!(".termwise.{}.tmp", std::process::id()));
        fs::write(&trial, b"trial")
            .and_then(|()| fs::remove_file(&trial))
            .map_err(|error| fault(error.to_string()))?;
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file, whole or not at all.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf, Fault> {
        let path = self.file(name);
        write_atomically(&path, bytes.as_ref())?;
        Ok(path)
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        for folder in &self.made {
            // Fails where it is not empty: then it holds results.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Text in columns: the first to the left, the others to the right.
pub fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| -> String {
        let mut text = String::new();
        for (column, (cell, width)) in cells.into_iter().zip(&widths).enumerate() {
            text += &if column == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") };
        }
        text.trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_results_disappear_and_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        drop(OutputFolder::open(&deep).unwrap_or_else(|_| panic!()));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let folder = OutputFolder::open(&deep).unwrap_or_else(|_| panic!());
        folder.write("x.txt", "result").unwrap_or_else(|_| panic!());
        drop(folder);
        assert_eq!(fs::read_to_string(deep.join("x.txt")).unwrap(), "result");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let Err(Fault::Input(message)) = OutputFolder::open(&path) else {
                panic!("{path:?} is a folder")
            };
            assert!(
                message.starts_with(&format!("{}: output folder: expected a folder", path.display())),
                "{message}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_in_use_is_refused_until_it_is_free() {
        let root = tempfile::tempdir().unwrap();
        let first = OutputFolder::open(root.path()).unwrap_or_else(|_| panic!());
        let Err(Fault::Input(message)) = OutputFolder::open(root.path()) else {
            panic!("a folder in use is opened")
        };
        assert!(message.contains("expected a folder that no other run writes into"), "{message}");
        drop(first);
        assert!(OutputFolder::open(root.path()).is_ok());
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["w/o".into(), "0.5".into()], vec!["0010+deformable".into(), "12.25".into()]];
        assert_eq!(
            columns(&["code", "IoU"], &rows),
            "code               IoU\nw/o                0.5\n0010+deformable  12.25"
        );
    }
}
