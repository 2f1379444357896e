//! The classes of a data set and the id that stands for none of them.

use std::path::Path;

use crate::error::{DataError, quote};
use crate::files::read_text;

/// Names that mark a class as "no class" in `classes.txt`, in any case.
const IGNORE_NAMES: [&str; 5] = ["unlabelled", "unlabeled", "void", "ignore", "ignored"];

/// The default ignore id where no class carries such a name.
const DEFAULT_IGNORE: u8 = 255;

/// The names of the classes, by id, and the ignore id.
///
/// Ids in files may have gaps; classes are numbered without any, in the order of these ids.
///
/// # Examples
/// ```
/// use termwise_datasets::ClassList;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("classes.txt");
/// std::fs::write(&path, "7 Road\n3 Sky\n11 Void\n")?;
/// let classes = ClassList::read(&path, None)?;
/// assert_eq!(classes.names(), ["Sky", "Road", "Void"]);
/// assert_eq!((classes.num_classes(), classes.ignore()), (2, 2)); // Void, by its name
/// assert_eq!((classes.of_file_id(3), classes.of_file_id(7), classes.of_file_id(11)), (Some(0), Some(1), Some(2)));
/// assert_eq!((classes.of_file_id(5), classes.of_file_id(255)), (None, None)); // not listed
///
/// // Another ignore id: Void is a class as any other, and 255 marks the pixels that do not count.
/// let classes = ClassList::read(&path, Some(255))?;
/// assert_eq!((classes.num_classes(), classes.ignore(), classes.of_file_id(255)), (3, 255, Some(255)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    names: Vec<String>,
    ignore: u8,
    /// The id of each class in files, ascending.
    file_ids: Vec<u8>,
    /// The ignore id in files.
    file_ignore: u8,
}

impl ClassList {
    /// Classes 0, 1, ... with these names, and the id of pixels that belong to none: that of one of the classes, or
    /// one beyond them.
    ///
    /// # Panics
    /// With no name, or with more than 255.
    #[track_caller]
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>, ignore: u8) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        assert!((1..=255).contains(&names.len()), "a class list has 1 to 255 names, not {}", names.len());
        let file_ids = (0..names.len() as u8).collect();
        Self { names, ignore, file_ids, file_ignore: ignore }
    }

    /// Reads lines of `id name`, in any order; the ids may have gaps.
    ///
    /// The ignore id, as it stands in files, is `ignore` where given, else that of the class named Unlabelled, void or ignore (in
    /// any case), else 255.
    ///
    /// # Errors
    /// An absent or empty file, a line of another form, a repeated id, a repeated name, or two classes
    /// whose names mean "ignore" while `ignore` is not given; no class but the ignored one.
    pub fn read(path: &Path, ignore: Option<u8>) -> Result<Self, DataError> {
        let text = read_text(path, "class list")?;
        let mut by_id: Vec<Option<(usize, String)>> = Vec::new(); // (line, name) of each id
        for (index, content) in text.lines().enumerate().filter(|(_, content)| !content.trim().is_empty()) {
            let line = index + 1;
            let error = |field, expected: &str, found: String| DataError::Line {
                path: path.to_owned(),
                line,
                field,
                expected: expected.to_owned(),
                found,
            };
            let (id, name) = content.trim().split_once(char::is_whitespace).ok_or_else(|| {
                error("columns", "\"id name\"", format!("one column, {}", quote(content.trim())))
            })?;
            let id: usize = id
                .parse()
                .ok()
                .filter(|id| *id < 255)
                .ok_or_else(|| error("class id", "a whole number 0..=254", quote(id)))?;
            let name = name.trim();
            if by_id.len() <= id {
                by_id.resize(id + 1, None);
            }
            if let Some((earlier, _)) = &by_id[id] {
                let found = format!("id {id} again, as in line {earlier}");
                return Err(error("class id", "each id once", found));
            }
            if let Some((earlier, _)) = by_id.iter().flatten().find(|(_, other)| other == name) {
                let found = format!("{} again, as in line {earlier}", quote(name));
                return Err(error("class name", "each name once", found));
            }
            by_id[id] = Some((line, name.to_owned()));
        }
        let content_error = |field, expected: String, found: String| DataError::Content {
            path: path.to_owned(),
            field,
            expected,
            found,
        };
        if by_id.is_empty() {
            return Err(content_error("class list", "at least one line \"id name\"".into(), "none".into()));
        }
        let listed = by_id.into_iter().enumerate().filter_map(|(id, entry)| Some((id as u8, entry?.1)));
        let (file_ids, names): (Vec<u8>, Vec<String>) = listed.unzip();
        let ignored: Vec<usize> = (0..names.len())
            .filter(|&id| IGNORE_NAMES.contains(&names[id].to_lowercase().as_str()))
            .collect();
        let file_ignore = match (ignore, ignored.as_slice()) {
            (Some(id), _) => id,
            (None, []) => DEFAULT_IGNORE,
            (None, [class]) => file_ids[*class],
            (None, [first, second, ..]) => {
                let found = format!("{} and {}", quote(&names[*first]), quote(&names[*second]));
                return Err(content_error("ignore class", "at most one, or an explicit id".into(), found));
            }
        };
        let ignore = match file_ids.binary_search(&file_ignore) {
            Ok(class) => class as u8,
            Err(_) if usize::from(file_ignore) < names.len() => DEFAULT_IGNORE, // there it would be a class
            Err(_) => file_ignore,
        };
        let classes = Self { names, ignore, file_ids, file_ignore };
        if classes.num_classes() == 0 {
            let expected = format!("a class other than the ignore id {file_ignore}");
            return Err(content_error("class list", expected, "none".into()));
        }
        Ok(classes)
    }

    /// The names, by id, the ignore class included where it has a name.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The id of pixels that no loss and no metric counts.
    pub fn ignore(&self) -> u8 {
        self.ignore
    }

    /// How many scores a model gives for each pixel: the largest id that counts, plus 1.
    ///
    /// ```
    /// use termwise_datasets::ClassList;
    /// assert_eq!(ClassList::new(["Sky", "Road", "Unlabelled"], 2).num_classes(), 2);
    /// assert_eq!(ClassList::new(["void", "Sky", "Road"], 0).num_classes(), 3); // score 0 is never asked for
    /// assert_eq!(ClassList::new(["Sky", "Road"], 255).num_classes(), 2);
    /// ```
    pub fn num_classes(&self) -> usize {
        (0..self.names.len()).rev().find(|&id| id != usize::from(self.ignore)).map_or(0, |id| id + 1)
    }

    /// The class, or the ignore id, that a pixel of a file stands for; `None` for an id that is not listed.
    pub fn of_file_id(&self, id: u8) -> Option<u8> {
        match self.file_ids.binary_search(&id) {
            Ok(class) => Some(class as u8),
            Err(_) => (id == self.file_ignore).then_some(self.ignore),
        }
    }

    /// Which ids a file may have, in words.
    pub(crate) fn file_ids(&self) -> String {
        let (count, last) = (self.names.len(), self.names.len() - 1);
        if usize::from(self.file_ids[last]) == last {
            return format!("a class id 0..={last} ({count} classes) or the ignore id {}", self.file_ignore);
        }
        let ids: Vec<String> = self.file_ids.iter().map(u8::to_string).collect();
        format!("one of the class ids {} or the ignore id {}", ids.join(", "), self.file_ignore)
    }
}
