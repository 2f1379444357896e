//! The classes of a data set and the id that stands for none of them.

use std::path::Path;

use crate::error::{DataError, quote};
use crate::files::read_text;

/// Names that mark a class as "no class" in `classes.txt`, in any case.
const IGNORE_NAMES: [&str; 5] = ["unlabelled", "unlabeled", "void", "ignore", "ignored"];

/// The default ignore id where no class carries such a name.
const DEFAULT_IGNORE: u8 = 255;

/// The names of the classes, by id, and the ignore id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    names: Vec<String>,
    ignore: u8,
}

impl ClassList {
    /// Classes 0, 1, ... with these names, and the id of pixels that belong to none.
    ///
    /// # Panics
    /// With no name, or with more than 255.
    #[track_caller]
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>, ignore: u8) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        assert!((1..=255).contains(&names.len()), "a class list has 1 to 255 names, not {}", names.len());
        Self { names, ignore }
    }

    /// Reads lines of `id name`, in any order; the ids are 0, 1, ... without a gap.
    ///
    /// The ignore id is `ignore` where given, else the class named Unlabelled, void or ignore (in any case), else 255.
    ///
    /// # Errors
    /// An absent or empty file, a line of another form, a repeated or missing id, a repeated name, or two classes
    /// whose names mean "ignore" while `ignore` is not given.
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
        if let Some(gap) = by_id.iter().position(Option::is_none) {
            let expected = format!("every id from 0 to {}", by_id.len() - 1);
            return Err(content_error("class ids", expected, format!("no id {gap}")));
        }
        let names: Vec<String> = by_id.into_iter().flatten().map(|(_, name)| name).collect();
        let ignored: Vec<usize> = (0..names.len())
            .filter(|&id| IGNORE_NAMES.contains(&names[id].to_lowercase().as_str()))
            .collect();
        let ignore = match (ignore, ignored.as_slice()) {
            (Some(id), _) => id,
            (None, []) => DEFAULT_IGNORE,
            (None, [id]) => *id as u8,
            (None, [first, second, ..]) => {
                let found = format!("{} and {}", quote(&names[*first]), quote(&names[*second]));
                return Err(content_error("ignore class", "at most one, or an explicit id".into(), found));
            }
        };
        let classes = Self { names, ignore };
        if classes.num_classes() == 0 {
            let expected = format!("a class other than the ignore id {ignore}");
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

    /// Whether a label map may have this id.
    pub fn allows(&self, id: u8) -> bool {
        usize::from(id) < self.names.len() || id == self.ignore
    }
}
