//! Finding, unpacking and splitting the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ParallelText, TranslationOptions, TranslationReport};
use crate::error::{DataError, quote};
use crate::files::{expect_folder, read_gzip_or_plain};

const FIELD: &str = "parallel text";

pub(super) fn open(
    root: &Path,
    split: &str,
    options: &TranslationOptions,
) -> Result<ParallelText, DataError> {
    expect_folder(root, "data folder")?;
    let error = |path: &Path, field, expected: String, found: String| DataError::Content {
        path: path.to_owned(),
        field,
        expected,
        found,
    };
    if split.is_empty() || split.starts_with('.') || split.contains(['/', '\\', '\0']) {
        return Err(error(root, "split", "the name of a split such as train".to_owned(), quote(split)));
    }
    let languages = match &options.languages {
        Some(languages) => languages.clone(),
        None => found_languages(root, split)?,
    };
    let sides = [&languages.0, &languages.1];
    for language in sides {
        if language.is_empty() || language.contains(['/', '\\', '\0']) {
            let expected = "the extension of a file such as en".to_owned();
            return Err(error(root, "language", expected, quote(language)));
        }
    }
    if languages.0 == languages.1 {
        return Err(error(
            root,
            "languages",
            "two different ones".to_owned(),
            format!("{} twice", quote(&languages.0)),
        ));
    }
    let [source_path, target_path] = [file_of(root, split, sides[0])?, file_of(root, split, sides[1])?];
    let source = lines(&source_path, options)?;
    let target = lines(&target_path, options)?;
    if source.len() != target.len() {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let expected = format!("{}, as {} has", source.len(), quote(&name(&source_path)));
        return Err(error(&target_path, "number of lines", expected, target.len().to_string()));
    }
    if source.is_empty() {
        return Err(error(&source_path, "number of lines", "at least one".to_owned(), "none".to_owned()));
    }
    let report = TranslationReport::of(&languages, &source, &target);
    Ok(ParallelText { languages, source, target, report })
}

/// The file of a language, plain or gzipped.
fn file_of(root: &Path, split: &str, language: &str) -> Result<PathBuf, DataError> {
    let plain = root.join(format!("{split}.{language}"));
    let gzipped = root.join(format!("{split}.{language}.gz"));
    match (plain.is_file(), gzipped.is_file()) {
        (true, false) => Ok(plain),
        (false, true) => Ok(gzipped),
        (false, false) => Err(DataError::Missing {
            path: plain,
            field: FIELD,
            expected: "this file, or the same with .gz",
            found: "neither",
        }),
        (true, true) => Err(DataError::Missing {
            path: plain,
            field: FIELD,
            expected: "this file, or the same with .gz",
            found: "both",
        }),
    }
}

/// The two languages of which a split has files, English first.
fn found_languages(root: &Path, split: &str) -> Result<(String, String), DataError> {
    let unreadable = |source| DataError::Unreadable { path: root.to_owned(), field: "data folder", source };
    let mut found: BTreeMap<String, String> = BTreeMap::new(); // language and one of its files
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let rest = name.strip_prefix(split).and_then(|rest| rest.strip_prefix('.'));
        let Some(language) = rest.map(|rest| rest.strip_suffix(".gz").unwrap_or(rest)) else { continue };
        let is_code = language.starts_with(|c: char| c.is_ascii_alphabetic())
            && (2..=12).contains(&language.len())
            && language.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if is_code && root.join(name).is_file() {
            found.insert(language.to_owned(), name.to_owned());
        }
    }
    let files: Vec<String> = found.values().map(|name| quote(name)).collect();
    let mut languages: Vec<String> = found.into_keys().collect();
    languages.sort_by_key(|language| language != "en"); // stable: the others stay in the alphabet's order
    match <[String; 2]>::try_from(languages) {
        Ok([source, target]) => Ok((source, target)),
        Err(_) => Err(DataError::Content {
            path: root.to_owned(),
            field: FIELD,
            expected: format!(
                "two files \"{split}.LANGUAGE\" or \"{split}.LANGUAGE.gz\", or two given languages"
            ),
            found: if files.is_empty() { "none".to_owned() } else { files.join(", ") },
        }),
    }
}

/// The lines of a file, without their ends.
fn lines(path: &Path, options: &TranslationOptions) -> Result<Vec<String>, DataError> {
    let bytes = read_gzip_or_plain(path, FIELD, options.max_bytes)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (at, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
        DataError::Line {
            path: path.to_owned(),
            line: 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count(),
            field: FIELD,
            expected: "UTF-8".to_owned(),
            found: format!("the byte 0x{:02x} at offset {at} of the text", bytes[at]),
        }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let text = text.strip_suffix('\n').unwrap_or(text); // the end of the last line starts no new one
    let line = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if options.lowercase { line.to_lowercase() } else { line.to_owned() }
    };
    Ok(text.split('\n').map(line).collect())
}
