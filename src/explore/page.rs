//! The page: one document, put together from the files in `page/`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::report::base64;

/// Where the page's files come from.
pub enum Assets {
    /// Those that were built in.
    BuiltIn,
    /// A folder that is read at every request, for whoever changes the page.
    Folder(PathBuf),
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("page/", $name)))),*]
    };
}

/// The document that the others are put into.
const INDEX: &str = include_str!("page/index.html");
/// Styles and scripts, in their order: `page/scripts.txt` lists the same.
const FILES: &[(&str, &str)] = &files![
    "style.css",
    "panels.css",
    "core.js",
    "state.js",
    "api.js",
    "panel.js",
    "colour.js",
    "draw.js",
    "chart.js",
    "offline.js",
    "lesson.js",
    "model.js",
    "attention.js",
    "formula.js",
    "sixteen.js",
    "backward.js",
    "compare.js",
    "words.js",
    "text.js",
    "checkpoint.js",
    "export.js",
    "parts.js",
    "painter.js",
    "input.js",
    "cards_list.js",
    "deformable_drawing.js",
    "deformable.js",
    "dynamic.js",
    "matrix_table.js",
    "matrix.js",
    "train_sample.js",
    "train.js",
    "cards.js",
    "start.js",
];

/// A document, and what it may run.
pub struct Document {
    /// The HTML.
    pub html: String,
    /// The policy that allows its own style and scripts, questions to this server, and nothing else.
    pub policy: String,
}

impl Assets {
    fn read(&self) -> Result<(String, Vec<(String, String)>), String> {
        let Assets::Folder(folder) = self else {
            let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
            return Ok((INDEX.to_owned(), FILES.iter().map(owned).collect()));
        };
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: expected a text, found {error}", path.display()))
        };
        let names = text("scripts.txt")?;
        let names = names.lines().map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#'));
        // A file that is still to be written does not keep the others from being tried.
        let file = |name: &str| {
            let missing = |error: String| match Path::new(name).extension() {
                Some(kind) if kind == "css" => String::new(),
                _ => format!("console.error({});", serde_json::Value::String(error)),
            };
            (name.to_owned(), text(name).unwrap_or_else(missing))
        };
        Ok((text("index.html")?, names.map(file).collect()))
    }

    /// The document, with `embedded` data in it where it is to work without the engine.
    pub fn document(&self, embedded: Option<&str>) -> Result<Document, String> {
        let (index, files) = self.read()?;
        let (styles, scripts): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(name, _)| name.ends_with(".css"));
        let style: String = styles.into_iter().map(|(_, text)| text).collect();
        let scripts: Vec<String> = scripts.into_iter().map(|(_, text)| text).collect();
        let hash = |text: &String| format!("'sha256-{}'", base64(&Sha256::digest(text)));
        let hashes: Vec<String> = scripts.iter().map(hash).collect();
        // Drawings are turned into pictures by way of blob: and data: addresses, which leave nothing.
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data: blob:; base-uri 'none'; form-action 'none'",
            if hashes.is_empty() { "'none'".to_owned() } else { hashes.join(" ") },
            hash(&style)
        );
        let elements: String = scripts.iter().map(|text| format!("<script>{text}</script>\n")).collect();
        // Inside of a script element nothing but this ends it, and in JSON it can be written otherwise.
        let data = embedded.map_or_else(String::new, |data| {
            let data = data.replace('<', "\\u003c");
            format!("<script type=\"application/json\" id=\"embedded\">{data}</script>")
        });
        let html = index
            .replacen("<!-- style -->", &format!("<style>{style}</style>"), 1)
            .replacen("<!-- embedded -->", &data, 1)
            .replacen("<!-- scripts -->", &elements, 1);
        let Some(_) = embedded else {
            return Ok(Document { html, policy: policy + "; connect-src 'self'; frame-ancestors 'none'" });
        };
        // A file has no field to say it in.
        let meta = format!(
            "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"
        );
        Ok(Document { html: html.replacen("<meta charset=\"utf-8\">", &meta, 1), policy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_those_of_the_list() {
        let listed = include_str!("page/scripts.txt")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), listed.collect::<Vec<_>>());
    }

    /// What would end an element, or be taken for a place to put something.
    #[test]
    fn no_file_ends_its_element() {
        for (name, text) in FILES {
            for mark in ["</script", "</style", "<!--"] {
                assert!(!text.to_lowercase().contains(mark), "{name} holds {mark}");
            }
        }
        for mark in ["<!-- style -->", "<!-- embedded -->", "<!-- scripts -->", "<meta charset=\"utf-8\">"] {
            assert_eq!(INDEX.matches(mark).count(), 1, "{mark}");
        }
    }

    #[test]
    fn a_document_holds_its_data_and_says_what_it_may_run() {
        let document = Assets::BuiltIn.document(Some(r#"{"a":"</script>"}"#)).unwrap();
        assert!(document.html.contains(r#"id="embedded">{"a":"\u003c/script>"}</script>"#));
        assert!(document.html.contains(
            "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-"
        ));
        assert_eq!(document.policy.matches("sha256-").count(), 1 + document.html.matches("<script>").count());
    }
}
