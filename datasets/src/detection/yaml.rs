//! The class names in the `data.yaml` that YOLO tools write.
//!
//! Of the file, the key `names` is read: a list of names, or a mapping of the ids 0, 1, ... to names; and `nc`, the
//! number of names, where it is there. Everything else is passed over. The events of the parser are walked, not a tree,
//! so that aliases cannot grow the text.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser};

use super::check::class_names;
use super::classes::MAX_CLASSES;
use crate::error::{DataError, quote};
use crate::files::read_text;

/// The names of a file; none where it has no key `names`.
pub(super) fn read_yaml_names(path: &Path) -> Result<Option<Vec<String>>, DataError> {
    let text = read_text(path, "class list")?;
    let mut nodes = Nodes { path, events: Vec::new(), at: 0 };
    for event in Parser::new_from_str(&text) {
        let (event, span) = event.map_err(|error| DataError::Content {
            path: path.to_owned(),
            field: "class list",
            expected: "YAML".to_owned(),
            found: error.to_string(),
        })?;
        let is_content = !matches!(event, Event::Nothing | Event::StreamStart | Event::DocumentStart(_));
        nodes.events.extend(is_content.then(|| (event, span.start.line())));
    }
    if !matches!(nodes.next(), Some(Event::MappingStart(..))) {
        return Err(nodes.error("a mapping with the key names", "another kind of document"));
    }
    let (mut names, mut count) = (None, None);
    loop {
        let key = match nodes.next() {
            Some(Event::Scalar(key, ..)) => key.into_owned(),
            Some(Event::MappingEnd) | None => break,
            Some(_) => return Err(nodes.error("keys that are texts", "another kind of key")),
        };
        match key.as_str() {
            "names" if names.is_none() => names = Some(nodes.names()?),
            "nc" if count.is_none() => count = Some(nodes.whole("nc")?),
            "names" | "nc" => return Err(nodes.error("each key once", &format!("{key} again"))),
            _ => nodes.skip(),
        }
    }
    let Some(names) = names else { return Ok(None) };
    class_names(path, &names)?;
    match count.filter(|count| *count != names.len()) {
        Some(count) => Err(DataError::Content {
            path: path.to_owned(),
            field: "nc",
            expected: format!("{}, the number of names", names.len()),
            found: count.to_string(),
        }),
        None => Ok(Some(names)),
    }
}

/// The events of a document with their lines.
struct Nodes<'a> {
    path: &'a Path,
    events: Vec<(Event<'a>, usize)>,
    at: usize,
}

impl<'a> Nodes<'a> {
    fn next(&mut self) -> Option<Event<'a>> {
        let event = self.events.get(self.at)?.0.clone();
        self.at += 1;
        Some(event)
    }

    /// An error at the event that was read last.
    fn error(&self, expected: &str, found: &str) -> DataError {
        DataError::Line {
            path: self.path.to_owned(),
            line: self.events.get(self.at.saturating_sub(1)).map_or(1, |(_, line)| *line),
            field: "class list",
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    /// Passes over the next node with everything inside.
    fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some(event) = self.next() {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn name(&mut self) -> Result<String, DataError> {
        match self.next() {
            Some(Event::Scalar(name, ..)) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
            _ => Err(self.error("a class name", "none, or another kind of value")),
        }
    }

    fn whole(&mut self, what: &str) -> Result<usize, DataError> {
        let expected = format!("{what}, a whole number 0..={MAX_CLASSES}");
        match self.next() {
            Some(Event::Scalar(text, ..)) => {
                let number = text.parse().ok().filter(|number| *number <= MAX_CLASSES);
                number.ok_or_else(|| self.error(&expected, &quote(&text)))
            }
            _ => Err(self.error(&expected, "another kind of value")),
        }
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        match self.next() {
            Some(Event::SequenceStart(..)) => {
                let mut names = Vec::new();
                while !matches!(self.events.get(self.at), Some((Event::SequenceEnd, _)) | None) {
                    names.push(self.name()?);
                }
                self.at += 1;
                Ok(names)
            }
            Some(Event::MappingStart(..)) => {
                let mut names = BTreeMap::new();
                while !matches!(self.events.get(self.at), Some((Event::MappingEnd, _)) | None) {
                    let id = self.whole("a class id")?;
                    if names.insert(id, self.name()?).is_some() {
                        return Err(self.error("each id once", &format!("{id} again")));
                    }
                }
                self.at += 1;
                match (0..names.len()).find(|id| !names.contains_key(id)) {
                    Some(gap) => Err(self
                        .error(&format!("every id from 0 to {}", names.len() - 1), &format!("no id {gap}"))),
                    None => Ok(names.into_values().collect()),
                }
            }
            _ => Err(self.error("names, a list or a mapping of ids to names", "another kind of value")),
        }
    }
}
